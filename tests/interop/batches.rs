//! What one decision stored at once is read one by one.

use crate::{NAMESPACE, Outcome, python::python, support::nats::Server};
use callboard::{
    Bus, Command, Decision, Entity, Event, Group, Infallible, Node, Subject, message::Id,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lend {
    book: String,
    to: String,
}

impl Command for Lend {
    const SUBJECT: Subject = Subject::new("library.lend");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.book)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Returned {
    book: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lent {
    book: String,
    to: String,
}

impl Event for Returned {
    const SUBJECT: Subject = Subject::new("library.returned");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.book)
    }
}

impl Event for Lent {
    const SUBJECT: Subject = Subject::new("library.lent");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.book)
    }
}

#[derive(Default)]
struct Book {
    reader: Option<String>,
}

impl Book {
    fn lend(&self, lend: Lend) -> Result<Decision<()>, Infallible> {
        let Lend { book, to } = lend;
        let gone = Lent { book: book.clone(), to };
        Ok(match self.reader {
            None => Decision::of(gone),
            Some(_) => Decision::of(Returned { book }).and(gone),
        })
    }

    fn lent(&mut self, lent: &Lent) {
        self.reader = Some(lent.to.clone());
    }

    fn returned(&mut self, _: &Returned) {
        self.reader = None;
    }
}

#[tokio::test]
async fn events_of_one_decision_are_read_one_by_one_in_python() -> Outcome {
    let server = Server::start();
    let book = Entity::new("book", Book::default)
        .decide(Book::lend)
        .apply(Book::lent)
        .apply(Book::returned);
    let node = Node::new("house", Bus::nats(server.url()).await?)
        .namespace(NAMESPACE)
        .group(Group::new("library").child(book))
        .start()
        .await?;
    for (id, to) in [("l-1", "Ada"), ("l-2", "Bo")] {
        let lend = Lend { book: "Emma".into(), to: to.into() };
        node.client().call(lend).id(Id::from(id)).await?;
    }
    let ran = python(&server, &["read.py", "library", "Emma"]).await?;
    assert!(ran.well, "{ran:?}");
    let kinds: Vec<_> = ran
        .printed
        .lines()
        .map(serde_json::from_str::<serde_json::Value>)
        .map(|event| event.map(|event| format!("{} {}", event["type"], event["data"]["to"])))
        .collect::<Result<_, _>>()?;
    assert_eq!(
        kinds,
        [
            r#""library.lent" "Ada""#,
            r#""library.returned" null"#,
            r#""library.lent" "Bo""#
        ]
    );
    Ok(node.stop().await?)
}
