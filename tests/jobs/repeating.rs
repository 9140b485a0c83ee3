//! What a group repeats, once for all its nodes.

use crate::{
    bank::reopened,
    support::{
        folder::Folder,
        log::Log,
        way::{Verdict, both_buses, until},
    },
};
use callboard::{
    Actor, Bus, Context, Failure, Group, Node, Replay, Retry,
    bus::{Expect, Message, StreamConfig},
    message::{
        Headers, Key,
        headers::{CB_CRON, CB_DUE, MSG_ID},
    },
    time::Clock,
};
use std::time::{Duration, SystemTime};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

async fn beat(log: &mut Log, ctx: &Context) -> Result<(), Failure> {
    let due = ctx.due().ok_or_else(|| Failure::discard("no time"))?;
    log.note(format!("{} {}", seconds(due), ctx.id()));
    Ok(())
}

async fn report(log: &mut Log, ctx: &Context) -> Result<(), Failure> {
    log.note(format!("{} at {}", ctx.attempt(), humantime(ctx.now())));
    Err(Failure::retry("no paper"))
}

fn humantime(time: SystemTime) -> String {
    let since = seconds(time) % 86_400;
    format!("{:02}:{:02}", since / 3_600, since % 3_600 / 60)
}

fn drummer(log: &Log) -> Actor<Log> {
    let log = log.clone();
    Actor::new("drummer", async move || Ok(log.clone()))
        .every_durably("beat", SECOND, beat)
        .retry(Retry::new(2).backoff(SECOND, SECOND))
}

fn band(drummer: Actor<Log>) -> Group {
    Group::new("band").child(drummer)
}

#[tokio::test]
async fn two_nodes_repeat_once_and_go_on_when_one_is_gone() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let first = way.node("first").group(band(drummer(&log))).start().await?;
        let second = way
            .node("second")
            .group(band(drummer(&log).instances(2)))
            .start()
            .await?;
        log.of(3).await;
        first.stop().await?;
        let lines = log.of(5).await;
        let times: Vec<u64> = lines
            .iter()
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .collect();
        let once = times.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(once, "each time once, in order: {lines:?}");
        Ok(second.stop().await?)
    })
    .await
}

/// As where the server's clock is ahead: the run comes before its time.
#[tokio::test]
async fn a_run_that_comes_before_its_time_happens_once_and_at_its_time() -> Verdict {
    both_buses(async |way| {
        let own = Log::default();
        let noted = own.clone();
        let period = 3 * SECOND;
        let drummer = Actor::new("drummer", async move || Ok(noted.clone())).every_durably(
            "beat",
            period,
            async |log: &mut Log, ctx: &Context| {
                let due = ctx.due().map_or(0, seconds);
                log.note(format!(
                    "{due} {}",
                    ctx.now() >= ctx.due().unwrap_or(ctx.now())
                ));
                Ok(())
            },
        );
        let node = way.node("n").group(band(drummer)).start().await?;
        let last: u64 = own.of(1).await[0]
            .split(' ')
            .next()
            .unwrap_or("0")
            .parse()?;
        let next = last + period.as_secs();
        let key = Key::new("band/drummer/beat")?;
        let config = StreamConfig::jobs(&way.names(), "band");
        let stream = way.bus.stream(&config).await?;
        let timer = format!("{}.tmr.band.=cron.{key}", way.namespace);
        until("the next timer", async || {
            stream.cancel(&timer).await.is_ok_and(|was_there| was_there)
        })
        .await;
        let mut headers = Headers::new();
        headers.insert(MSG_ID, "early")?;
        headers.insert(CB_DUE, (next * 1_000).to_string())?;
        headers.insert(CB_CRON, "@every 3s")?;
        let job = format!("{}.job.band.=cron.{key}", way.namespace);
        let message = Message::new(job, "").headers(headers);
        stream.append(message, Expect::Any).await?;
        let lines = own.of(3).await;
        let expected: Vec<_> = (0..3)
            .map(|run| format!("{} true", last + run * period.as_secs()))
            .collect();
        assert_eq!(lines, expected, "each once, and not too early");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_by_one_run() -> Verdict {
    let folder = Folder::fresh();
    let log = Log::default();
    let start = async |bus: &Bus| {
        let node = Node::new("n", bus.clone());
        node.group(band(drummer(&log))).start().await
    };
    let bus = Bus::embedded_at(folder.path())?;
    let node = start(&bus).await?;
    log.of(1).await;
    node.stop().await?;
    drop(bus);
    log.clear();
    let gone = Clock::system().now() + 3 * SECOND;
    until("three seconds", async || Clock::system().now() > gone).await;
    let bus = reopened(&folder).await;
    let node = start(&bus).await?;
    let lines = log.of(2).await;
    let time = |line: &str| {
        line.split(' ')
            .next()
            .and_then(|time| time.parse::<u64>().ok())
    };
    assert!(
        time(&lines[0]) < Some(seconds(gone) - 1),
        "the first that was missed: {lines:?}"
    );
    assert!(
        time(&lines[1]) > Some(seconds(gone) - 1),
        "then the next that is due: {lines:?}"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_run_that_fails_is_given_up_and_the_next_comes_all_the_same() -> Verdict {
    let log = Log::default();
    let own = log.clone();
    let clerk = Actor::new("clerk", async move || Ok(own.clone()))
        .cron("nightly", "30 3 * * *", report)
        .retry(Retry::new(2).backoff(SECOND, SECOND));
    let heard = Replay::of(band(clerk))
        .after(Duration::from_hours(49))
        .settle()
        .await?;
    let expected = ["1 at 03:30", "2 at 03:30", "1 at 03:30", "2 at 03:30"];
    assert_eq!(log.lines(), expected);
    assert_eq!(heard.dead_letters().len(), 2);
    assert_eq!(heard.dead_letters()[0].attempts, 2);
    Ok(())
}

#[tokio::test]
async fn another_expression_plans_anew_and_a_name_that_is_gone_ends() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let actor = || {
            let log = log.clone();
            Actor::new("drummer", async move || Ok(log.clone()))
        };
        let yearly = actor().cron("beat", "@yearly", beat);
        way.node("n")
            .group(band(yearly))
            .start()
            .await?
            .stop()
            .await?;
        assert_eq!(log.lines().len(), 0);
        let node = way.node("n").group(band(drummer(&log))).start().await?;
        log.of(1).await;
        node.stop().await?;
        let renamed = actor().every_durably("bar", SECOND, beat);
        let node = way.node("n").group(band(renamed)).start().await?;
        log.clear();
        log.of(3).await;
        assert_eq!(way.dead_letters().await?.len(), 0);
        Ok(node.stop().await?)
    })
    .await
}

#[test]
#[should_panic(expected = "the cron expression `0 3 * *` has 4 fields, not five")]
fn an_expression_that_cannot_be_read_does_not_start() {
    drop(Actor::new("clerk", async || Ok(Log::default())).cron("nightly", "0 3 * *", report));
}
