//! Events of older versions stay readable.

use crate::bank::Outcome;
use callboard::{
    Bus, CallError, Client, Command, Entity, Event, Group, Infallible, Node, Subject,
    bus::{Expect, Message},
    message::{EventError, Headers, Older, headers},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// `jars.filled`, version 1: `{"jar": "j", "spoons": 3}`.
const FILLED_V1: &[u8] = b"\x82\xa3jar\xa1j\xa6spoons\x03";
/// `jars.filled`, version 2: `{"jar": "j", "grams": 20}`.
const FILLED_V2: &[u8] = b"\x82\xa3jar\xa1j\xa5grams\x14";

#[derive(Deserialize)]
struct FilledV1 {
    jar: String,
    spoons: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Filled {
    jar: String,
    grams: u64,
}

impl Event for Filled {
    const SUBJECT: Subject = Subject::new("jars.filled");
    const VERSION: u32 = 2;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.jar)
    }

    fn upcast(older: Older<'_>) -> Result<Self, EventError> {
        match older.version() {
            1 => {
                let FilledV1 { jar, spoons } = older.read()?;
                Ok(Self { jar, grams: spoons * 10 })
            }
            _ => Err(older.unknown()),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Weigh {
    jar: String,
}

impl Command for Weigh {
    const SUBJECT: Subject = Subject::new("jars.weigh");
    type Outcome = Result<u64, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.jar)
    }
}

#[derive(Default)]
struct Jar {
    grams: u64,
}

fn jars() -> Group {
    let jar = Entity::new("jar", Jar::default)
        .decide(|jar: &Jar, _: Weigh| Ok(callboard::Decision::nothing().reply(jar.grams)))
        .apply(|jar: &mut Jar, filled: &Filled| jar.grams += filled.grams);
    Group::new("jars").child(jar)
}

async fn store(client: &Client, version: u32, payload: &'static [u8]) -> Outcome {
    let id = format!("v{version}");
    let schema = format!("jars.filled.v{version}");
    let mut said = Headers::new();
    for (name, value) in [
        (headers::CE_TYPE, "jars.filled"),
        (headers::CE_ID, &id),
        (headers::MSG_ID, &id),
        (headers::CE_DATASCHEMA, &schema),
    ] {
        said.insert(name, value)?;
    }
    let message = Message::new("callboard.evt.jars.j", payload).headers(said);
    client
        .events("jars")
        .await?
        .append(message, Expect::Any)
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_entity_lives_through_events_of_all_versions() -> Outcome {
    let node = Node::new("one", Bus::embedded())
        .group(jars())
        .start()
        .await?;
    let client = node.client();
    store(&client, 1, FILLED_V1).await?;
    store(&client, 2, FILLED_V2).await?;
    assert_eq!(client.call(Weigh { jar: "j".into() }).await?, 50);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_event_of_a_newer_version_is_refused_with_the_cure() -> Outcome {
    let node = Node::new("one", Bus::embedded())
        .group(jars())
        .start()
        .await?;
    let client = node.client();
    store(&client, 3, FILLED_V2).await?;
    let refused = client.call(Weigh { jar: "j".into() }).await;
    let Err(CallError::Failed { reason, .. }) = refused else {
        return Err(format!("{refused:?}").into());
    };
    assert!(
        reason.contains("jars.filled is of version 3") && reason.contains("update it"),
        "{reason}"
    );
    node.stop().await?;
    Ok(())
}

#[test]
fn the_bytes_of_the_current_version_are_as_they_always_were() -> Outcome {
    let filled = Filled { jar: "j".into(), grams: 20 };
    assert_eq!(&*callboard::message::codec::encode(&filled)?, FILLED_V2);
    Ok(())
}
