//! Commands go where the routing table says, and it changes while nodes run.

use crate::{
    support::way::{Verdict, Way, both_buses, until},
    yard::{nodes, quick},
};
use callboard::{
    Actor, Answer, CallError, Client, Command, Context, Failure, Group, Infallible, RouteTable,
    Running, Subject, message::codec, route::News,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    error::Error,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::sleep;

/// Answered with the name and version of who does it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Who {
    key: String,
}

impl Command for Who {
    const SUBJECT: Subject = Subject::new("porter.who");
    type Outcome = Result<String, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        (&self.key).into()
    }
}

#[derive(Clone)]
struct Porter {
    name: &'static str,
    does: Does,
    /// Turns one that fails into one that answers.
    mended: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Answer,
    /// Answers after a tenth of a second.
    Slowly,
    Fail,
    Hang,
}

impl Porter {
    async fn who(&mut self, _: Who, _: &Context) -> Answer<Who> {
        match self.does {
            Does::Answer => Ok(self.name.to_owned()),
            Does::Slowly => {
                sleep(Duration::from_millis(100)).await;
                Ok(self.name.to_owned())
            }
            Does::Fail if self.mended.load(SeqCst) => Ok(self.name.to_owned()),
            Does::Fail => Err(Failure::discard("out of order").into()),
            Does::Hang => pending().await,
        }
    }
}

/// Starts a node with a porter of a version.
async fn porter(
    way: &Way,
    name: &'static str,
    kind: (&str, &str, Does),
) -> Result<Running, Box<dyn Error>> {
    mendable(way, name, kind, &Arc::default()).await
}

/// Starts one that answers once it is mended.
async fn mendable(
    way: &Way,
    name: &'static str,
    (version, region, does): (&str, &str, Does),
    mended: &Arc<AtomicBool>,
) -> Result<Running, Box<dyn Error>> {
    let porter = Porter { name, does, mended: Arc::clone(mended) };
    let actor = Actor::new("porter", async move || Ok(porter.clone()))
        .answer(Porter::who)
        .stop_within(A_MOMENT);
    let group = Group::new("porter").version(version).child(actor);
    let node = quick(way, name).region(region).drain_within(A_MOMENT);
    Ok(node.group(group).start().await?)
}

/// Starts a node that only calls, and waits until it knows so many porters.
async fn caller(way: &Way, porters: usize) -> Result<Running, Box<dyn Error>> {
    let node = quick(way, "caller").region("eu").start().await?;
    until("the porters", async || {
        nodes(&node.roster(), "porter").len() == porters
    })
    .await;
    Ok(node)
}

pub(crate) fn table(routes: &str) -> RouteTable {
    serde_json::from_str(&format!("{{\"route\": [{routes}]}}")).expect("a table")
}

/// Returns who answers for each of so many keys.
async fn answers(client: &Client, keys: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let mut answers = Vec::new();
    for key in 0..keys {
        answers.push(client.call(Who { key: format!("k{key}") }).await?);
    }
    Ok(answers)
}

fn count(answers: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(&**answer).or_default() += 1;
    }
    counts
}

/// How long who hangs is waited for.
const A_MOMENT: Duration = Duration::from_millis(200);
const FINE: (&str, &str, Does) = ("1.0.0", "eu", Does::Answer);

#[tokio::test]
async fn calls_are_spread_as_the_table_says_and_it_says_otherwise_when_told() -> Verdict {
    both_buses(async |way| {
        let near = porter(way, "near", FINE).await?;
        let far = porter(way, "far", ("1.0.0", "us", Does::Answer)).await?;
        let node = caller(way, 2).await?;
        let client = node.client();
        let spread = async |name: &str| -> Result<Vec<String>, Box<dyn Error>> {
            let route = format!(r#"{{"to": "porter", "spread": "{name}"}}"#);
            let version = node.set_routes(&table(&route)).await?;
            until("the table", async || node.routes().version == version).await;
            answers(&client, 40).await
        };
        let in_turn = spread("round-robin").await?;
        assert_eq!(count(&in_turn), [("far", 20), ("near", 20)].into());
        assert_eq!(count(&spread("region").await?), [("near", 40)].into());
        let by_key = spread("key").await?;
        assert_eq!(count(&by_key).len(), 2);
        assert_eq!(
            by_key,
            answers(&client, 40).await?,
            "a key stays where it is"
        );
        for name in ["random", "weighted", "least-in-flight", "queue"] {
            assert_eq!(count(&spread(name).await?).values().sum::<usize>(), 40);
        }
        // All nodes have the table, and one that comes later gets it.
        until("the others", async || near.routes().version == 7).await;
        let late = porter(way, "late", FINE).await?;
        assert_eq!(late.routes(), node.routes());
        for node in [late, near, far, node] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_canary_gets_its_share_of_keys_and_no_key_flips() -> Verdict {
    both_buses(async |way| {
        let old = porter(way, "old", FINE).await?;
        let new = porter(way, "new", ("2.0.0", "eu", Does::Answer)).await?;
        let node = caller(way, 2).await?;
        let client = node.client();
        let canary = async |share: u32| -> Result<Vec<String>, Box<dyn Error>> {
            let rules = format!(
                r#"{{"header": "X-Canary", "equals": "true", "versions": {{"^2": 1}}}},
                {{"field": "key", "equals": "k-vip", "versions": {{"^2": 1}}}},
                {{"versions": {{"^1": {}, "^2": {share}}}}}"#,
                100 - share
            );
            let route = format!(r#"{{"to": "porter.who", "rule": [{rules}]}}"#);
            node.set_routes(&table(&route)).await?;
            answers(&client, 300).await
        };
        let mut before = canary(10).await?;
        let tenth = count(&before)["new"];
        assert!((12..=50).contains(&tenth), "{tenth} of 300");
        assert_eq!(before, answers(&client, 300).await?);
        let who = |key: &str| Who { key: key.to_owned() };
        assert_eq!(
            client.call(who("k-1")).header("x-canary", "true").await?,
            "new"
        );
        assert_eq!(client.call(who("k-vip")).await?, "new");
        for share in [50, 100] {
            let after = canary(share).await?;
            let mut pairs = before.iter().zip(&after);
            assert!(
                !pairs.any(|(before, after)| before == "new" && after == "old"),
                "at {share}"
            );
            before = after;
        }
        assert_eq!(count(&before), [("new", 300)].into());
        // Without the new version its keys go where they can, and nobody waits.
        new.stop().await?;
        assert_eq!(count(&answers(&client, 20).await?), [("old", 20)].into());
        old.stop().await?;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_instance_that_fails_is_left_out_and_told_of() -> Verdict {
    both_buses(async |way| {
        let good = porter(way, "good", FINE).await?;
        let bad = porter(way, "bad", ("1.0.0", "eu", Does::Fail)).await?;
        let hung = porter(way, "hung", ("1.0.0", "eu", Does::Hang)).await?;
        let fine = porter(way, "fine", FINE).await?;
        let node = caller(way, 4).await?;
        let client = node.client();
        let mut news = way
            .bus
            .subscribe(&way.names().system("node.routes.news"), None)
            .await?;
        let eject = r#"{"failures": 3, "base": "60s"}"#;
        let route = format!(r#"{{"to": "porter", "spread": "round-robin", "eject": {eject}}}"#);
        node.set_routes(&table(&route)).await?;
        let call = async |key: usize| {
            let call = client.call(Who { key: format!("k{key}") });
            call.timeout(Duration::from_millis(100)).await
        };
        let mut failed = 0;
        for key in 0..60 {
            failed += usize::from(call(key).await.is_err());
        }
        // Three of each, and not one more.
        assert_eq!(failed, 6);
        let mut out = Vec::new();
        for _ in 0..2 {
            let told = news.next().await.ok_or("the news end")?;
            let told: News = codec::decode(&told.payload)?;
            assert_eq!((&*told.route, told.ejected_ms), ("porter", Some(60_000)));
            out.push(told.instance);
        }
        out.sort();
        assert!(
            out[0].starts_with("bad-") && out[1].starts_with("hung-"),
            "{out:?}"
        );
        for node in [good, bad, hung, fine, node] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn impatient_callers_do_not_have_an_instance_left_out() -> Verdict {
    both_buses(async |way| {
        let slow = ("1.0.0", "eu", Does::Slowly);
        let (one, two) = (
            porter(way, "one", slow).await?,
            porter(way, "two", slow).await?,
        );
        let node = caller(way, 2).await?;
        let client = node.client();
        let eject = r#"{"failures": 2, "base": "60s"}"#;
        let route = format!(r#"{{"to": "porter", "spread": "round-robin", "eject": {eject}}}"#);
        node.set_routes(&table(&route)).await?;
        let who = || client.call(Who { key: String::new() });
        for _ in 0..2 {
            for _ in 0..10 {
                let late = who().timeout(Duration::from_millis(20)).await;
                assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
            }
            let mut heard = BTreeSet::new();
            for _ in 0..4 {
                heard.insert(who().await?);
            }
            assert_eq!(heard.len(), 2, "both get calls: {heard:?}");
        }
        for node in [one, two, node] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_instance_that_answers_again_is_trusted_again_and_that_is_told() -> Verdict {
    both_buses(async |way| {
        let mended = Arc::default();
        let good = porter(way, "good", FINE).await?;
        let bad = mendable(way, "bad", ("1.0.0", "eu", Does::Fail), &mended).await?;
        let node = caller(way, 2).await?;
        let mut news = way
            .bus
            .subscribe(&way.names().system("node.routes.news"), None)
            .await?;
        let eject = r#"{"failures": 2, "base": "200ms"}"#;
        let route = format!(r#"{{"to": "porter", "spread": "round-robin", "eject": {eject}}}"#);
        node.set_routes(&table(&route)).await?;
        let client = node.client();
        let call = async || client.call(Who { key: String::new() }).await;
        let (mut spans, mut back) = (Vec::new(), false);
        while !back {
            call().await.ok();
            while let Some(told) = news.next().now_or_never().flatten() {
                let told: News = codec::decode(&told.payload)?;
                back = told.ejected_ms.is_none();
                spans.extend(told.ejected_ms);
                // It failed on probation, and is mended while it is left out again.
                mended.store(spans.len() == 2, SeqCst);
            }
        }
        assert_eq!(spans, [200, 400], "longer for the second time");
        for _ in 0..10 {
            call().await?;
        }
        for node in [good, bad, node] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_has_gone_without_a_word_costs_no_call() -> Verdict {
    both_buses(async |way| {
        let one = porter(way, "one", FINE).await?;
        let node = caller(way, 1).await?;
        // As if a node had been killed: it is in the roster, and nobody listens.
        let card = serde_json::json!({
            "instance": "ghost-1", "node": "ghost", "revision": 1, "ttl_ms": 60_000,
            "services": [{"name": "porter", "version": "1.0.0", "status": "healthy",
                "answers": ["porter.who"]}],
        });
        let card: callboard::roster::Card = serde_json::from_value(card)?;
        let subject = way.names().system("node.presence.news.card");
        let said = callboard::bus::Message::new(subject, codec::encode(&card)?);
        way.bus.send(said).await?;
        until("the ghost", async || {
            nodes(&node.roster(), "porter").len() == 2
        })
        .await;
        node.set_routes(&table(r#"{"to": "porter", "spread": "round-robin"}"#))
            .await?;
        let answers = answers(&node.client(), 10).await?;
        assert_eq!(count(&answers), [("one", 10)].into());
        one.stop().await?;
        let nobody = node.client().call(Who { key: String::new() }).await;
        assert!(
            matches!(nobody, Err(CallError::NoResponders { .. })),
            "{nobody:?}"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_command_goes_to_those_that_answer_it_and_not_to_other_versions() -> Verdict {
    both_buses(async |way| {
        let one = porter(way, "one", FINE).await?;
        let node = caller(way, 1).await?;
        let commands = way.names().instance_commands("old-1", "porter");
        let mut asked = way.bus.subscribe(&commands, None).await?;
        let card = serde_json::json!({
            "instance": "old-1", "node": "old", "revision": 1, "ttl_ms": 60_000,
            "services": [{"name": "porter", "version": "0.9.0", "status": "healthy",
                "answers": ["porter.else"]}],
        });
        let card: callboard::roster::Card = serde_json::from_value(card)?;
        let subject = way.names().system("node.presence.news.card");
        let said = callboard::bus::Message::new(subject, codec::encode(&card)?);
        way.bus.send(said).await?;
        until("the old one", async || {
            nodes(&node.roster(), "porter").len() == 2
        })
        .await;
        node.set_routes(&table(r#"{"to": "porter", "spread": "round-robin"}"#))
            .await?;
        let answers = answers(&node.client(), 10).await?;
        assert_eq!(count(&answers), [("one", 10)].into());
        assert!(asked.next().now_or_never().is_none());
        one.stop().await?;
        Ok(node.stop().await?)
    })
    .await
}
