//! Jobs that wait for their time.

use crate::{
    bank::{Ordered, Sweep, bank, fine, reopened, start, teller},
    support::{
        folder::Folder,
        log::Log,
        way::{Verdict, Way, both_buses, until},
    },
};
use callboard::{
    Bus, Client, JobError, Node, Replay,
    bus::{Append, Expect, Message, StreamConfig},
    message::{Id, headers::MSG_ID},
    time::Clock,
};
use std::{error::Error, io, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const SOON: Duration = Duration::from_millis(600);
const FAR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_timer_is_done_at_its_time_and_tells_it() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = node.client();
        let due = Clock::system().now() + SOON;
        let sent = client.send_at(fine("a"), due).await?;
        assert_eq!(sent.due, due);
        client.send_in(fine("b"), SOON * 2).await?;
        client.send(fine("c")).await?;
        assert_eq!(log.of(1).await, ["c 1"]);
        assert_eq!(log.of(2).await[1], "a 1");
        assert!(Clock::system().now() >= due, "too early");
        assert_eq!(log.of(3).await[2], "b 1");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_name_replaces_and_cancels() -> Verdict {
    both_buses(async |way| {
        let (log, client) = (Log::default(), way.client());
        let named = |account: &str, wait| client.send_in(fine(account), wait).named("timeout");
        named("a", FAR).await?;
        assert!(client.cancel::<crate::bank::Pay>("a", "timeout").await?);
        assert!(!client.cancel::<crate::bank::Pay>("a", "timeout").await?);
        named("a", FAR).await?;
        named("a", Duration::ZERO).await?;
        named("b", SOON).await?;
        named("b", FAR).await?;
        client.send_in(fine("b"), FAR).named("other").await?;
        client
            .send_in(Sweep { floor: 3 }, FAR)
            .named("broom")
            .await?;
        client.send(Sweep { floor: 4 }).named("broom").await?;
        let node = start(way, "n", &log).await?;
        let mut lines = log.of(2).await;
        lines.sort_unstable();
        assert_eq!(lines[..2], ["a 1", "floor 4"]);
        client.send_in(fine("c"), 2 * SOON).await?;
        assert_eq!(log.of(3).await[2], "c 1", "what was replaced does not come");
        assert!(!client.cancel::<Sweep>("", "broom").await?, "it is done");
        assert!(client.cancel::<crate::bank::Pay>("b", "other").await?);
        let unnamed = client.send_in(fine("d"), FAR).await?;
        let name = unnamed.id.to_string();
        assert!(client.cancel::<crate::bank::Pay>("d", &name).await?);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_timer_that_is_known_to_be_stored_and_was_cancelled_does_not_come_late() -> Verdict {
    both_buses(async |way| {
        let client = way.client();
        let id = Id::new();
        let send = || {
            client
                .send_in(fine("a"), FAR)
                .named("timeout")
                .id(id.clone())
        };
        assert!(!send().await?.duplicate);
        let jobs = StreamConfig::jobs(&way.names(), "bank");
        let jobs = way.bus.stream(&jobs).await?;
        let waiting = jobs.read(">", 1).await?.all().await?;
        assert!(send().await?.duplicate, "asked again, it is known");
        assert!(client.cancel::<crate::bank::Pay>("a", "timeout").await?);
        // The first attempt was on its way all the time, and arrives now.
        let [late] = <[_; 1]>::try_from(waiting).map_err(|all| format!("{all:?}"))?;
        let late = Message::new(late.subject, late.payload).headers(late.headers);
        let arrived = jobs.append(late, Expect::Any).await?;
        assert!(
            matches!(arrived, Append::Committed { duplicate: true, .. }),
            "{arrived:?}"
        );
        assert!(!client.cancel::<crate::bank::Pay>("a", "timeout").await?);
        assert_eq!(jobs.read(">", 1).await?.all().await?, []);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_handler_cancels_and_sends() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = node.client();
        client.send_in(fine("dust"), FAR).named("timeout").await?;
        client.call(Sweep { floor: 1 }).await?;
        assert_eq!(log.of(2).await, ["floor 1", "swept 1"]);
        client.call(Sweep { floor: 2 }).await?;
        assert_eq!(log.of(3).await[2], "floor 2");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_job_that_cannot_be_addressed_is_refused() -> Verdict {
    let client = Client::new(Bus::embedded(), "shop".parse()?);
    let long = "x".repeat(200);
    let sent = client.send(fine(&long)).await;
    assert!(matches!(sent, Err(JobError::Key { .. })), "{sent:?}");
    let sent = client.send(fine("a")).named("").await;
    assert!(matches!(sent, Err(JobError::Name { .. })), "{sent:?}");
    let sent = client.send(fine("a")).id(Id::from("a\nb")).await;
    assert!(matches!(sent, Err(JobError::Header { .. })), "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn a_second_attempt_sends_the_same_job() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = node.client();
        let ordered = |account: &str, wait| Ordered { account: account.to_owned(), wait, until: 3 };
        client.publish(ordered("a", 0)).await?;
        client.publish(ordered("b", 1)).await?;
        log.of(2).await;
        client.send_in(fine("end"), SOON).await?;
        let mut lines = log.of(3).await;
        lines.sort_unstable();
        assert_eq!(lines, ["a 1", "b 1", "end 1"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn timers_survive_the_process_and_are_done_once() -> Verdict {
    let folder = Folder::fresh();
    let log = Log::default();
    let node = async |bus: &Bus| {
        let node = Node::new("n", bus.clone()).namespace("shop");
        node.group(bank(teller(&log))).start().await
    };
    let client = |bus: &Bus| Client::new(bus.clone(), "shop".parse().expect("it is a name"));
    let bus = Bus::embedded_at(folder.path())?;
    client(&bus).send_in(fine("a"), SOON).named("x").await?;
    client(&bus).send_in(fine("b"), FAR).named("x").await?;
    client(&bus).send(fine("c")).await?;
    drop(bus);
    let due = Clock::system().now() + SOON;
    until("due time", async || Clock::system().now() >= due).await;
    let bus = reopened(&folder).await;
    let running = node(&bus).await?;
    let mut lines = log.of(2).await;
    lines.sort_unstable();
    assert_eq!(lines, ["a 1", "c 1"]);
    running.stop().await?;
    drop(bus);
    log.clear();
    let bus = reopened(&folder).await;
    let running = node(&bus).await?;
    assert!(client(&bus).cancel::<crate::bank::Pay>("b", "x").await?);
    client(&bus).send(fine("d")).await?;
    assert_eq!(log.of(1).await, ["d 1"], "nothing is done twice");
    running.stop().await?;
    let names = "shop".parse()?;
    let stream = bus.stream(&StreamConfig::jobs(&names, "bank")).await?;
    assert_eq!(stream.info().await?.messages, 3, "the three that were done");
    Ok(())
}

#[tokio::test]
async fn a_day_of_timers_passes_in_a_replay() -> Verdict {
    let log = Log::default();
    let day = 24 * 60 * 60;
    let heard = Replay::of(bank(teller(&log)))
        .given(Ordered { account: "a".to_owned(), wait: day, until: 2 })
        .after(Duration::from_secs(day - 60))
        .ask(Sweep { floor: 1 })
        .after(Duration::from_mins(2))
        .settle()
        .await?;
    assert_eq!(log.lines(), ["floor 1", "a 1"]);
    let jobs = heard.jobs::<crate::bank::Pay>();
    assert_eq!(jobs.len(), 2, "attempts count");
    assert_eq!(jobs[0].0, fine("a"));
    Ok(())
}

/// A plain connection that sees what is sent, and can send the like.
struct Tap(BufReader<TcpStream>);

impl Tap {
    async fn on(url: &str, filter: &str) -> Result<Self, Box<dyn Error>> {
        let address = url.trim_start_matches("nats://");
        let mut tap = Self(BufReader::new(TcpStream::connect(address).await?));
        let hello = r#"CONNECT {"verbose":false,"headers":true}"#;
        tap.say(&format!("{hello}\r\nSUB {filter} 1\r\nPING\r\n"))
            .await?;
        while tap.line().await? != "PONG" {}
        Ok(tap)
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Returns the next message: its subject, its headers and its payload.
    async fn message(&mut self) -> Result<(String, String, Vec<u8>), Box<dyn Error>> {
        loop {
            let line = self.line().await?;
            let words: Vec<_> = line.split(' ').collect();
            let ["HMSG", subject, .., headers, whole] = words[..] else {
                continue;
            };
            let (headers, whole): (usize, usize) = (headers.parse()?, whole.parse()?);
            let mut content = vec![0; whole + 2];
            self.0.read_exact(&mut content).await?;
            let payload = content[headers..whole].to_vec();
            content.truncate(headers);
            return Ok((subject.to_owned(), String::from_utf8(content)?, payload));
        }
    }
}

/// A timer that was given up and comes after all has what its sender wrote into it
/// when it was sent.
#[tokio::test]
async fn a_timer_that_was_given_up_does_not_win_over_the_one_that_replaced_it() -> Verdict {
    let way = Way::nats(true).await?;
    let (log, client) = (Log::default(), way.client());
    let node = start(&way, "n", &log).await?;
    let timers = way.names().timers("bank");
    let mut tap = Tap::on(&way.url().ok_or("a server")?, &timers).await?;
    let named = |account: &str, wait| client.send_in(fine(account), wait).named("timeout");
    let first = named("a", FAR).await?;
    let (timer, headers, payload) = tap.message().await?;
    named("a", FAR).id(Id::from("the second")).await?;
    // As one that never came: the stream does not know its id.
    let late = headers.replace(&format!("{MSG_ID}: {}", first.id), "Nats-Msg-Id: given-up");
    assert_ne!(late, headers, "it has an id");
    let (length, whole) = (late.len(), late.len() + payload.len());
    tap.say(&format!("HPUB {timer} {length} {whole}\r\n{late}"))
        .await?;
    tap.0.write_all(&payload).await?;
    tap.say("\r\nPING\r\n").await?;
    while tap.line().await? != "PONG" {}
    // What is stored after it was handled after it.
    client.send(fine("b")).await?;
    let config = StreamConfig::jobs(&way.names(), "bank");
    let last = way.bus.stream(&config).await?.last(&timer).await?;
    let last = last.ok_or("a timer")?;
    assert_eq!(last.headers.get(MSG_ID), Some("the second"));
    Ok(node.stop().await?)
}
