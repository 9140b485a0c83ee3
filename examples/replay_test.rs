//! A replay test: events go in, plain vectors come out. No broker, no sleeping;
//! the group under test is the one that runs in production.
//!
//! ```text
//! $ cargo run --example replay_test --features test-util
//! a day passed, and the clerk reminded of o-2 only
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Actor, Context, Event, Failure, Group, Replay, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, error::Error, time::Duration};

/// In a test this is `#[tokio::test]`.
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let heard = Replay::of(reminders())
        .given(Placed("o-1".to_owned()))
        .given(Placed("o-2".to_owned()))
        .given(Paid("o-1".to_owned()))
        .after(Duration::from_hours(25))
        .settle()
        .await?;
    assert_eq!(heard.events::<Reminded>(), [Reminded("o-2".to_owned())]);
    assert_eq!(heard.dead_letters(), []);
    println!("a day passed, and the clerk reminded of o-2 only");
    Ok(())
}

fn reminders() -> Group {
    let clerk = Actor::new("clerk", async || Ok(Clerk::default()))
        .on(Clerk::placed)
        .on(Clerk::paid)
        .every(Duration::from_hours(24), Clerk::remind);
    Group::new("reminders").child(clerk)
}

/// Makes an event of one order.
macro_rules! event {
    ($name:ident, $subject:literal) => {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct $name(String);
        impl Event for $name {
            const SUBJECT: Subject = Subject::new($subject);
            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.0)
            }
        }
    };
}
event!(Placed, "orders.placed");
event!(Paid, "orders.paid");
event!(Reminded, "reminders.reminded");

#[derive(Default)]
struct Clerk {
    unpaid: BTreeSet<String>,
}

impl Clerk {
    async fn placed(&mut self, placed: Placed, _: &Context) -> Result<(), Failure> {
        self.unpaid.insert(placed.0);
        Ok(())
    }

    async fn paid(&mut self, paid: Paid, _: &Context) -> Result<(), Failure> {
        self.unpaid.remove(&paid.0);
        Ok(())
    }

    async fn remind(&mut self, ctx: &Context) -> Result<(), Failure> {
        for order in std::mem::take(&mut self.unpaid) {
            ctx.publish(Reminded(order)).await?;
        }
        Ok(())
    }
}
