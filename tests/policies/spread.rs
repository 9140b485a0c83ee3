//! A table of policies that is set holds on all nodes, also on those that come later.

use crate::support::way::{SOON, Verdict, Way, both_buses, until};
use callboard::{
    Actor, Answer, CallError, Client, Command, Context, Failure, Group, Infallible, Running,
    Subject, breaker,
    bus::Message,
    message::codec,
    policy::{By, Limits, Policies, Policy, Rate, State},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_mins(1);

#[derive(Debug, Serialize, Deserialize)]
struct Grind;

impl Command for Grind {
    const SUBJECT: Subject = Subject::new("mill.grind");
    type Outcome = Result<(), Infallible>;
}

fn mill() -> Group {
    let grind = async |(): &mut (), _: Grind, _: &Context| -> Answer<Grind> {
        Err(Failure::retry("the wheel is stuck").into())
    };
    let miller = Actor::new("miller", async || Ok::<_, Failure>(()));
    Group::new("mill").child(miller.answer(grind))
}

/// A breaker that opens after so many failures.
fn broken_after(failures: u32) -> Policies {
    let limits = Limits::new().failures(failures, MINUTE);
    Policies::new().command(Grind::SUBJECT, Policy::new().breaker(limits))
}

/// Calls until it is broken; returns how often its target was asked.
async fn asked(client: &Client) -> Option<usize> {
    for asked in 0..10 {
        if let Err(CallError::Broken { .. }) = client.call(Grind).await {
            return Some(asked);
        }
    }
    None
}

async fn versions(client: &Client) -> Vec<(String, u64)> {
    let tables = breaker::policies(client, WITHIN).await.unwrap_or_default();
    let version = |table: breaker::Table| (table.node, table.policies.version());
    tables.into_iter().map(version).collect()
}

async fn stop(nodes: impl IntoIterator<Item = Running>) -> Verdict {
    for node in nodes {
        node.stop().await?;
    }
    Ok(())
}

fn quick(way: &Way, name: &str) -> callboard::Node {
    let beat = Duration::from_millis(300);
    way.node(name).heartbeat(beat, Duration::from_secs(1))
}

#[tokio::test]
async fn a_node_without_policies_takes_a_table_that_is_set_later() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let one = way.node("one").start().await?;
        let (client, asker) = (one.client(), way.client());
        assert_eq!(asked(&client).await, None, "it has no policy");
        let nodes = breaker::set_policies(&asker, &broken_after(3), WITHIN).await?;
        assert_eq!(nodes, ["host", "one"]);
        assert_eq!(asked(&client).await, Some(3));
        let panels = breaker::ask(&asker, None, WITHIN).await?;
        assert_eq!(panels.len(), 1, "only one of them called: {panels:?}");
        assert_eq!(
            (&*panels[0].node, &*panels[0].path),
            ("one", "mesh/breakers")
        );
        assert_eq!(panels[0].breakers[0].state, State::Open);
        let both = [("host".to_owned(), 1), ("one".to_owned(), 1)];
        assert_eq!(versions(&asker).await, both);
        breaker::set_policies(&asker, &Policies::new(), WITHIN).await?;
        assert_eq!(asked(&client).await, None, "it has none any more");
        stop([one, host]).await
    })
    .await
}

#[tokio::test]
async fn a_node_that_starts_later_goes_by_the_table_whatever_its_own_is() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let asker = way.client();
        breaker::set_policies(&asker, &broken_after(2), WITHIN).await?;
        let bare = way.node("bare").start().await?;
        let own = way.node("own").policies(broken_after(5)).start().await?;
        for node in [&bare, &own] {
            assert_eq!(asked(&node.client()).await, Some(2));
        }
        let nodes = breaker::set_policies(&asker, &broken_after(4), WITHIN).await?;
        assert_eq!(nodes, ["bare", "host", "own"]);
        // Who set it is gone, and who learnt it tells it to the next.
        host.stop().await?;
        let host = way.node("host").group(mill()).start().await?;
        let versions = versions(&asker).await;
        assert!(
            versions.iter().all(|(_, version)| *version == 2),
            "{versions:?}"
        );
        assert_eq!(asked(&host.client()).await, Some(4));
        stop([own, bare, host]).await
    })
    .await
}

#[tokio::test]
async fn a_node_that_was_not_told_hears_of_a_newer_table_by_signs_of_life() -> Verdict {
    both_buses(async |way| {
        let host = quick(way, "host").group(mill()).start().await?;
        let own = quick(way, "own").policies(broken_after(5)).start().await?;
        assert_eq!(asked(&own.client()).await, Some(5), "it is its own");
        let late = broken_after(2).numbered(7);
        let late = quick(way, "late").policies(late).start().await?;
        let asker = way.client();
        until("version 7 everywhere", async || {
            let versions = versions(&asker).await;
            versions.len() == 3 && versions.iter().all(|(_, version)| *version == 7)
        })
        .await;
        assert_eq!(asked(&host.client()).await, Some(2));
        stop([late, own, host]).await
    })
    .await
}

#[tokio::test]
async fn a_flawed_or_older_table_changes_nothing() -> Verdict {
    both_buses(async |way| {
        let own = broken_after(9).numbered(4);
        let node = way.node("one").group(mill()).policies(own).start().await?;
        let (client, asker) = (node.client(), way.client());
        let set = async |table: &Policies| {
            let set = breaker::set_policies(&asker, table, WITHIN).await;
            set.err().map(|error| error.to_string()).unwrap_or_default()
        };
        let taken = breaker::set_policies(&asker, &broken_after(3).numbered(4), WITHIN).await?;
        assert_eq!(taken, ["one"]);
        let rate = Rate::new(0, MINUTE);
        let flawed = Policies::new().domain("mill", Policy::new().rate(rate));
        let told = set(&flawed).await;
        assert!(
            told.contains("`domains.mill.rate`") && told.contains("use 1"),
            "{told}"
        );
        let older = set(&broken_after(9).numbered(4)).await;
        assert!(older.contains("from version 4, and 5 is there"), "{older}");
        let last = set(&Policies::new().numbered(u64::MAX)).await;
        assert!(last.contains("leaves no room"), "{last}");
        // Who does not check it first gets the same answer.
        for (sent, reason) in [
            (codec::encode(&flawed)?, "`domains.mill.rate`"),
            (codec::encode(&"no table")?, "invalid type"),
        ] {
            let refused = way
                .ask("sys.operator.policies.set", Message::new("", sent))
                .await?;
            let told = refused
                .headers
                .get("Nats-Service-Error")
                .unwrap_or_default();
            assert!(told.contains(reason), "{told}: {:?}", refused.headers);
        }
        assert_eq!(versions(&asker).await, [("one".to_owned(), 5)]);
        assert_eq!(asked(&client).await, Some(3));
        stop([node]).await
    })
    .await
}

#[tokio::test]
async fn where_no_node_is_a_table_cannot_be_set() -> Verdict {
    both_buses(async |way| {
        let by = Rate::new(1, SOON).by(By::Caller);
        let table = Policies::new().otherwise(Policy::new().rate(by));
        let nobody = breaker::set_policies(&way.client(), &table, WITHIN).await;
        let nobody = nobody.expect_err("nobody is there").to_string();
        assert!(nobody.contains("no node is there in namespace"), "{nobody}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_table_is_not_made_from_a_version_that_never_was() -> Verdict {
    both_buses(async |way| {
        let node = way.node("one").group(mill()).start().await?;
        let asker = way.client();
        let set = async |version| {
            let table = broken_after(3).numbered(version);
            let set = breaker::set_policies(&asker, &table, WITHIN).await;
            set.map_err(|error| error.to_string())
        };
        for version in [1, 77, u64::from(u32::MAX)] {
            let refused = set(version).await.expect_err("nobody has made it");
            assert!(refused.contains("0 is the newest"), "{refused}");
        }
        let last = set(u64::MAX - 2).await.expect_err("nobody could change it");
        assert!(last.contains("leaves no room"), "{last}");
        assert_eq!(set(0).await?, ["one"]);
        assert_eq!(set(1).await?, ["one"]);
        assert!(
            set(3)
                .await
                .is_err_and(|told| told.contains("2 is the newest"))
        );
        assert_eq!(versions(&asker).await, [("one".to_owned(), 2)]);
        stop([node]).await
    })
    .await
}

#[tokio::test]
async fn a_node_does_not_start_with_a_version_that_was_never_set() -> Verdict {
    let way = Way::embedded(true);
    let far = broken_after(3).numbered(2_000_000);
    let refused = way.node("one").policies(far).start().await.map(drop);
    let refused = refused.expect_err("no table came that far").to_string();
    assert!(refused.contains("leave `version` out"), "{refused}");
    let far = callboard::RouteTable { version: 2_000_000, ..Default::default() };
    let refused = way.node("one").routes(far).start().await.map(drop);
    let refused = refused.expect_err("no table came that far").to_string();
    assert!(refused.contains("leave `version` out"), "{refused}");
    Ok(())
}
