//! Headers that no client can read: they cost the message that has them, and nothing else.

use crate::{
    store::{Put, fill, good, start},
    support::{
        log::Log,
        nats::Server,
        raw::{Raw, UNREADABLE},
        way::{SOON, Verdict, Way, until},
    },
};
use callboard::{
    CallError, Client,
    bus::{Bus, ConsumerConfig, Expect, Message, RequestError, StreamConfig},
    message::{
        Headers, Id, Namespace, Status, codec,
        headers::{CB_DEAD_REASON, CB_RAW_HEADERS, CB_UNREADABLE, MSG_ID},
    },
    telemetry::UNREADABLE_HEADERS_TOTAL,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::{
    collections::BTreeSet,
    error::Error,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// Within what time each command has to be answered.
const ANSWERED: Duration = Duration::from_secs(2);

/// The plain subjects that all nodes, or one, listen to.
fn plain_subjects(namespace: &str) -> Vec<String> {
    let mut subjects: Vec<_> = [
        "cmd.box.put",
        "sys.ask.tree",
        "sys.ask.presence",
        "sys.ask.breakers",
        "sys.node.presence.news.x",
        "sys.node.presence.beat",
        "sys.node.routes.table",
        "sys.node.policies.table",
        "sys.node.breaker.opened.x",
        "sys.operator.routes.set",
        "sys.operator.breakers.force",
    ]
    .iter()
    .map(|rest| format!("{namespace}.{rest}"))
    .collect();
    subjects.push("$SRV.PING".to_owned());
    subjects
}

/// Asks until it is answered, as a caller with retries does, and returns how long it took.
async fn asked(client: &Client, item: &str) -> Duration {
    let since = Instant::now();
    let id = Id::new();
    loop {
        let put = Put { item: item.to_owned(), count: 1 };
        let call = client
            .call(put)
            .id(id.clone())
            .timeout(Duration::from_millis(400));
        match call.await {
            Ok(reply) => {
                assert_eq!(reply, item);
                return since.elapsed();
            }
            Err(error) => assert!(since.elapsed() < SOON, "{error}"),
        }
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_unreadable_message_on_any_plain_subject_ends_no_node() -> Verdict {
    let way = Way::nats(false).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let mut raw = Raw::connect(&way.url().ok_or("no server")?)?;
    let client = way.client();
    for subject in plain_subjects(&way.namespace) {
        let nothing = Message::new(subject.clone(), "");
        let heard = way.bus.request(nothing, Duration::from_millis(50)).await;
        let nobody = matches!(heard, Err(RequestError::NoResponders { .. }));
        assert!(!nobody, "no node listens to {subject}");
        for (what, block) in UNREADABLE {
            raw.publish(&subject, block, &good())?;
            raw.sync()?;
            let took = asked(&client, "b").await;
            assert!(took < ANSWERED, "{what} on {subject}: {took:?}");
        }
    }
    assert_eq!(node.tree().groups[0].children[0].restarts, 0);
    assert_eq!(log.count("put a"), 0, "none of them was run");
    fill(&node.client(), "a").await?;
    until("the event", async || log.count("filled a") == 1).await;
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_command_with_unreadable_headers_is_a_400() -> Verdict {
    let way = Way::nats(false).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let url = way.url().ok_or("no server")?;
    let mut replies = way.bus.subscribe("replies.*", None).await?;
    let mut raw = Raw::connect(&url)?;
    for (what, block) in UNREADABLE {
        // The first may break the connection it comes on, and be lost with it.
        let reply = loop {
            raw.publish(
                &format!("{}.cmd.box.put replies.a", way.namespace),
                block,
                &good(),
            )?;
            if let Ok(reply) = timeout(Duration::from_secs(1), replies.next()).await {
                break reply.ok_or("the bus was closed")?;
            }
        };
        let (status, reason) = Status::read(&reply.headers).ok_or("it was run")?;
        assert_eq!(status, Status::Malformed, "{what}: {reason}");
        assert!(reason.contains("cannot be read"), "{what}: {reason}");
    }
    Ok(node.stop().await?)
}

#[tokio::test]
async fn an_unreadable_event_is_a_dead_letter_with_its_raw_bytes() -> Verdict {
    let way = Way::nats(true).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let mut raw = Raw::connect(&way.url().ok_or("no server")?)?;
    for (at, (_, block)) in UNREADABLE.iter().enumerate() {
        raw.publish(&format!("{}.evt.box.k{at}", way.namespace), block, &good())?;
        raw.sync()?;
        fill(&node.client(), &format!("k{at}")).await?;
    }
    let count = UNREADABLE.len();
    until_all(&log, count).await;
    let reasons = way.dead(count, CB_DEAD_REASON).await;
    assert!(
        reasons
            .iter()
            .all(|reason| reason.contains("cannot be read")),
        "{reasons:?}"
    );
    let letters = way.dead_letters().await?;
    assert_eq!(letters.len(), count, "one each");
    let payloads: BTreeSet<_> = letters
        .iter()
        .map(|letter| letter.payload.to_vec())
        .collect();
    let bytes = |(_, block): &(&str, &[u8])| [block, &good()[..]].concat();
    assert_eq!(payloads, UNREADABLE.iter().map(bytes).collect());
    let has_length = |name| {
        letters
            .iter()
            .all(|letter| letter.headers.get(name).is_some())
    };
    assert!(has_length(CB_UNREADABLE) && has_length(CB_RAW_HEADERS));
    Ok(node.stop().await?)
}

/// Waits for one event of each key, however long a broken connection held it up.
async fn until_all(log: &Log, count: usize) {
    let limit = Duration::from_mins(1);
    let heard = timeout(limit, async {
        while (0..count).any(|at| log.count(&format!("filled k{at}")) == 0) {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(heard.await.is_ok(), "{:?}", log.lines());
}

/// A publisher can make an event look like the server's word on a request.
#[tokio::test]
async fn an_event_that_looks_like_a_status_is_an_event() -> Verdict {
    let way = Way::nats(true).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let mut raw = Raw::connect(&way.url().ok_or("no server")?)?;
    let forged = ["100", "404", "408", "409 Consumer Deleted", "423", "503"];
    for status in forged {
        let block = format!("NATS/1.0 {status}\nce-type: box.filled\n\n");
        raw.publish(
            &format!("{}.evt.box.a", way.namespace),
            block.as_bytes(),
            &good(),
        )?;
        raw.sync()?;
    }
    assert_eq!(log.of(forged.len()).await, ["filled a"; 6]);
    let events = StreamConfig::events(&way.names(), "box");
    let read = way.bus.stream(&events).await?.read(">", 1).await?.all();
    let read = timeout(SOON, read).await??;
    assert_eq!(read.len(), forged.len());
    assert!(way.dead_letters().await?.is_empty());
    Ok(node.stop().await?)
}

/// Stores messages, every hundredth unreadable, and checks that all ways to read find all.
async fn every_way_to_read_finds_all(count: u64) -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let mut config = StreamConfig::new("ORDERS", ["orders.*".to_owned()]);
    config.partitions = 4;
    let stream = bus.stream(&config).await?;
    let mut raw = Raw::connect(&server.url())?;
    for at in 0..count {
        let block = match at % 100 {
            7 => UNREADABLE[(at / 100) as usize % UNREADABLE.len()]
                .1
                .to_vec(),
            _ => format!("NATS/1.0\r\nNats-Msg-Id: {at}\r\n\r\n").into_bytes(),
        };
        raw.publish(&format!("orders.k{at}"), &block, at.to_string().as_bytes())?;
    }
    raw.sync()?;
    until("all stored", async || {
        stream.info().await.is_ok_and(|info| info.messages == count)
    })
    .await;
    let unreadable = count / 100;
    let mut reader = stream.read(">", 1).await?;
    let (mut next, mut marked) = (1, 0);
    while let Some(stored) = timeout(SOON, reader.next()).await?? {
        assert_eq!(stored.sequence, next);
        marked += u64::from(stored.headers.get(CB_UNREADABLE).is_some());
        next += 1;
    }
    assert_eq!((next - 1, marked), (count, unreadable), "read");
    let last = stream.last("orders.k7").await?.ok_or("it was stored")?;
    assert_eq!(
        (last.sequence, last.headers.get(CB_RAW_HEADERS)),
        (8, Some("20"))
    );
    let mut consumer = stream.consumer(&ConsumerConfig::new("all")).await?;
    let (mut seen, mut marked) = (BTreeSet::new(), BTreeSet::new());
    while (seen.len() as u64) < count {
        // What was on its way when a connection broke comes again after its ack wait.
        let delivery = timeout(SOON * 3, consumer.next()).await??;
        let stored = &delivery.message;
        if stored.headers.get(CB_UNREADABLE).is_some() {
            marked.insert(stored.sequence);
        }
        seen.insert(stored.sequence);
        delivery.ack().await?;
    }
    assert_eq!(marked.len() as u64, unreadable, "consumed");
    Ok(())
}

#[tokio::test]
async fn what_stands_between_unreadable_messages_is_read_and_consumed() -> Verdict {
    every_way_to_read_finds_all(1_000).await
}

#[tokio::test]
#[ignore = "takes minutes; for a night"]
async fn what_stands_between_a_hundred_unreadable_messages_of_ten_thousand_is_read() -> Verdict {
    every_way_to_read_finds_all(10_000).await
}

/// The program's own connection is made anew too, with all that was asked on it.
#[tokio::test]
async fn a_subscription_outlives_the_client_that_died_over_a_message() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let mut heard = bus.subscribe("news.*", None).await?;
    let mut raw = Raw::connect(&server.url())?;
    for (what, block) in UNREADABLE {
        raw.publish("news.bad", block, b"bad")?;
        raw.sync()?;
        let since = Instant::now();
        loop {
            raw.publish("news.good", b"NATS/1.0\r\n\r\n", what.as_bytes())?;
            raw.sync()?;
            let next = timeout(Duration::from_millis(100), heard.next()).await;
            if let Ok(Some(message)) = next
                && message.payload == what.as_bytes()
            {
                break;
            }
            assert!(since.elapsed() < ANSWERED, "{what}");
        }
    }
    let stream = StreamConfig::new("NEWS", ["kept.*".to_owned()]);
    let stream = bus.stream(&stream).await?;
    let mut id = Headers::new();
    id.insert(MSG_ID, "1")?;
    let message = Message::new("kept.a", "x").headers(id);
    stream.append(message, Expect::Any).await?;
    Ok(())
}

/// Publishes events, every hundredth unreadable, and as many unreadable messages on plain
/// subjects, while commands are asked all the time.
async fn a_node_among_unreadable_messages(count: usize) -> Verdict {
    let way = Way::nats(false).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let url = way.url().ok_or("no server")?;
    let (namespace, plain) = (way.namespace.clone(), plain_subjects(&way.namespace));
    let publishing = tokio::task::spawn_blocking(move || {
        publish_all(&url, &namespace, (&plain, count)).map_err(|error| error.to_string())
    });
    let client = way.client();
    let good: BTreeSet<_> = (0..count)
        .filter(|at| at % 100 != 50)
        .map(|at| format!("filled k{at}"))
        .collect();
    let heard = || log.lines().into_iter().filter(|line| good.contains(line));
    let since = Instant::now();
    loop {
        for _ in 0..20 {
            let took = asked(&client, "b").await;
            assert!(took < ANSWERED, "a command took {took:?}");
            sleep(Duration::from_millis(2)).await;
        }
        let heard: BTreeSet<_> = heard().collect();
        if publishing.is_finished() && heard.len() == good.len() {
            break;
        }
        let missing = good.difference(&heard).take(5);
        assert!(
            since.elapsed() < SOON * 6,
            "{:?}",
            missing.collect::<Vec<_>>()
        );
    }
    publishing.await??;
    let letters = way.dead(count / 100, CB_DEAD_REASON).await;
    assert_eq!(letters.len(), count / 100);
    assert_eq!(node.tree().groups[0].children[0].restarts, 0);
    Ok(node.stop().await?)
}

fn publish_all(
    url: &str,
    namespace: &str,
    (plain, count): (&[String], usize),
) -> Result<(), Box<dyn Error>> {
    let mut raw = Raw::connect(url)?;
    for at in 0..count {
        let (_, bad) = UNREADABLE[at / 100 % UNREADABLE.len()];
        let good = b"NATS/1.0\r\nce-type: box.filled\r\n\r\n";
        let block = if at % 100 == 50 { bad } else { &good[..] };
        let payload = codec::encode(&Put { item: format!("k{at}"), count: 1 })?;
        raw.publish(&format!("{namespace}.evt.box.k{at}"), block, &payload)?;
        if at % 100 == 50 {
            raw.publish(&plain[at / 100 % plain.len()], bad, &payload)?;
        }
        if at % 100 == 99 {
            raw.sync()?;
        }
    }
    raw.sync()?;
    Ok(())
}

#[tokio::test]
async fn unreadable_messages_among_others_lose_no_event_and_hold_up_no_command() -> Verdict {
    a_node_among_unreadable_messages(1_000).await
}

#[tokio::test]
#[ignore = "takes minutes; for a night"]
async fn a_hundred_unreadable_messages_among_ten_thousand_lose_no_event() -> Verdict {
    a_node_among_unreadable_messages(10_000).await
}

/// The reply itself ends the connection: then the request was received, and may not be told as
/// one that was not.
#[tokio::test]
async fn a_request_whose_reply_broke_the_client_is_not_told_as_one_that_was_not_sent() -> Verdict {
    let server = Server::start();
    let names = Namespace::new("lost")?;
    let callee = Bus::nats(server.url()).await?;
    let mut asked = callee.subscribe("lost.cmd.box.put", None).await?;
    let mut raw = Raw::connect(&server.url())?;
    let mut answer = async || -> Result<(), Box<dyn Error>> {
        let request = asked.next().await.ok_or("the callee's bus was closed")?;
        let reply = request.reply.ok_or("it wants no reply")?;
        raw.publish(&reply, UNREADABLE[0].1, &good())?;
        raw.sync()?;
        Ok(())
    };
    let bus = Bus::nats(server.url()).await?;
    let request = Message::new("lost.cmd.box.put", good());
    let (told, answered) = tokio::join!(bus.request(request, SOON), answer());
    answered?;
    assert!(matches!(told, Err(RequestError::Lost { .. })), "{told:?}");
    let client = Client::new(Bus::nats(server.url()).await?, names);
    let put = Put { item: "a".to_owned(), count: 1 };
    let (told, answered) = tokio::join!(client.call(put), answer());
    answered?;
    let error = told.expect_err("its reply cannot be read");
    assert!(matches!(error, CallError::Lost { .. }), "{error:?}");
    assert!(!error.certainly_not_run(), "{error}");
    assert!(error.to_string().contains("may have been run"), "{error}");
    Ok(())
}

/// What is asked for by a request of its own comes as text, and breaks nothing; it is told alike.
#[test]
fn an_unreadable_message_that_is_read_alone_is_told_and_counted_like_others() -> Verdict {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let recorder = DebuggingRecorder::new();
    let counts = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let reading = async {
        let server = Server::start();
        let bus = Bus::nats(server.url()).await?;
        let stream = StreamConfig::new("ORDERS", ["orders.*".to_owned()]);
        let stream = bus.stream(&stream).await?;
        let mut raw = Raw::connect(&server.url())?;
        raw.publish("orders.a", UNREADABLE[1].1, b"x")?;
        raw.sync()?;
        let last = stream.last("orders.a").await?.ok_or("it was stored")?;
        assert!(last.headers.get(CB_UNREADABLE).is_some());
        Ok::<_, Box<dyn Error>>(())
    };
    tracing::subscriber::with_default(log, || {
        metrics::with_local_recorder(&recorder, || runtime.block_on(reading))
    })?;
    let text = lines.text();
    assert!(
        text.contains("WARN") && text.contains("a message cannot be read"),
        "{text}"
    );
    assert!(text.contains("orders.a"), "{text}");
    let counted = counts.snapshot().into_vec().into_iter();
    let counted = counted.filter(|(key, ..)| key.key().name() == UNREADABLE_HEADERS_TOTAL);
    let counted: Vec<_> = counted.map(|(.., value)| value).collect();
    assert!(
        matches!(counted[..], [DebugValue::Counter(1)]),
        "{counted:?}"
    );
    Ok(())
}

/// What is logged in one test.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
