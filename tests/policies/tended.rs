//! Breakers and caches of nodes: tended by actors, seen and forced from outside.

use crate::{
    callee::Verdict,
    support::way::{SOON, Way, both_buses, every_way, until},
};
use callboard::{
    Actor, Answer, CallError, Client, Command, Context, Event, Failure, Group, Infallible,
    RouteTable, Running, Subject,
    breaker::{self, News},
    bus::Message,
    message::codec,
    policy::{Advice, Breaker, By, Cache, Force, Grade, Limits, Policies, Policy, Rate, State},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{borrow::Cow, time::Duration};

const WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
struct Fail;

impl Command for Fail {
    const SUBJECT: Subject = Subject::new("mill.fail");
    type Outcome = Result<(), Infallible>;
}

/// Asks how often it was asked.
#[derive(Debug, Serialize, Deserialize)]
struct Count;

impl Command for Count {
    const SUBJECT: Subject = Subject::new("mill.count");
    const READ_ONLY: bool = true;
    type Outcome = Result<u32, Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Turned;

impl Event for Turned {
    const SUBJECT: Subject = Subject::new("mill.turned");

    fn key(&self) -> Cow<'_, str> {
        "wheel".into()
    }
}

struct Mill(u32);

impl Mill {
    async fn fail(&mut self, _: Fail, _: &Context) -> Answer<Fail> {
        Err(Failure::retry("the wheel is stuck").into())
    }

    async fn count(&mut self, _: Count, _: &Context) -> Answer<Count> {
        self.0 += 1;
        Ok(self.0)
    }
}

fn mill() -> Group {
    let mill = Actor::new("mill", async || Ok(Mill(0)))
        .answer(Mill::fail)
        .answer(Mill::count);
    Group::new("mill").child(mill)
}

fn policies() -> Policies {
    let limits = Limits::new()
        .failures(2, Duration::from_mins(1))
        .advice(Advice::Follow);
    Policies::new()
        .command(Fail::SUBJECT, Policy::new().breaker(limits))
        .command(Count::SUBJECT, Policy::new().cache(Cache::default()))
}

async fn node(way: &Way, name: &str) -> Result<Running, callboard::NodeError> {
    way.node(name).policies(policies()).start().await
}

async fn states(client: &Client, name: &str) -> Vec<(String, State)> {
    let panels = breaker::ask(client, Some(name), WITHIN)
        .await
        .unwrap_or_default();
    let states = panels.iter().flat_map(|panel| {
        let state = |report: &callboard::policy::Report| (panel.node.clone(), report.state);
        panel.breakers.iter().map(state)
    });
    states.collect()
}

async fn fail(client: &Client) -> Option<Duration> {
    client
        .call(Fail)
        .await
        .expect_err("it fails or is not asked")
        .retry_after()
}

#[tokio::test]
async fn an_open_breaker_is_told_to_other_nodes_which_may_follow() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let (one, two) = (node(way, "one").await?, node(way, "two").await?);
        let filter = way.names().system("node.breaker.>");
        let mut news = way.bus.subscribe(&filter, None).await?;
        let client = one.client();
        fail(&two.client()).await;
        fail(&client).await;
        fail(&client).await;
        assert!(fail(&client).await.is_some(), "it is open");
        let told = news.next().await.ok_or("the bus is open")?;
        assert_eq!(
            told.subject,
            way.names().system("node.breaker.opened.mill.fail")
        );
        let told: News = codec::decode(&told.payload)?;
        assert_eq!((told.node.as_str(), told.change.to), ("one", State::Open));
        let asker = way.client();
        until("both open", async || {
            let both = [("one", State::Open), ("two", State::Open)];
            let both = both.map(|(node, state)| (node.to_owned(), state));
            states(&asker, "mill.fail").await == both
        })
        .await;
        for node in [one, two, host] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_operator_forces_breakers_open_and_closed_on_all_nodes() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let (one, two) = (node(way, "one").await?, node(way, "two").await?);
        let client = one.client();
        fail(&client).await;
        fail(&two.client()).await;
        let asker = way.client();
        let panels = breaker::force(&asker, "mill.fail", Force::Open, WITHIN).await?;
        assert_eq!(panels.len(), 2);
        let error = client.call(Fail).await.expect_err("it is shut");
        assert!(
            matches!(
                error,
                CallError::Broken { retry_after: None, is_forced: true, .. }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains("an operator forced"), "{error}");
        breaker::force(&asker, "mill.fail", Force::Closed, WITHIN).await?;
        for _ in 0..5 {
            assert_eq!(fail(&client).await, None, "it is asked all the same");
        }
        breaker::force(&asker, "mill.fail", Force::Auto, WITHIN).await?;
        fail(&client).await;
        fail(&client).await;
        let all = breaker::ask(&asker, None, WITHIN).await?;
        let report = &all[0].breakers[0];
        assert_eq!(
            (report.name.as_str(), report.state),
            ("mill.fail", State::Open)
        );
        assert_eq!((report.counts.failed, report.counts.rejected), (8, 1));
        assert!(report.retry_after.is_some());
        for node in [one, two, host] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_breaker_is_a_child_like_any_other() -> Verdict {
    both_buses(async |way| {
        let gateway = Breaker::new("gateway").limits(Limits::new().failures(1, SOON));
        let group = Group::new("payments").child(gateway.clone());
        let node = way.node("one").group(group).start().await?;
        let tree = node.tree();
        assert_eq!(tree.groups[0].children[0].name, "gateway");
        gateway
            .guard(async { Err::<(), _>("refused") })
            .await
            .expect_err("as told");
        let asker = way.client();
        assert_eq!(
            states(&asker, "gateway").await,
            [("one".to_owned(), State::Open)]
        );
        breaker::force(&asker, "gateway", Force::Auto, WITHIN).await?;
        assert_eq!(gateway.state(), State::Closed);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_event_of_the_domain_makes_cached_replies_old() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let one = node(way, "one").await?;
        let client = one.client();
        let kept = client.call(Count).await?;
        let again = client.call(Count).graded().await?;
        assert_eq!((again.reply, again.grade), (kept, Grade::Cached));
        client.publish(Turned).await?;
        until("a new count", async || {
            client.call(Count).await.is_ok_and(|count| count > kept)
        })
        .await;
        one.stop().await?;
        Ok(host.stop().await?)
    })
    .await
}

#[tokio::test]
async fn another_table_of_routes_makes_cached_replies_old() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let one = node(way, "one").await?;
        let client = one.client();
        let kept = client.call(Count).await?;
        assert_eq!(client.call(Count).await?, kept);
        one.set_routes(&RouteTable::default()).await?;
        until("a new count", async || {
            client.call(Count).await.is_ok_and(|count| count > kept)
        })
        .await;
        one.stop().await?;
        Ok(host.stop().await?)
    })
    .await
}

#[tokio::test]
async fn another_table_is_taken_while_the_node_runs() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let one = node(way, "one").await?;
        let client = one.client();
        fail(&client).await;
        fail(&client).await;
        assert!(fail(&client).await.is_some());
        let asker = way.client();
        let cached = Policy::new().cache(Cache::default());
        let same = policies().command(Count::SUBJECT, cached.idempotent());
        let taken = breaker::set_policies(&asker, &same, WITHIN).await?;
        assert_eq!(taken, ["host", "one"]);
        assert!(
            fail(&client).await.is_some(),
            "its breaker goes on as it was"
        );
        breaker::set_policies(&asker, &Policies::new(), WITHIN).await?;
        assert_eq!(fail(&client).await, None, "it has no policy any more");
        one.stop().await?;
        Ok(host.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_an_operator_forced_open_stays_so_under_another_policy() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let one = node(way, "one").await?;
        let (client, asker) = (one.client(), way.client());
        fail(&client).await;
        let shut = async || {
            let error = client.call(Fail).await.expect_err("it fails");
            matches!(error, CallError::Broken { retry_after: None, .. })
        };
        breaker::force(&asker, "mill.fail", Force::Open, WITHIN).await?;
        assert!(shut().await);
        let other = Policy::new().breaker(Limits::new().failures(9, SOON));
        let other = Policies::new().command(Fail::SUBJECT, other);
        breaker::set_policies(&asker, &other, WITHIN).await?;
        assert!(shut().await);
        breaker::force(&asker, "mill.fail", Force::Auto, WITHIN).await?;
        assert!(!shut().await);
        one.stop().await?;
        Ok(host.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_callee_takes_only_so_many_calls_of_each_caller() -> Verdict {
    every_way(async |way| {
        let rate = Rate::new(2, Duration::from_mins(1)).by(By::Caller);
        let table = Policies::new().domain("mill", Policy::new().accept(rate));
        let host = way
            .node("host")
            .group(mill())
            .policies(table)
            .start()
            .await?;
        let client = host.client();
        client.call(Count).await?;
        client.call(Count).await?;
        let error = client.call(Count).await.expect_err("that is one too many");
        assert!(
            matches!(error, CallError::Limited { remaining: 0, reset: Some(reset), .. }
                if reset > Duration::from_secs(20) && reset <= Duration::from_secs(30)),
            "{error:?}"
        );
        let whose = "the node limits client to 2 in 60s";
        assert!(error.to_string().contains(whose), "{error}");
        Ok(host.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_a_route_sends_elsewhere_is_no_call_that_is_taken_here() -> Verdict {
    both_buses(async |way| {
        let other = way.node("other").version("2.0.0").group(mill());
        let other = other.start().await?;
        let rate = Rate::new(1, Duration::from_mins(1));
        let table = Policies::new().domain("mill", Policy::new().accept(rate));
        let away = r#"{"route": [{"to": "mill", "rule": [{"versions": {"^2": 1}}]}]}"#;
        let here = way.node("here").version("1.0.0").group(mill());
        let here = here
            .policies(table)
            .routes(serde_json::from_str(away)?)
            .start()
            .await?;
        let client = here.client();
        for count in 1..=5 {
            assert_eq!(client.call(Count).await?, count, "the other counts");
        }
        here.set_routes(&RouteTable::default()).await?;
        assert_eq!(client.call(Count).await?, 1, "the one here takes one");
        let error = client.call(Count).await.expect_err("and no more");
        assert!(matches!(error, CallError::Limited { .. }), "{error:?}");
        here.stop().await?;
        Ok(other.stop().await?)
    })
    .await
}

#[tokio::test]
async fn breakers_are_not_forced_by_an_order_that_names_none() -> Verdict {
    both_buses(async |way| {
        let host = way.node("host").group(mill()).start().await?;
        let one = node(way, "one").await?;
        let client = one.client();
        fail(&client).await;
        let asker = way.client();
        let state = async || states(&asker, "mill.fail").await[0].1;
        let order = async |subject: &str, order: serde_json::Value| -> Verdict {
            let to = way.names().system(subject);
            let order = Message::new(to, codec::encode(&order)?);
            Ok(way.bus.send(order).await?)
        };
        let forced = "operator.breakers.force";
        order(forced, json!({ "force": "open" })).await?;
        order(
            forced,
            json!({ "force": "open", "all": true, "breaker": "mill.fail" }),
        )
        .await?;
        // A question changes nothing.
        order("ask.breakers", json!({ "force": "open", "all": true })).await?;
        let named = breaker::force(&asker, "mill.none", Force::Open, WITHIN).await?;
        assert!(named.is_empty(), "by now the others have been heard");
        assert_eq!(state().await, State::Closed);
        order(forced, json!({ "force": "open", "all": true })).await?;
        until("all of them open", async || {
            state().await == State::ForcedOpen
        })
        .await;
        one.stop().await?;
        Ok(host.stop().await?)
    })
    .await
}
