//! Replies and decisions that take more room than headers have.

use crate::support::way::{Verdict, both_buses};
use callboard::{
    CallError, Command, Decision, Entity, Event, Group, Infallible, Subject, message::Id,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Print {
    book: String,
    letters: usize,
    pages: usize,
}

impl Command for Print {
    const SUBJECT: Subject = Subject::new("press.print");
    type Outcome = Result<String, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.book)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Printed {
    book: String,
}

impl Event for Printed {
    const SUBJECT: Subject = Subject::new("press.printed");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.book)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the signature of a decision"
)]
fn print(printed: &u32, print: Print) -> Result<Decision<String>, Infallible> {
    let Print { book, letters, pages } = print;
    let mut decision = Decision::of(Printed { book: book.clone() });
    for _ in 1..pages {
        decision = decision.and(Printed { book: book.clone() });
    }
    Ok(decision.reply(format!("{printed}{}", "x".repeat(letters))))
}

fn press() -> Group {
    let book = Entity::new("book", u32::default)
        .decide(print)
        .apply(|printed: &mut u32, _: &Printed| *printed += 1);
    Group::new("press").child(book)
}

#[tokio::test]
async fn a_reply_of_64_kib_is_committed_and_given_again_on_both_buses() -> Verdict {
    both_buses(async |way| {
        let (one, two) = (
            way.node("one").group(press()).start().await?,
            way.node("two").group(press()).start().await?,
        );
        for pages in [1, 2] {
            let id = Id::new();
            let large = Print { book: format!("b{pages}"), letters: 65_536, pages };
            let first = one.client().call(large.clone()).id(id.clone()).await?;
            assert_eq!(first.len(), 65_537);
            assert_eq!(
                one.client().call(large.clone()).id(id.clone()).await?,
                first
            );
            assert_eq!(two.client().call(large).id(id).await?, first);
        }
        one.stop().await?;
        Ok(two.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_reply_that_no_message_holds_is_the_same_clear_error_on_both_buses() -> Verdict {
    both_buses(async |way| {
        let node = way.node("one").group(press()).start().await?;
        let large = Print { book: "b".into(), letters: 300_000, pages: 1 };
        let refused = node.client().call(large).await;
        assert!(
            matches!(refused, Err(CallError::Failed { ref reason, .. }) if reason.contains("262144")),
            "{refused:?}"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_decision_of_thousands_of_events_ends_the_same_way_on_both_buses() -> Verdict {
    both_buses(async |way| {
        let node = way.node("one").group(press()).start().await?;
        let large = Print { book: "b".into(), letters: 1, pages: 700 };
        assert_eq!(node.client().call(large).await?, "0x");
        let too_large = Print { book: "b".into(), letters: 1, pages: 5_000 };
        let refused = node.client().call(too_large).await;
        assert!(
            matches!(refused, Err(CallError::Failed { ref reason, .. }) if reason.contains("at most")),
            "{refused:?}"
        );
        let small = Print { book: "b".into(), letters: 1, pages: 1 };
        assert_eq!(node.client().call(small).await?, "700x");
        Ok(node.stop().await?)
    })
    .await
}
