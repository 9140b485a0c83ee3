//! What must be done although nobody waits any more.

use crate::{
    support::{
        log::Log,
        way::{Verdict, every_way},
    },
    till::{Counter, Probe, open},
};
use callboard::{Actor, Answer, CallError, Command, Context, Group, Infallible, Subject};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::sleep;

const SHORT: Duration = Duration::from_millis(100);

/// Asks a slow bank, then books.
#[derive(Debug, Serialize, Deserialize)]
struct Pay;

impl Command for Pay {
    const SUBJECT: Subject = Subject::new("cashier.pay");
    type Outcome = Result<(), Infallible>;
}

async fn pay(log: &mut Log, _: Pay, ctx: &Context) -> Answer<Pay> {
    sleep(3 * SHORT).await;
    let shared = ctx.call(Probe).await;
    let passed = matches!(shared, Err(CallError::DeadlinePassed { .. }));
    log.note(format!("with the caller's deadline: passed {passed}"));
    let own = ctx.call(Probe).detached().await;
    log.note(format!("with its own: done {}", own.is_ok()));
    Ok(())
}

#[tokio::test]
async fn a_detached_call_is_made_although_the_callers_deadline_has_passed() -> Verdict {
    every_way(async |way| {
        let Counter { node, .. } = open(way).await?;
        let log = Log::default();
        let own = log.clone();
        let cashier = Actor::new("cashier", async move || Ok(own.clone())).answer(pay);
        let group = Group::new("cashier").child(cashier);
        let paying = way.node("paying").group(group).start().await?;
        let late = paying.client().call(Pay).timeout(SHORT).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
        let expected = [
            "with the caller's deadline: passed true",
            "with its own: done true",
        ];
        assert_eq!(log.of(2).await, expected);
        paying.stop().await?;
        Ok(node.stop().await?)
    })
    .await
}
