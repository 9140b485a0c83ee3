//! What an actor publishes and sends while it handles an event that comes back is there
//! once.

use crate::{
    farm::{SHORT, Sown, operator, parked, sow},
    support::way::{Verdict, Way, both_buses, until},
};
use callboard::{
    Actor, Command, Context, Event, Failure, Group, Infallible, Retry, Subject,
    bus::{Message, StreamConfig},
    call::LetterState,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    field: String,
    n: u32,
}

impl Event for Told {
    const SUBJECT: Subject = Subject::new("news.told");

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

/// Sent as a job, which nobody does.
#[derive(Debug, Serialize, Deserialize)]
struct Print {
    field: String,
    n: u32,
}

impl Command for Print {
    const SUBJECT: Subject = Subject::new("press.print");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

/// Tells twice of what was sown, and may fail in between.
#[derive(Clone, Debug, Default)]
struct Crier {
    mended: Arc<AtomicBool>,
    discards: bool,
    /// Whether it sends jobs, too: one now, one soon, one much later, one by its name.
    prints: bool,
}

impl Crier {
    async fn sown(&mut self, sown: Sown, ctx: &Context) -> Result<(), Failure> {
        let field = sown.field;
        ctx.publish(Told { field: field.clone(), n: 1 }).await?;
        if self.prints {
            let print = |n| Print { field: field.clone(), n };
            ctx.send(print(1)).await?;
            ctx.send_in(print(2), SHORT).await?;
            ctx.send_in(print(3), Duration::from_hours(1)).await?;
            ctx.send_in(print(4), SHORT).named("issue").await?;
        }
        if !self.mended.load(Relaxed) {
            let fail = if self.discards {
                Failure::discard
            } else {
                Failure::retry
            };
            return Err(fail("hoarse"));
        }
        ctx.publish(Told { field, n: 2 }).await?;
        Ok(())
    }

    fn group(&self) -> Group {
        let crier = self.clone();
        let crier = Actor::new("crier", async move || Ok(crier.clone()))
            .on(Self::sown)
            .retry(Retry::new(2).backoff(SHORT, SHORT));
        Group::new("barn").child(crier)
    }
}

/// The window of a stream that forgets.
const WINDOW: Duration = Duration::from_millis(100);

fn news(way: &Way) -> StreamConfig {
    StreamConfig::events(&way.names(), "news")
}

fn press(way: &Way) -> StreamConfig {
    StreamConfig::jobs(&way.names(), "press")
}

/// Counts what was told, before or after the ids were forgotten.
async fn told(way: &Way, forgotten: bool) -> Result<usize, Box<dyn std::error::Error>> {
    let mut config = news(way);
    if forgotten {
        config.duplicate_window = WINDOW;
    }
    let stream = way.bus.stream(&config).await?;
    Ok(stream.read(">", 1).await?.all().await?.len())
}

/// Makes the stream of events forget the ids that it knows.
async fn forget_ids(way: &Way) -> Verdict {
    forget_ids_of(way, &news(way), "evt.news.probe").await
}

/// Makes a stream forget the ids that it knows, as it does after two minutes.
async fn forget_ids_of(way: &Way, config: &StreamConfig, probe: &str) -> Verdict {
    let api = |what: &str| format!("$JS.API.STREAM.{what}.{}", config.name);
    let wait = Duration::from_secs(5);
    let info = way.bus.request(Message::new(api("INFO"), ""), wait).await?;
    let info: serde_json::Value = serde_json::from_slice(&info.payload)?;
    let mut config = info["config"].clone();
    config["duplicate_window"] = u64::try_from(WINDOW.as_nanos())?.into();
    let update = Message::new(api("UPDATE"), serde_json::to_vec(&config)?);
    let updated = way.bus.request(update, wait).await?;
    let updated: serde_json::Value = serde_json::from_slice(&updated.payload)?;
    assert_eq!(updated["error"], serde_json::Value::Null);
    // The server looks now and then; until it did, an id is known.
    let probe = async || {
        let mut probe = Message::new(format!("{}.{probe}", way.namespace), "");
        probe.headers.insert("Nats-Msg-Id", "probe").ok()?;
        let answer = way.bus.request(probe, wait).await.ok()?;
        Some(String::from_utf8_lossy(&answer.payload).contains("duplicate"))
    };
    probe().await;
    until("the ids forgotten", async || probe().await == Some(false)).await;
    Ok(())
}

#[tokio::test]
async fn what_was_told_before_a_key_was_parked_is_not_told_again_by_its_retry() -> Verdict {
    let way = Way::nats(true).await?;
    let crier = Crier::default();
    let node = way.node("n").group(crier.group()).start().await?;
    sow(&way, "a1").await?;
    let found = parked(&way, 1).await;
    assert_eq!(told(&way, false).await?, 1);
    forget_ids(&way).await?;
    let before = told(&way, true).await?;
    crier.mended.store(true, Relaxed);
    operator(&way).retry(&found[0]).await?;
    crate::farm::free(&way).await;
    assert_eq!(
        told(&way, true).await?,
        before + 1,
        "the second, and not the first again"
    );
    Ok(node.stop().await?)
}

#[tokio::test]
async fn what_was_told_before_an_event_was_given_up_is_not_told_again_by_a_redrive() -> Verdict {
    let way = Way::nats(true).await?;
    let crier = Crier { discards: true, ..Crier::default() };
    let node = way.node("n").group(crier.group()).start().await?;
    sow(&way, "a1").await?;
    way.dead(1, "cb-dead-reason").await;
    forget_ids(&way).await?;
    let before = told(&way, true).await?;
    crier.mended.store(true, Relaxed);
    let letter = operator(&way).dead(1, 10).await?.remove(0);
    operator(&way).redrive(&letter).await?;
    until("the letter handled", async || {
        let letters = operator(&way).dead(1, 10).await;
        letters.is_ok_and(|all| all[0].state == LetterState::Handled)
    })
    .await;
    assert_eq!(
        told(&way, true).await?,
        before + 1,
        "the second, and not the first again"
    );
    Ok(node.stop().await?)
}

/// Returns where the jobs to print are, without what was asked to probe.
async fn prints(way: &Way) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut config = press(way);
    config.duplicate_window = WINDOW;
    let all = way.bus.stream(&config).await?;
    let all = all.read(">", 1).await?.all().await?;
    let mut subjects: Vec<_> = all.into_iter().map(|stored| stored.subject).collect();
    subjects.retain(|subject| subject.rsplit('.').next() != Some("probe"));
    subjects.sort_unstable();
    Ok(subjects)
}

#[tokio::test]
async fn a_job_that_was_sent_before_a_key_was_parked_is_not_sent_again_by_its_retry() -> Verdict {
    let way = Way::nats(true).await?;
    let crier = Crier { prints: true, ..Crier::default() };
    let node = way.node("n").group(crier.group()).start().await?;
    sow(&way, "a1").await?;
    let found = parked(&way, 1).await;
    forget_ids(&way).await?;
    forget_ids_of(&way, &press(&way), "job.press.print.probe").await?;
    let done = |subjects: &[String]| {
        let done = subjects.iter();
        done.filter(|subject| subject.contains(".job.")).count()
    };
    until("the two that are due soon passed on", async || {
        prints(&way).await.is_ok_and(|prints| done(&prints) == 3)
    })
    .await;
    let before = prints(&way).await?;
    assert_eq!(before.len(), 4, "{before:?}");
    crier.mended.store(true, Relaxed);
    operator(&way).retry(&found[0]).await?;
    crate::farm::free(&way).await;
    assert_eq!(prints(&way).await?, before);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn within_the_window_nothing_is_told_twice_either() -> Verdict {
    both_buses(async |way| {
        let crier = Crier::default();
        let node = way.node("n").group(crier.group()).start().await?;
        sow(way, "a1").await?;
        let found = parked(way, 1).await;
        crier.mended.store(true, Relaxed);
        operator(way).retry(&found[0]).await?;
        crate::farm::free(way).await;
        assert_eq!(told(way, false).await?, 2);
        Ok(node.stop().await?)
    })
    .await
}
