//! Calls move from one version of a service to another, and a policy bears failures.
//!
//! ```text
//! $ cargo run --example mesh
//! old: payments 1.4.0
//! new: payments 2.0.0
//! 2.0.0 gets 10 %: it is given 106 of 1000
//! 2.0.0 gets 100 %: it is given 1000 of 1000
//! o-flaky: charged by new all the same
//! o-dead: the breaker is open, no attempt is made
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::policy::{Limits, Policies, Policy, Retry};
use callboard::{Actor, Answer, Bus, CallError, Command, Context, Failure, Group, Infallible};
use callboard::{Node, NodeError, Query, Running, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, mem::replace};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::embedded();
    let old = start(&bus, "old", "1.4.0").await?;
    let new = start(&bus, "new", "2.0.0").await?;
    let patient = Policy::new().idempotent().retry(Retry::new(2));
    let policies = Policies::new().domain("payments", patient.breaker(Limits::default()));
    let desk = Node::new("desk", bus).policies(policies).start().await?;
    for it in desk.roster().find(&Query::of("payments")).iter().rev() {
        println!("{}: payments {}", it.node(), it.service().version);
    }
    for share in [10, 100] {
        let rule = serde_json::json!({ "versions": { "^1": 100 - share, "^2": share } });
        let table = serde_json::json!({ "route": [{ "to": "payments", "rule": [rule] }] });
        desk.set_routes(&serde_json::from_value(table)?).await?;
        let mut given = 0;
        for number in 0..1_000 {
            given += u32::from(charge(&desk, &format!("o-{number}")).await? == "new");
        }
        println!("2.0.0 gets {share} %: it is given {given} of 1000");
    }
    let by = charge(&desk, "o-flaky").await?;
    println!("o-flaky: charged by {by} all the same");
    while !matches!(charge(&desk, "o-dead").await, Err(CallError::Broken { .. })) {}
    println!("o-dead: the breaker is open, no attempt is made");
    for node in [desk, new, old] {
        node.stop().await?;
    }
    Ok(())
}

async fn start(bus: &Bus, name: &'static str, version: &str) -> Result<Running, NodeError> {
    let till = Actor::new("till", async move || Ok(Till(name, false))).answer(Till::charge);
    let group = Group::new("payments").version(version).child(till);
    Node::new(name, bus.clone()).group(group).start().await
}

async fn charge(desk: &Running, order: &str) -> Result<String, CallError<Infallible>> {
    desk.client().call(Charge(order.to_owned())).await
}

#[derive(Debug, Serialize, Deserialize)]
struct Charge(String);
impl Command for Charge {
    const SUBJECT: Subject = Subject::new("payments.charge");
    type Outcome = Result<String, Infallible>;
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

struct Till(&'static str, bool);
impl Till {
    async fn charge(&mut self, Charge(order): Charge, _: &Context) -> Answer<Charge> {
        if order == "o-dead" || order == "o-flaky" && !replace(&mut self.1, true) {
            return Err(Failure::retry("the line is dead").into());
        }
        Ok(self.0.to_owned())
    }
}
