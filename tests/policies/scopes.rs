//! Whom a policy binds, and how many commands share its breaker.

use crate::{
    callee::{Act, Callee, Charge, Look, Verdict},
    support::way::past_and_over,
};
use callboard::{
    Actor, Answer, CallError, Command, Context, Failure, Group, Infallible, Subject,
    breaker::{self, Panel},
    message::Status,
    policy::{Force, Limits, Policies, Policy, Rate, Scope, State},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn one_breaker_may_stand_before_a_whole_domain() -> Verdict {
    let callee = Callee::open(|_| Act::Refuse(Status::Failed)).await?;
    let each = "domains.till.breaker = { failures = 4 }";
    let one = r#"domains.till.breaker = { failures = 4, scope = "domain" }"#;
    for (table, tried) in [(each, 8), (one, 4)] {
        let before = callee.tried();
        let client = callee.client(Policies::from_toml(table)?);
        for _ in 0..10 {
            client.call(Charge::of("ada")).await.expect_err("it fails");
            client.call(Look::at("ada")).await.expect_err("it fails");
        }
        assert_eq!(callee.tried() - before, tried, "{table}");
        let broken = client.call(Look::at("ada")).await.expect_err("it is open");
        let name = if tried == 4 { "till" } else { "till.look" };
        let is_it = matches!(&broken, CallError::Broken { breaker, .. } if *breaker == name);
        assert!(is_it, "{broken:?}");
    }
    Ok(())
}

/// Done by another command of the domain, or not at all.
#[derive(Debug, Serialize, Deserialize)]
struct Turn;

impl Command for Turn {
    const SUBJECT: Subject = Subject::new("mill.turn");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Grind;

impl Command for Grind {
    const SUBJECT: Subject = Subject::new("mill.grind");
    type Outcome = Result<(), Infallible>;
}

fn mill() -> Group {
    let turn =
        async |(): &mut (), _: Turn, ctx: &Context| -> Answer<Turn> { Ok(ctx.call(Grind).await?) };
    let grind = async |(): &mut (), _: Grind, _: &Context| -> Answer<Grind> { Ok(()) };
    let wheel = Actor::new("wheel", async || Ok::<_, Failure>(())).answer(turn);
    let stone = Actor::new("stone", async || Ok::<_, Failure>(())).answer(grind);
    Group::new("mill").child(wheel).child(stone)
}

#[tokio::test]
async fn calls_inside_a_domain_go_without_its_policy_unless_it_binds_them() -> Verdict {
    past_and_over(async |way| {
        let limited = Policy::new().rate(Rate::new(1, HOUR));
        for (policy, bound) in [(limited.clone(), false), (limited.inside(), true)] {
            let table = Policies::new().command(Grind::SUBJECT, policy);
            let node = way.node("one").group(mill()).policies(table);
            let node = node.start().await?;
            let client = node.client();
            client.call(Turn).await?;
            let second = client.call(Turn).await;
            assert_eq!(second.is_err(), bound, "{second:?}");
            if !bound {
                client.call(Grind).await?;
            }
            let outside = client.call(Grind).await;
            let is_limited = matches!(outside, Err(CallError::Limited { .. }));
            assert!(is_limited, "{outside:?}");
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_node_takes_is_limited_whoever_asks() -> Verdict {
    past_and_over(async |way| {
        let limited = Policy::new().accept(Rate::new(2, HOUR));
        let table = Policies::new().command(Grind::SUBJECT, limited);
        let node = way.node("one").group(mill()).policies(table);
        let node = node.start().await?;
        let client = node.client();
        client.call(Turn).await?;
        client.call(Grind).await?;
        client.call(Turn).await.expect_err("that is one too many");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_breaker_of_a_domain_is_seen_and_forced_as_one() -> Verdict {
    past_and_over(async |way| {
        let limits = Limits::default().scope(Scope::Domain);
        let table = Policies::new().domain("mill", Policy::new().breaker(limits.clone()));
        let node = way.node("one").group(mill()).policies(table.clone());
        let node = node.start().await?;
        let (client, asker) = (node.client(), way.client());
        client.call(Turn).await?;
        client.call(Grind).await?;
        let panels = breaker::force(&asker, "mill", Force::Open, WITHIN).await?;
        let states = |panels: &[Panel]| -> Vec<_> {
            let all = panels.iter().flat_map(|panel| &panel.breakers);
            all.map(|it| (it.name.clone(), it.state)).collect()
        };
        assert_eq!(states(&panels), [("mill".to_owned(), State::ForcedOpen)]);
        let error = client.call(Turn).await.expect_err("it is shut");
        assert!(
            error.to_string().contains("breakers force mill auto"),
            "{error}"
        );
        // Another table with other limits leaves it as it was forced.
        let other = limits.failures(9, WITHIN);
        let other = Policies::new().domain("mill", Policy::new().breaker(other));
        breaker::set_policies(&asker, &other, WITHIN).await?;
        client.call(Turn).await.expect_err("it is shut");
        client.call(Grind).await.expect_err("it is shut");
        breaker::set_policies(&asker, &Policies::new(), WITHIN).await?;
        client.call(Turn).await?;
        Ok(node.stop().await?)
    })
    .await
}
