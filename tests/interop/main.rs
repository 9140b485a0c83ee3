//! What other languages are promised: plain NATS is enough to be heard and answered.
#![cfg(feature = "nats")]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod python;
mod services;

use callboard::{
    Actor, Answer, Bus, Command, Context, Event, Failure, Group, Node, Rejection, Running, Subject,
    bus::{Message, Subscription},
    message::{Key, headers},
};
use python::python;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, time::Duration};
use support::nats::Server;
use tokio::{sync::mpsc, time::timeout};

pub(crate) const NAMESPACE: &str = "interop";
const WITHIN: Duration = Duration::from_secs(30);

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Visited {
    visitor: String,
    pages: u32,
}

impl Event for Visited {
    const SUBJECT: Subject = Subject::new("visits.visited");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.visitor)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Greet {
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    text: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum NotGreeted {
    #[error("`{name}` is no name")]
    NoName { name: String },
}

impl Rejection for NotGreeted {}

impl Command for Greet {
    const SUBJECT: Subject = Subject::new("porter.greet");
    type Outcome = Result<Greeting, NotGreeted>;
}

/// Greets, and writes down who came.
struct Porter {
    book: mpsc::Sender<Visited>,
}

impl Porter {
    async fn greet(&mut self, greet: Greet, _: &Context) -> Answer<Greet> {
        let Greet { name } = greet;
        assert!(name != "Godot", "nobody has seen {name}");
        if name.is_empty() {
            return Err(NotGreeted::NoName { name }.into());
        }
        Ok(Greeting { text: format!("welcome, {name}") })
    }

    async fn visited(&mut self, visited: Visited, _: &Context) -> Result<(), Failure> {
        self.book.send(visited).await?;
        Ok(())
    }
}

/// A node with the porter on a server of its own.
struct House {
    server: Server,
    bus: Bus,
    node: Running,
    book: mpsc::Receiver<Visited>,
}

impl House {
    async fn open() -> Result<Self, Box<dyn Error>> {
        let server = Server::start();
        let bus = Bus::nats(server.url()).await?;
        let (sender, book) = mpsc::channel(8);
        let porter = Actor::new("porter", async move || Ok(Porter { book: sender.clone() }))
            .answer(Porter::greet)
            .on(Porter::visited);
        let node = Node::new("house", bus.clone())
            .namespace(NAMESPACE)
            .group(Group::new("porter").child(porter))
            .start()
            .await?;
        Ok(Self { server, bus, node, book })
    }

    async fn next_visit(&mut self) -> Result<Visited, Box<dyn Error>> {
        let visit = timeout(WITHIN, self.book.recv()).await?;
        visit.ok_or_else(|| "the porter is gone".into())
    }

    async fn greets(&self) -> Outcome {
        let ran = python(
            &self.server,
            &["call.py", "porter.greet", r#"{"name": "Ada"}"#],
        )
        .await?;
        assert!(ran.well, "{ran:?}");
        let reply: serde_json::Value = serde_json::from_str(&ran.printed)?;
        assert_eq!(reply, serde_json::json!({ "text": "welcome, Ada" }));
        Ok(())
    }
}

async fn next(letters: &mut Subscription) -> Result<Message, Box<dyn Error>> {
    let letter = timeout(WITHIN, letters.next()).await?;
    letter.ok_or_else(|| "the subscription ended".into())
}

#[tokio::test]
async fn an_event_published_from_python_is_heard_once_per_id() -> Outcome {
    let mut house = House::open().await?;
    let event = r#"{"visitor": "Ada L.", "pages": 3}"#;
    let publish = [
        "publish.py",
        "visits.visited",
        "Ada L.",
        event,
        "--id",
        "visit-1",
    ];
    let first = python(&house.server, &publish).await?;
    assert!(first.well, "{first:?}");
    assert_eq!(first.printed, "stored as number 1 of interop_EVT_visits");
    let second = python(&house.server, &publish).await?;
    assert!(
        second.printed.ends_with("which it was before"),
        "{second:?}"
    );
    assert_eq!(
        house.next_visit().await?,
        Visited { visitor: "Ada L.".to_owned(), pages: 3 }
    );
    house.node.stop().await?;
    assert_eq!(house.book.recv().await, None, "it is heard once");
    Ok(())
}

#[tokio::test]
async fn a_command_called_from_python_is_answered() -> Outcome {
    let house = House::open().await?;
    house.greets().await?;
    let cases = [
        (
            "porter.greet",
            r#"{"name": ""}"#,
            r#"422: `` is no name {"NoName": {"name": ""}}"#,
        ),
        ("porter.greet", r#"{"nom": "Ada"}"#, "400: porter.greet"),
        ("porter.dance", "{}", "404: "),
        (
            "porter.greet",
            r#"{"name": "Godot"}"#,
            "500: it panicked: nobody has seen Godot",
        ),
        ("cook.cook", "{}", "nobody answers cook.cook"),
    ];
    for (command, json, expected) in cases {
        let ran = python(&house.server, &["call.py", command, json]).await?;
        assert!(
            !ran.well && ran.complained.starts_with(expected),
            "{command}: {ran:?}"
        );
    }
    house.greets().await?;
    Ok(house.node.stop().await?)
}

#[tokio::test]
async fn an_event_without_a_type_becomes_a_dead_letter_and_the_next_one_is_heard() -> Outcome {
    let mut house = House::open().await?;
    let mut letters = house.bus.subscribe("interop.dead.>", None).await?;
    let untyped = "import asyncio, nats, os\n\
        async def main():\n\
        \x20   client = await nats.connect(os.environ['CALLBOARD_NATS'])\n\
        \x20   await client.jetstream().publish('interop.evt.visits.ada', b'\\x80')\n\
        \x20   await client.close()\n\
        asyncio.run(main())";
    let ran = python(&house.server, &["-c", untyped]).await?;
    assert!(ran.well, "{ran:?}");
    let letter = next(&mut letters).await?;
    let reason = letter
        .headers
        .get(headers::CB_DEAD_REASON)
        .unwrap_or_default();
    assert!(reason.contains("has no `ce-type` header"), "{reason}");
    let event = r#"{"visitor": "ada", "pages": 1}"#;
    let ran = python(
        &house.server,
        &["publish.py", "visits.visited", "ada", event],
    )
    .await?;
    assert!(ran.well, "{ran:?}");
    assert_eq!(house.next_visit().await?.pages, 1);
    Ok(house.node.stop().await?)
}

#[tokio::test]
async fn an_event_of_a_domain_without_a_stream_is_refused_with_the_cure() -> Outcome {
    let server = Server::start();
    let ran = python(&server, &["publish.py", "visits.visited", "ada", "{}"]).await?;
    assert!(
        !ran.well && ran.complained.starts_with("no stream takes it"),
        "{ran:?}"
    );
    Ok(())
}

#[tokio::test]
async fn keys_are_escaped_in_python_as_in_rust() -> Outcome {
    let keys = [
        "o-42",
        "a.b*c>d",
        "with space\nand line",
        "Grüße",
        "=2E",
        "日本",
        "~_-/",
    ];
    let server = Server::start();
    let print = "import json, publish, sys\n\
        print('\\n'.join(publish.token(key) for key in json.loads(sys.argv[1])))";
    let ran = python(&server, &["-c", print, &serde_json::to_string(&keys)?]).await?;
    assert!(ran.well, "{ran:?}");
    let tokens: Vec<_> = ran.printed.lines().collect();
    for (key, token) in keys.iter().zip(&tokens) {
        assert_eq!(Key::new(key)?.as_str(), *token);
    }
    assert_eq!(tokens.len(), keys.len());
    Ok(())
}
