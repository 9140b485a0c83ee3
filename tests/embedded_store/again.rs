//! What follows from an event that comes back, on a bus that knows the ids of all it keeps.

use crate::{
    kit::{SOON, Verdict, run},
    support::folder::Folder,
};
use callboard::{
    Actor, Bus, Context, Event, Failure, Group, Node, Retry, Subject,
    bus::{Expect, Message, StreamConfig},
    call::Operator,
    message::{Headers, Namespace, headers::MSG_ID},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::time::sleep;

#[derive(Debug, Serialize, Deserialize)]
struct Sown {
    field: String,
}

impl Event for Sown {
    const SUBJECT: Subject = Subject::new("farm.sown");

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

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

/// Tells twice of what was sown, and fails in between until it is mended.
#[derive(Clone, Debug, Default)]
struct Crier(Arc<AtomicBool>);

impl Crier {
    async fn sown(&mut self, sown: Sown, ctx: &Context) -> Result<(), Failure> {
        let field = sown.field;
        ctx.publish(Told { field: field.clone(), n: 1 }).await?;
        if !self.0.load(Relaxed) {
            return Err(Failure::retry("hoarse"));
        }
        ctx.publish(Told { field, n: 2 }).await?;
        Ok(())
    }
}

/// Nothing of a key's past is read to know what was stored before: neither does it take
/// longer the more there is, nor does one damaged event keep all others back.
#[test]
fn what_was_told_of_an_event_before_is_known_without_the_past_of_its_key() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let bus = Bus::embedded_at(folder.path())?;
        let namespace = Namespace::new("shop")?;
        let news = bus
            .stream(&StreamConfig::events(&namespace, "news"))
            .await?;
        let mut headers = Headers::new();
        headers.insert(MSG_ID, "old")?;
        let old = Message::new("shop.evt.news.a", "long ago").headers(headers);
        news.append(old, Expect::Any).await?;
        rusqlite::Connection::open(folder.path().join("callboard.sqlite"))?
            .execute_batch("UPDATE message SET checksum = checksum + 1")?;

        let crier = Crier::default();
        let made = crier.clone();
        let actor = Actor::new("crier", async move || Ok::<_, Failure>(made.clone()))
            .on(Crier::sown)
            .retry(Retry::new(1));
        let group = Group::new("barn").child(actor);
        let node = Node::new("n", bus.clone()).namespace("shop").group(group);
        let node = node.start().await?;
        node.client().publish(Sown { field: "a".into() }).await?;
        let operator = Operator::new(bus.clone(), namespace).source("/test/op");
        let deadline = Instant::now() + SOON;
        let parked = loop {
            match operator.parked().await?.pop() {
                Some(parked) if parked.state.as_str() == "parked" => break parked,
                _ => assert!(Instant::now() < deadline, "nothing is parked"),
            }
            sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(news.info().await?.messages, 2);
        crier.0.store(true, Relaxed);
        operator.retry(&parked).await?;
        while news.info().await?.messages < 3 {
            let still = operator.parked().await?;
            assert!(Instant::now() < deadline, "{still:?}");
            sleep(Duration::from_millis(10)).await;
        }
        node.stop().await?;
        assert_eq!(
            news.info().await?.messages,
            3,
            "the second, and not the first again"
        );
        Ok(())
    })
}
