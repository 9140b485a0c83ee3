//! What an actor publishes while it handles an event that comes back is there once.

use crate::{
    farm::{SHORT, Sown, operator, parked, sow},
    support::way::{Verdict, Way, both_buses, until},
};
use callboard::{
    Actor, Context, Event, Failure, Group, Retry, Subject,
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

/// Tells twice of what was sown, and may fail in between.
#[derive(Clone, Debug, Default)]
struct Crier {
    mended: Arc<AtomicBool>,
    discards: bool,
}

impl Crier {
    async fn sown(&mut self, sown: Sown, ctx: &Context) -> Result<(), Failure> {
        let field = sown.field;
        ctx.publish(Told { field: field.clone(), n: 1 }).await?;
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

/// Counts what was told, before or after the ids were forgotten.
async fn told(way: &Way, forgotten: bool) -> Result<usize, Box<dyn std::error::Error>> {
    let mut config = news(way);
    if forgotten {
        config.duplicate_window = WINDOW;
    }
    let stream = way.bus.stream(&config).await?;
    Ok(stream.read(">", 1).await?.all().await?.len())
}

/// Makes the stream forget the ids that it knows, as it does after two minutes.
async fn forget_ids(way: &Way) -> Verdict {
    let api = |what: &str| format!("$JS.API.STREAM.{what}.{}", news(way).name);
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
        let mut probe = Message::new(format!("{}.evt.news.probe", way.namespace), "");
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
