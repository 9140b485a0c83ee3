//! The limits in force are told by the nodes that they are on.

use crate::support::way::{SOON, Verdict, Way, both_buses, until};
use callboard::{
    Actor, Answer, CallError, Client, Command, Context, Failure, Group, Infallible, Running,
    Subject, breaker,
    bus::Message,
    limit::{self, Filter, Panel},
    message::codec,
    policy::{Bulkhead, By, Counted, Limited, Policies, Policy, Rate, Retry, Standing},
};
use serde::{Deserialize, Serialize};
use std::{error::Error, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const WITHIN: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_mins(1);

/// Presses oil for somebody, once there is a crate of olives.
#[derive(Debug, Serialize, Deserialize)]
struct Press {
    owner: String,
}

impl Command for Press {
    const SUBJECT: Subject = Subject::new("mill.press");
    type Outcome = Result<(), Infallible>;
}

fn press(owner: &str) -> Press {
    Press { owner: owner.to_owned() }
}

/// Asks for nothing.
#[derive(Debug, Serialize, Deserialize)]
struct Greet;

impl Command for Greet {
    const SUBJECT: Subject = Subject::new("milk.greet");
    type Outcome = Result<(), Infallible>;
}

fn mill(olives: &Arc<Semaphore>) -> Group {
    let olives = Arc::clone(olives);
    let press = async |olives: &mut Arc<Semaphore>, _: Press, _: &Context| -> Answer<Press> {
        olives.acquire().await.map_err(Failure::discard)?.forget();
        Ok(())
    };
    let miller = Actor::new("miller", move || {
        let olives = Arc::clone(&olives);
        async move { Ok::<_, Failure>(olives) }
    });
    Group::new("mill").child(miller.answer(press))
}

fn dairy() -> Group {
    let greet = async |(): &mut (), _: Greet, _: &Context| -> Answer<Greet> { Ok(()) };
    let maid = Actor::new("maid", async || Ok::<_, Failure>(()));
    Group::new("dairy").child(maid.answer(greet))
}

/// Starts a node that answers, and one that calls.
async fn two(way: &Way, olives: &Arc<Semaphore>) -> Result<[Running; 2], Box<dyn Error>> {
    let accept = Policy::new().accept(Rate::new(100, MINUTE).window().by(By::Caller));
    let host = way
        .node("host")
        .in_hand(50)
        .group(mill(olives))
        .group(dairy())
        .policies(Policies::new().otherwise(accept));
    let owner = By::Field("owner".to_owned());
    let policy = Policy::new()
        .rate(Rate::new(10, MINUTE).window().by(owner))
        .bulkhead(Bulkhead::new(1).queue(1, SOON))
        .retry(Retry::default());
    let one = way.node("one").policies(Policies::new().otherwise(policy));
    Ok([host.start().await?, one.start().await?])
}

async fn ask(client: &Client, filter: Filter) -> Vec<Panel> {
    limit::ask(client, &filter, WITHIN)
        .await
        .expect("the bus is here")
}

/// Returns how a kind of limit stands on a node: now, limit, turned away.
fn stands(panels: &[Panel], node: &str, kind: &str) -> Option<(u64, u64, u64)> {
    let panel = panels.iter().find(|panel| panel.node == node)?;
    let limit = panel.limits.iter().find(|limit| limit.of.name() == kind)?;
    Some((limit.now, limit.limit, limit.refused))
}

fn counted(limit: &Standing) -> Option<&Counted> {
    match &limit.of {
        Limited::Accept(counted) | Limited::Rate(counted) => Some(counted),
        _ => None,
    }
}

/// Calls three times, waits until one is in flight, one waits and one is turned
/// away, and returns how it stands then.
async fn crowded(client: &Client, asker: &Client, olives: &Semaphore) -> Vec<Panel> {
    let presses = [press("ada"), press("bob"), press("bob")];
    let calls = client.call_all(presses).at_once(3);
    let look = async {
        until(
            "one in flight, one that waits, one turned away",
            async || {
                let panels = ask(asker, Filter::default()).await;
                let bulkhead = stands(&panels, "one", "bulkhead");
                let in_hand = stands(&panels, "host", "in-hand");
                (bulkhead, in_hand) == (Some((1, 1, 1)), Some((1, 50, 0)))
            },
        )
        .await;
        let panels = ask(asker, Filter::default()).await;
        olives.add_permits(2);
        panels
    };
    let (answers, panels) = tokio::join!(calls.into_future(), look);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    panels
}

#[tokio::test]
async fn every_limit_is_told_with_what_is_taken_and_what_was_turned_away() -> Verdict {
    both_buses(async |way| {
        let olives = Arc::new(Semaphore::new(0));
        let nodes = two(way, &olives).await?;
        let (client, asker) = (nodes[1].client(), way.client());
        let panels = crowded(&client, &asker, &olives).await;
        assert_eq!(panels.len(), 2);
        assert_eq!(stands(&panels, "host", "accept"), Some((1, 100, 0)));
        assert_eq!(stands(&panels, "one", "in-hand"), Some((0, 10_000, 0)));
        // What was turned away by the bulkhead spends nothing of it.
        assert_eq!(stands(&panels, "one", "rate"), Some((1, 10, 0)));
        assert_eq!(stands(&panels, "one", "retries"), Some((0, 10, 0)));
        assert_eq!(stands(&panels, "one", "accept"), None, "it answers nothing");
        let waits = Limited::Bulkhead { waiting: 1, queue: 1 };
        assert_eq!(panels[1].limits[2].of, waits);
        let rate = counted(&panels[1].limits[1]).ok_or("it counts")?;
        assert_eq!((rate.allowed, rate.per, rate.keys), (10, MINUTE, 2));
        assert!(matches!(rate.fullest.as_deref(), Some("ada" | "bob")));
        let accept = counted(&panels[0].limits[1]).ok_or("it counts")?;
        let by = (&accept.by, accept.fullest.as_deref());
        assert_eq!(by, (&By::Caller, Some("client")));
        let after = ask(&asker, Filter::default()).await;
        assert_eq!(stands(&after, "one", "bulkhead"), Some((0, 1, 1)));
        for node in nodes {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn limits_are_asked_for_by_node_by_domain_and_by_command() -> Verdict {
    both_buses(async |way| {
        let nodes = two(way, &Arc::new(Semaphore::new(9))).await?;
        let (client, asker) = (nodes[1].client(), way.client());
        client.call(press("ada")).await?;
        client.call(Greet).await?;
        let found = async |filter| {
            let mut found = Vec::new();
            for panel in ask(&asker, filter).await {
                for limit in panel.limits {
                    let of = limit.target.unwrap_or_default();
                    found.push(format!("{} {} {of}", panel.node, limit.of.name()));
                }
            }
            found
        };
        let all = found(Filter::default()).await;
        assert_eq!(all.len(), 10, "{all:?}");
        let host = [
            "host in-hand ",
            "host accept milk.greet",
            "host accept mill.press",
        ];
        assert_eq!(found(Filter::default().node("host")).await, host);
        let mill = [
            "host accept mill.press",
            "one rate mill.press",
            "one bulkhead mill.press",
            "one retries mill.press",
        ];
        assert_eq!(found(Filter::default().target("mill")).await, mill);
        assert_eq!(found(Filter::default().target("mill.press")).await, mill);
        let narrow = Filter::default().target("mill.press").node("host");
        assert_eq!(found(narrow).await, mill[..1]);
        assert!(found(Filter::default().target("mil")).await.is_empty());
        for node in nodes {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_plain_client_asks_for_limits_with_no_bytes_at_all() -> Verdict {
    both_buses(async |way| {
        let node = way.node("one").start().await?;
        let told = way.ask("sys.ask.limits", Message::new("", "")).await?;
        let panel: Panel = codec::decode(&told.payload)?;
        assert_eq!(stands(&[panel], "one", "in-hand"), Some((0, 10_000, 0)));
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_rate_that_is_used_up_is_told_until_another_rate_is_set() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(dairy()).start().await?;
        let rate = |calls| {
            let policy = Policy::new().rate(Rate::new(calls, MINUTE).burst(1));
            Policies::new().command(Greet::SUBJECT, policy)
        };
        let one = way.node("one").policies(rate(2)).start().await?;
        let (client, asker) = (one.client(), way.client());
        client.call(Greet).await?;
        let error = client.call(Greet).await.expect_err("that is one too many");
        assert!(matches!(error, CallError::Limited { .. }), "{error:?}");
        let greet = || Filter::default().target("milk.greet");
        let panels = ask(&asker, greet()).await;
        assert_eq!(stands(&panels, "one", "rate"), Some((1, 1, 1)));
        assert_eq!(
            counted(&panels[0].limits[0]).map(|all| &all.fullest),
            Some(&None)
        );
        let slower = Policy::new().rate(Rate::new(2, MINUTE).burst(1));
        let slower = Policies::new().command(Greet::SUBJECT, slower.deadline(SOON));
        breaker::set_policies(&asker, &slower, WITHIN).await?;
        let error = client.call(Greet).await.expect_err("its rate is the same");
        assert!(matches!(error, CallError::Limited { .. }), "{error:?}");
        breaker::set_policies(&asker, &rate(4), WITHIN).await?;
        client.call(Greet).await?;
        let panels = ask(&asker, greet()).await;
        let (_, _, refused) = stands(&panels, "one", "rate").ok_or("it was called")?;
        assert_eq!(refused, 0);
        breaker::set_policies(&asker, &Policies::new(), WITHIN).await?;
        assert!(ask(&asker, greet()).await.is_empty());
        one.stop().await?;
        Ok(host.stop().await?)
    })
    .await
}
