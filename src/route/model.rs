//! Callers and instances on a paused clock: what a sick one costs, to the millisecond.

use super::{News, RouteTable, Routes, Sign, Wish};
use crate::roster::{Card, Roster};
use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};
use tokio::{
    task::{JoinSet, LocalSet},
    time::{Instant, sleep},
};

const CALLERS: u64 = 16;
const NAMES: [&str; 4] = ["a", "b", "c", "sick"];
/// How long each of the three acts takes: all are well, one is sick, it is well again.
const ACT: Duration = Duration::from_secs(10);
/// How long a caller waits.
const PATIENCE: Duration = Duration::from_millis(250);

struct Plain;

impl Wish for Plain {
    fn command(&self) -> &'static str {
        "porter.carry"
    }

    fn domain(&self) -> &'static str {
        "porter"
    }

    fn key(&self) -> Cow<'_, str> {
        fastrand::u64(..).to_string().into()
    }

    fn header(&self, _: &str) -> Option<String> {
        None
    }

    fn field(&self, _: &str) -> Option<String> {
        None
    }
}

/// How an instance ails.
#[derive(Clone, Copy, Debug)]
enum Ailment {
    Slow,
    Fails,
    Hangs,
}

impl Ailment {
    /// Returns how long a call to it takes, and whether it is answered.
    const fn end(self) -> (Duration, bool) {
        match self {
            Self::Slow => (Duration::from_millis(200), true),
            Self::Fails => (Duration::from_millis(1), false),
            Self::Hangs => (PATIENCE, false),
        }
    }
}

/// One call, and who had it.
struct Past {
    began: Duration,
    took: Duration,
    is_sick: bool,
    well: bool,
}

#[derive(Default)]
struct Story {
    calls: RefCell<Vec<Past>>,
    news: RefCell<Vec<(Duration, News)>>,
}

impl Story {
    /// Returns the p99 of the calls that began in an act.
    fn p99(&self, act: u32, wanted: impl Fn(&Past) -> bool) -> Duration {
        let calls = self.calls.borrow();
        let chosen = calls.iter().filter(|past| is_in(past, act) && wanted(past));
        let mut took: Vec<_> = chosen.map(|past| past.took).collect();
        took.sort();
        took[took.len() * 99 / 100]
    }

    fn count(&self, act: u32, wanted: impl Fn(&Past) -> bool) -> usize {
        let calls = self.calls.borrow();
        calls
            .iter()
            .filter(|past| is_in(past, act) && wanted(past))
            .count()
    }
}

fn is_in(past: &Past, act: u32) -> bool {
    (ACT * act..ACT * (act + 1)).contains(&past.began)
}

fn roster() -> Roster {
    all_of(NAMES.map(|name| (name, "1.0.0", "100")))
}

/// Returns a roster of these names, versions and weights.
fn all_of(all: impl IntoIterator<Item = (&'static str, &'static str, &'static str)>) -> Roster {
    let roster = Roster::default();
    for (name, version, weight) in all {
        let card = serde_json::json!({
            "instance": name, "node": name, "revision": 1, "ttl_ms": 600_000,
            "services": [{"name": "porter", "version": version, "status": "healthy",
                "answers": ["porter.carry"], "metadata": {"weight": weight}}],
        });
        let card: Card = serde_json::from_value(card).expect("a card");
        roster.hear(card, Instant::now(), "");
    }
    roster
}

async fn call_on((routes, roster): (Routes, Roster), ailment: Ailment, story: Rc<Story>) {
    let start = Instant::now();
    while start.elapsed() < ACT * 3 {
        let (began, is_act) = (start.elapsed(), ACT..ACT * 2);
        let chosen = routes.choose(&Plain, &roster, ("", ""), &[]);
        let chosen = chosen.expect("somebody is there");
        let is_sick = chosen.instance().id() == "sick";
        let (time, well) = if is_sick && is_act.contains(&began) {
            ailment.end()
        } else {
            (Duration::from_millis(fastrand::u64(10..=20)), true)
        };
        sleep(time).await;
        let took = start.elapsed().saturating_sub(began);
        story
            .calls
            .borrow_mut()
            .push(Past { began, took, is_sick, well });
        let sign = if well { Sign::Answered } else { Sign::Failed };
        let news = chosen.ended(sign, "model");
        let told = news.map(|news| (start.elapsed(), news));
        story.news.borrow_mut().extend(told);
    }
}

/// Plays the three acts.
async fn play(spread: &str, ailment: Ailment) -> Story {
    let eject = r#"{"window": "2s", "base": "1s", "slow": "100ms"}"#;
    let table =
        format!(r#"{{"route": [{{"to": "porter", "spread": "{spread}", "eject": {eject}}}]}}"#);
    let table: RouteTable = serde_json::from_str(&table).expect("a table");
    let routes = Routes::default();
    routes.set(table, None).expect("a sound table");
    let (roster, story) = (roster(), Rc::default());
    let callers = (0..CALLERS).map(|_| {
        let way = (routes.clone(), roster.clone());
        call_on(way, ailment, Rc::clone(&story))
    });
    let local = LocalSet::new();
    let mut calling = JoinSet::new();
    for caller in callers {
        calling.spawn_local_on(caller, &local);
    }
    local.run_until(calling.join_all()).await;
    Rc::into_inner(story).expect("all callers are done")
}

fn assert_held(story: &Story, case: &str) {
    let news = story.news.borrow();
    let (ejected, first) = news.first().expect("it is ejected");
    assert!(news.iter().all(|(_, news)| news.instance == "sick"));
    assert!(first.ejected_ms.is_some());
    assert!(
        *ejected < ACT + Duration::from_secs(2),
        "{case}: at {ejected:?}"
    );
    let (back, last) = news.last().expect("it is back");
    assert_eq!(last.ejected_ms, None, "{case}");
    let ejections = news
        .iter()
        .filter(|(_, news)| news.ejected_ms.is_some())
        .count();
    let hit = story.count(1, |past| past.is_sick);
    // Seven in a row, what was on its way, and a probe for each ejection but the last.
    let most = 7 + usize::try_from(CALLERS).expect("few") + ejections;
    assert!(hit <= most, "{case}: {hit} calls");
    let baseline = story.p99(0, |_| true);
    let (others, all) = (story.p99(1, |past| !past.is_sick), story.p99(1, |_| true));
    eprintln!(
        "{case}: ejected after {:?}, {ejections} times; {hit} of {} calls hit it; p99 {baseline:?}, \
         others {others:?}, all {all:?}; back {:?} after it was well",
        ejected.saturating_sub(ACT),
        story.count(1, |_| true),
        back.saturating_sub(ACT * 2),
    );
    assert!(others <= baseline.mul_f64(1.2), "{case}: {others:?}");
    assert!(all <= baseline.mul_f64(1.2), "{case}: {all:?} of all");
    let share = |act| story.count(act, |past| past.is_sick) * 100 / story.count(act, |_| true);
    assert!(share(2) * 2 > share(0), "{case}: it has work again");
    assert_eq!(story.count(2, |past| !past.well), 0, "{case}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_sick_costs_the_others_nothing_and_is_back_when_it_is_well() {
    for spread in ["least-in-flight", "round-robin", "key"] {
        for ailment in [Ailment::Slow, Ailment::Fails, Ailment::Hangs] {
            fastrand::seed(7);
            let story = play(spread, ailment).await;
            assert_held(&story, &format!("{spread}, {ailment:?}"));
        }
    }
}

/// Makes a route work, and has all calls fail; returns who got how many, and who was
/// left out in the end.
fn all_fail(route: &str, roster: &Roster) -> (BTreeMap<String, usize>, Vec<String>) {
    let table = RouteTable::from_json(&format!(r#"{{"route": [{route}]}}"#)).expect("a table");
    let routes = Routes::default();
    routes.set(table, None).expect("a sound table");
    let mut got = BTreeMap::new();
    for _ in 0..400 {
        let chosen = routes.choose(&Plain, roster, ("", ""), &[]);
        let chosen = chosen.expect("somebody is there");
        *got.entry(chosen.instance().id().to_owned()).or_default() += 1;
        chosen.ended(Sign::Failed, "model");
    }
    let out = routes.ejected(Instant::now());
    (got, out.into_iter().map(|out| out.instance).collect())
}

#[test]
fn one_without_weight_gets_nothing_though_all_others_fail() {
    let roster = all_of([
        ("a", "1.0.0", "0"),
        ("b", "1.0.0", "1"),
        ("c", "1.0.0", "1"),
    ]);
    for spread in ["weighted", "key"] {
        let eject = r#"{"failures": 1, "most": 1.0}"#;
        let route = format!(r#"{{"to": "porter", "spread": "{spread}", "eject": {eject}}}"#);
        let (got, out) = all_fail(&route, &roster);
        assert_eq!(got.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(out, ["b", "c"]);
    }
}

#[test]
fn of_each_version_no_more_than_half_are_left_out() {
    let versions = [
        ("a", "1.0.0"),
        ("b", "1.1.0"),
        ("c", "2.0.0"),
        ("d", "2.0.0"),
    ];
    let roster = all_of(versions.map(|(name, version)| (name, version, "1")));
    let route = r#"{"to": "porter", "eject": {"failures": 1},
        "rule": [{"versions": {"^1": 1, "^2": 1}}]}"#;
    let (_, out) = all_fail(route, &roster);
    let of = |names: [&str; 2]| out.iter().filter(|out| names.contains(&&***out)).count();
    assert_eq!((of(["a", "b"]), of(["c", "d"])), (1, 1), "{out:?}");
}
