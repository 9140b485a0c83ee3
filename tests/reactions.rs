//! What a reaction promises: at least once, in order per key, and nothing is
//! let go before its dead letter is stored.

mod support;

use callboard::{
    Actor, Context, Event, Failure, Group, NodeError, Replay, Restart, Retry, Running, Subject,
    bus::{Message, StreamConfig},
    message::headers::{CB_DEAD_ATTEMPTS, CB_DEAD_REASON},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, time::Duration};
use support::{
    log::Log,
    way::{Verdict, Way, both_buses, until},
};
use tokio::time::sleep;

const SHORT: Duration = Duration::from_millis(20);

/// An event and the trouble it makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sown {
    field: String,
    trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Trouble {
    None,
    /// Fails before this attempt.
    Until(u32),
    /// Panics before this attempt.
    PanicUntil(u32),
    CrashUntil(u32),
    Discard,
    /// Is unavailable twice, for longer than ids are known.
    Away,
    Always,
    /// Works for five minutes.
    Long,
    /// Works for longer than a held event may go without a sign of life.
    Slow,
}

impl Event for Sown {
    const SUBJECT: Subject = Subject::new("farm.sown");

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Grown {
    field: String,
}

impl Event for Grown {
    const SUBJECT: Subject = Subject::new("barn.grown");

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

async fn sown(log: &mut Log, sown: Sown, ctx: &Context) -> Result<(), Failure> {
    let (attempt, field) = (ctx.attempt(), sown.field);
    log.note(format!("{field} {attempt}"));
    ctx.publish(Grown { field }).await?;
    match sown.trouble {
        Trouble::Until(good) if attempt < good => Err(Failure::retry("rain")),
        Trouble::CrashUntil(good) if attempt < good => Err(Failure::crash("hail")),
        Trouble::Discard => Err(Failure::discard("weeds")),
        Trouble::Away if log.lines().len() < 3 => Err(Failure::unavailable(Duration::from_mins(3))),
        Trouble::Always => Err(Failure::retry("drought")),
        Trouble::PanicUntil(good) => {
            assert!(attempt >= good, "thunder");
            Ok(())
        }
        Trouble::Slow => {
            sleep(Duration::from_secs(12)).await;
            Ok(())
        }
        Trouble::Long => {
            sleep(Duration::from_mins(5)).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn farmer(log: &Log) -> Actor<Log> {
    let log = log.clone();
    Actor::new("farmer", async move || Ok(log.clone()))
        .on(sown)
        .retry(Retry::new(3).backoff(SHORT, SHORT))
}

fn barn(farmer: Actor<Log>) -> Group {
    Group::new("barn").child(farmer)
}

async fn start(way: &Way, farmer: Actor<Log>) -> Result<Running, NodeError> {
    way.node("n").group(barn(farmer)).start().await
}

fn event(field: &str, trouble: Trouble) -> Sown {
    Sown { field: field.to_owned(), trouble }
}

/// Returns the keys of all events in the barn's stream.
async fn grown(way: &Way) -> Result<Vec<String>, Box<dyn Error>> {
    let stream = way
        .bus
        .stream(&StreamConfig::events(&way.names(), "barn"))
        .await?;
    let stored = stream.read(">", 1).await?.all().await?;
    let key = |subject: &str| subject.rsplit('.').next().unwrap_or_default().to_owned();
    Ok(stored.iter().map(|stored| key(&stored.subject)).collect())
}

#[tokio::test]
async fn what_fails_is_tried_again_while_its_key_waits() -> Verdict {
    both_buses(async |way| {
        for trouble in [
            Trouble::Until(3),
            Trouble::PanicUntil(3),
            Trouble::CrashUntil(3),
        ] {
            let way = if way.is_embedded() {
                Way::embedded(true)
            } else {
                Way::nats(true).await?
            };
            let log = Log::default();
            let node = start(&way, farmer(&log)).await?;
            let client = node.client();
            client.publish(event("a", trouble)).await?;
            client.publish(event("a", Trouble::None)).await?;
            assert_eq!(log.of(4).await, ["a 1", "a 2", "a 3", "a 1"], "{trouble:?}");
            assert_eq!(way.dead_letters().await?.len(), 0);
            // What was noted last is published a moment later.
            until("the second event", async || {
                grown(&way).await.is_ok_and(|all| all.len() >= 2)
            })
            .await;
            assert_eq!(
                grown(&way).await?,
                ["a", "a"],
                "a second attempt says nothing twice"
            );
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_given_up_is_a_dead_letter_and_its_key_goes_on() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let careless = Retry::new(3).backoff(SHORT, SHORT).then_discard();
        let node = start(way, farmer(&log).retry(careless)).await?;
        let client = node.client();
        client.publish(event("a", Trouble::Discard)).await?;
        client.publish(event("a", Trouble::Always)).await?;
        client.publish(event("a", Trouble::None)).await?;
        assert_eq!(log.of(5).await, ["a 1", "a 1", "a 2", "a 3", "a 1"]);
        assert_eq!(way.dead(2, CB_DEAD_REASON).await, ["weeds", "drought"]);
        assert_eq!(way.dead(2, CB_DEAD_ATTEMPTS).await, ["1", "3"]);
        assert_eq!(node.tree().groups[0].children[0].restarts, 0);
        Ok(node.stop().await?)
    })
    .await
}

/// Asks the server to change the stream of dead letters.
async fn limit_dead_letters(way: &Way, to: i64) -> Verdict {
    let api = |what: &str| format!("$JS.API.STREAM.{what}.{}_DEAD", way.namespace);
    let wait = Duration::from_secs(5);
    let info = way.bus.request(Message::new(api("INFO"), ""), wait).await?;
    let info: serde_json::Value = serde_json::from_slice(&info.payload)?;
    let mut config = info["config"].clone();
    config["max_msgs"] = to.into();
    let update = Message::new(api("UPDATE"), serde_json::to_vec(&config)?);
    let updated = way.bus.request(update, wait).await?;
    let updated: serde_json::Value = serde_json::from_slice(&updated.payload)?;
    assert_eq!(updated["error"], serde_json::Value::Null);
    Ok(())
}

#[tokio::test]
async fn an_event_is_kept_until_its_dead_letter_is_stored() -> Verdict {
    let way = Way::nats(true).await?;
    let log = Log::default();
    let node = start(&way, farmer(&log)).await?;
    let client = node.client();
    limit_dead_letters(&way, 1).await?;
    client.publish(event("a", Trouble::Discard)).await?;
    client.publish(event("a", Trouble::None)).await?;
    client.publish(event("b", Trouble::None)).await?;
    let mut lines = log.of(2).await;
    lines.sort();
    assert_eq!(lines, ["a 1", "b 1"], "its key waits, the others do not");
    limit_dead_letters(&way, -1).await?;
    assert_eq!(log.of(3).await[2], "a 1", "its key goes on");
    assert_eq!(way.dead(1, CB_DEAD_REASON).await, ["weeds"]);
    assert_eq!(log.lines().len(), 3, "it is not handled again for that");
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_long_handler_keeps_its_event() -> Verdict {
    let log = Log::default();
    let patient = farmer(&log).handle_within(Duration::from_mins(10));
    let heard = Replay::of(barn(patient))
        .given(event("a", Trouble::Long))
        .given(event("a", Trouble::None))
        .settle()
        .await?;
    assert_eq!(log.lines(), ["a 1", "a 1"]);
    assert_eq!(heard.dead_letters(), []);
    Ok(())
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_cut_off_and_its_key_is_parked_at_last() -> Verdict {
    let log = Log::default();
    let heard = Replay::of(barn(farmer(&log)))
        .given(event("a", Trouble::Long))
        .settle()
        .await?;
    assert_eq!(log.lines(), ["a 1", "a 2", "a 3"]);
    assert_eq!(heard.dead_letters(), []);
    let [parked] = heard.parked() else {
        return Err(format!("{:?}", heard.parked()).into());
    };
    assert_eq!(parked.reason, "it ran longer than its 30s");
    let told = (&*parked.child, &*parked.key, &*parked.kind, parked.attempts);
    assert_eq!(told, ("barn/farmer", "a", "farm.sown", 3));
    Ok(())
}

#[tokio::test]
async fn a_retry_after_the_window_of_ids_says_nothing_twice() -> Verdict {
    let log = Log::default();
    let rare = Duration::from_mins(5);
    let slow = farmer(&log).retry(Retry::new(9).backoff(rare, rare));
    let heard = Replay::of(barn(slow))
        .given(event("a", Trouble::Until(3)))
        .settle()
        .await?;
    assert_eq!(log.lines(), ["a 1", "a 2", "a 3"]);
    assert_eq!(heard.events::<Grown>().len(), 1);
    Ok(())
}

/// It should have said so before it published anything; that is no reason to do it twice.
#[tokio::test]
async fn what_a_handler_published_before_it_was_unavailable_is_there_once() -> Verdict {
    let log = Log::default();
    let heard = Replay::of(barn(farmer(&log)))
        .given(event("a", Trouble::Away))
        .settle()
        .await?;
    assert_eq!(log.lines(), ["a 1", "a 1", "a 1"]);
    assert_eq!(heard.events::<Grown>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_node_that_stops_waits_for_what_it_handles_and_nobody_handles_it_again() -> Verdict {
    let way = Way::nats(true).await?;
    let log = Log::default();
    let first = way.node("n").drain_within(Duration::from_secs(30));
    let first = first.group(barn(farmer(&log))).start().await?;
    let client = way.client();
    client.publish(event("a", Trouble::Slow)).await?;
    client.publish(event("a", Trouble::None)).await?;
    log.of(1).await;
    let second = way.node("m").group(barn(farmer(&log))).start().await?;
    first.stop().await?;
    client.publish(event("b", Trouble::None)).await?;
    let lines = log.of(3).await;
    let mut fields: Vec<_> = lines.iter().map(|line| &line[..1]).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["a", "a", "b"]);
    second.stop().await?;
    assert_eq!(log.lines().len(), 3, "nothing came twice");
    Ok(())
}

#[tokio::test]
async fn another_count_of_instances_makes_the_same_ids() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let slow = farmer(&log)
            .retry(Retry::new(9).backoff(Duration::from_mins(1), Duration::from_mins(1)));
        let node = start(way, slow).await?;
        node.client().publish(event("a", Trouble::Until(2))).await?;
        until("the first attempt's event", async || {
            grown(way).await.is_ok_and(|keys| keys.len() == 1)
        })
        .await;
        node.stop().await?;
        let node = start(way, farmer(&log).instances(3)).await?;
        log.of(2).await;
        node.client().publish(event("a", Trouble::None)).await?;
        log.of(3).await;
        until("the second event", async || {
            grown(way).await.is_ok_and(|keys| keys.len() == 2)
        })
        .await;
        assert_eq!(log.lines(), ["a 1", "a 2", "a 1"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_a_lost_actor_held_goes_to_another_node() -> Verdict {
    both_buses(async |way| {
        let (log, other) = (Log::default(), Log::default());
        let brittle = farmer(&log).restart(Restart::Temporary);
        let first = way.node("first").group(barn(brittle)).start().await?;
        let client = first.client();
        client.publish(event("a", Trouble::PanicUntil(2))).await?;
        log.of(1).await;
        let second = way
            .node("second")
            .group(barn(farmer(&other)))
            .start()
            .await?;
        client.publish(event("b", Trouble::None)).await?;
        let lines = other.of(2).await;
        let mut fields: Vec<_> = lines.iter().map(|line| &line[..1]).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["a", "b"]);
        assert_eq!(log.lines(), ["a 1"]);
        first.stop().await?;
        Ok(second.stop().await?)
    })
    .await
}
