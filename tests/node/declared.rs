//! What a node needs of the bus, compared, made and insisted upon.

use callboard::{
    Actor, Bus, Context, Event, Failure, Group, Node, NodeError, Profile, Subject,
    bus::{Durability, Presence, Store, StreamConfig},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use crate::support::folder::Folder;
#[cfg(feature = "nats")]
use crate::support::nats::Server;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Serialize, Deserialize)]
struct Rang {
    bell: String,
}

impl Event for Rang {
    const SUBJECT: Subject = Subject::new("bells.rang");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.bell)
    }
}

async fn heard((): &mut (), _: Rang, _: &Context) -> Result<(), Failure> {
    Ok(())
}

fn node(name: &str, bus: &Bus) -> Node {
    let porter = Actor::new("porter", async || Ok::<_, Failure>(())).on(heard);
    Node::new(name, bus.clone()).group(Group::new("house").child(porter))
}

async fn plans_and_applies(bus: Bus) -> Outcome {
    let plan = node("one", &bus).plan().await?;
    let names: Vec<_> = plan.items().iter().map(|item| &*item.name).collect();
    assert_eq!(
        names,
        [
            "callboard_EVT_bells",
            "callboard_DEAD",
            "callboard_PARK",
            "callboard_SNAP",
            "callboard_SKIP",
            "house_porter_0..7 of callboard_EVT_bells"
        ]
    );
    assert!(
        plan.items()
            .iter()
            .all(|item| item.found == Presence::Missing)
    );
    let refused = node("one", &bus).declare(false).start().await;
    assert!(
        matches!(refused, Err(NodeError::Undeclared { .. })),
        "{refused:?}"
    );
    assert_eq!(bus.streams().await?.len(), 0, "nothing was made");
    assert!(node("one", &bus).apply().await?.is_settled());
    let again = node("one", &bus).apply().await?;
    assert!(
        again.is_settled() && again.items().iter().all(|item| !item.made),
        "{again}"
    );
    assert!(
        again
            .to_string()
            .ends_with("6 there, 0 made, 0 missing, 0 different"),
        "{again}"
    );
    node("one", &bus)
        .declare(false)
        .start()
        .await?
        .stop()
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_has_started_lacks_nothing() -> Outcome {
    let bus = Bus::embedded();
    let running = node("one", &bus).start().await?;
    let plan = node("two", &bus).plan().await?;
    assert!(plan.is_settled(), "{plan}");
    assert!(
        plan.to_string()
            .contains("_SNAP: made when it is first needed"),
        "{plan}"
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_shown_made_once_and_insisted_upon() -> Outcome {
    plans_and_applies(Bus::embedded()).await
}

#[cfg(feature = "nats")]
#[tokio::test]
async fn what_is_missing_on_a_server_is_shown_made_once_and_insisted_upon() -> Outcome {
    let server = Server::start();
    plans_and_applies(Bus::nats(server.url()).await?).await
}

#[tokio::test]
async fn what_is_different_is_told_and_left_as_it_is() -> Outcome {
    let bus = Bus::embedded();
    let mut config = StreamConfig::events(&"callboard".parse()?, "bells");
    config.max_messages = Some(71);
    bus.stream(&config).await?;
    let plan = node("one", &bus).apply().await?;
    assert!(!plan.is_settled());
    let text = plan.to_string();
    assert!(
        text.contains("71") && text.contains("1 different"),
        "{text}"
    );
    assert_eq!(bus.compare(&config).await?, Presence::Same);
    Ok(())
}

#[tokio::test]
async fn a_node_that_must_be_durable_does_not_start_on_less() -> Outcome {
    let folder = Folder::fresh();
    let durable = |bus| node("one", &bus).profile(Profile::Durable);
    let refused = durable(Bus::embedded()).start().await;
    assert!(
        matches!(refused, Err(NodeError::NotDurable { .. })),
        "{refused:?}"
    );
    let lax = Store::at(folder.path().join("a")).durability(Durability::EVERY_SECOND);
    let refused = durable(Bus::embedded_at(lax)?).start().await;
    assert!(
        matches!(refused, Err(NodeError::NotDurable { .. })),
        "{refused:?}"
    );
    durable(Bus::embedded_at(folder.path().join("b"))?)
        .start()
        .await?
        .stop()
        .await?;
    Ok(())
}

#[cfg(feature = "nats")]
#[tokio::test]
async fn one_server_is_durable_only_if_the_operator_says_so() -> Outcome {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let refused = node("one", &bus).profile(Profile::Durable).start().await;
    let Err(error) = refused else {
        return Err("one copy was enough".into());
    };
    assert!(error.to_string().contains("replicas(3)"), "{error}");
    let trusted = node("one", &bus).profile(Profile::DurableBySync);
    trusted.start().await?.stop().await?;
    Ok(())
}
