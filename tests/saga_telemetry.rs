//! What a dashboard is promised of sagas: each that begins, each that ends, and
//! each step is counted, and log lines can be told apart by saga and step.

#[path = "sagas/market.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "it is shared with other tests"
)]
mod market;

use callboard::{
    Abort, Actor, Answer, Bus, Command, Context, Decision, Entity, Failure, Group, Infallible,
    Node, Refusal, Saga, Steps, Subject, saga::Sagas, telemetry,
};
use market::{Cleared, Outcome, checkouts, orders, placed, purse, shelf};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

const SOON: Duration = Duration::from_secs(10);

/// Notes every span of sagas as a line: its name, its parent's name, its fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    names: Vec<&'static str>,
    entered: Vec<u64>,
    lines: Vec<String>,
    said: Vec<String>,
}

impl Spans {
    fn with<T>(&self, work: impl FnOnce(&mut Seen) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes all");
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target.contains("callboard::saga") || target.contains("callboard::actor")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.with(|seen| {
            let parent = seen.entered.last().filter(|_| !span.is_root());
            let parent = parent.map_or("none", |id| {
                seen.names[usize::try_from(id - 1).unwrap_or(0)]
            });
            let mut line = format!("{} in {parent}:", span.metadata().name());
            span.record(&mut Line(&mut line));
            seen.names.push(span.metadata().name());
            seen.lines.push(line);
            Id::from_u64(seen.names.len() as u64)
        })
    }

    fn enter(&self, span: &Id) {
        self.with(|seen| seen.entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        self.with(|seen| {
            let at = seen.entered.iter().rposition(|id| *id == span.into_u64());
            at.map(|at| seen.entered.remove(at));
        });
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.with(|seen| {
            let span = event.parent().map(Id::into_u64);
            let span = span.or_else(|| seen.entered.last().copied());
            let span = span.and_then(|id| usize::try_from(id - 1).ok());
            let mut line = String::from("said");
            event.record(&mut Line(&mut line));
            write!(
                line,
                " within {}",
                span.map_or("nothing", |at| &seen.lines[at])
            )
            .expect("a string takes all");
            seen.said.push(line);
        });
    }
}

/// Reads all metrics of sagas: their name and labels, and what they stand at.
fn counts(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    let all = all.filter(|(key, ..)| key.key().name().contains("saga"));
    all.map(|(key, _, _, value)| {
        let labels = key.key().labels().map(metrics::Label::value);
        let labels: Vec<_> = labels.collect();
        let name = format!("{} {}", key.key().name(), labels.join(" "));
        let value = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Gauge(now) => now.into_inner().to_bits(),
            DebugValue::Histogram(all) => all.len() as u64,
        };
        (name, value)
    })
    .collect()
}

#[test]
fn sagas_and_their_steps_are_counted_and_traced() -> Outcome {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install()?;
    let spans = Spans::default();
    tracing::subscriber::set_global_default(spans.clone())?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(shop())?;

    steps_are_counted(&counts(&snapshotter));
    let (lines, said) = spans.with(|seen| (seen.lines.clone(), seen.said.clone()));
    steps_are_traced(&lines);
    handlers_are_traced(&lines, &said);
    Ok(())
}

fn steps_are_counted(counts: &BTreeMap<String, u64>) {
    let of = |name: &str, labels: &str| counts.get(&format!("{name} {labels}")).copied();
    let expected = [
        (telemetry::SAGAS_STARTED_TOTAL, "checkout", 3),
        (telemetry::SAGAS_ENDED_TOTAL, "checkout completed", 1),
        (telemetry::SAGAS_ENDED_TOTAL, "checkout compensated", 2),
        (telemetry::SAGAS_ENDED_TOTAL, "nervous parked", 1),
        (telemetry::SAGAS_LIVE, "checkout", 0.0_f64.to_bits()),
        (telemetry::SAGA_STEPS_TOTAL, "checkout shelf.hold done", 3),
        (telemetry::SAGA_STEPS_TOTAL, "checkout purse.pay done", 2),
        (telemetry::SAGA_STEPS_TOTAL, "checkout purse.pay refused", 1),
        (
            telemetry::SAGA_STEPS_TOTAL,
            "checkout orders.confirm refused",
            1,
        ),
        (telemetry::SAGA_STEP_SECONDS, "checkout shelf.hold", 3),
        (telemetry::SAGA_STEP_SECONDS, "checkout orders.confirm", 2),
        (telemetry::SAGA_UNDONE_TOTAL, "checkout shelf.free", 2),
        (telemetry::SAGA_UNDONE_TOTAL, "checkout purse.repay", 1),
        (telemetry::SAGA_ATTEMPTS_TOTAL, "checkout call done", 6),
    ];
    for (name, labels, count) in expected {
        assert_eq!(
            of(name, labels),
            Some(count),
            "{name} {labels} of {counts:#?}"
        );
    }
}

fn steps_are_traced(lines: &[String]) {
    let has = |start: &str, parts: &[&str]| {
        let mut found = lines.iter().filter(|line| line.starts_with(start));
        assert!(
            found.any(|line| parts.iter().all(|part| line.contains(part))),
            "{start} {parts:?} of {lines:#?}"
        );
    };
    let (saga, step, undo) = (
        telemetry::SAGA_SPAN,
        telemetry::STEP_SPAN,
        telemetry::UNDO_SPAN,
    );
    has(saga, &["saga=\"checkout\"", "id=good", "correlation="]);
    has(
        &format!("{step} in {saga}:"),
        &[
            "saga=\"checkout\"",
            "id=good",
            "step=\"purse.pay\"",
            "attempt=1",
        ],
    );
    has(
        &format!("{undo} in {saga}:"),
        &[
            "saga=\"checkout\"",
            "id=late",
            "step=\"shelf.hold\"",
            "attempt=1",
        ],
    );
}

/// Each message is handled in one span, and what is said of a failure stands in it.
fn handlers_are_traced(lines: &[String], said: &[String]) {
    let twice = lines
        .iter()
        .find(|line| line.starts_with("handle in handle:"));
    assert_eq!(twice, None, "of {lines:#?}");
    let once = |start: &str| lines.iter().any(|line| line.starts_with(start));
    assert!(once("handle in none:"), "{lines:#?}");
    for (what, subject) in [
        ("a handler failed", "desk.fail"),
        ("a decision failed", "vault.open"),
    ] {
        let line = said.iter().find(|line| line.contains(what));
        let line = line.unwrap_or_else(|| unreachable!("{what} is said: {said:#?}"));
        let within = line
            .split_once(" within handle in none:")
            .map(|(_, span)| span);
        let within = within.unwrap_or_else(|| unreachable!("it is said in its span: {line}"));
        for part in [subject, "id=", "correlation="] {
            assert!(within.contains(part), "{part} of {line}");
        }
    }
}

/// Fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Fail;

impl Command for Fail {
    const SUBJECT: Subject = Subject::new("desk.fail");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open;

impl Command for Open {
    const SUBJECT: Subject = Subject::new("vault.open");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        "one".into()
    }
}

/// An actor and an entity that fail.
fn failing() -> [Group; 2] {
    let fail = async |(): &mut (), _: Fail, _: &Context| -> Answer<Fail> {
        Err(Failure::retry("no luck").into())
    };
    let desk = Actor::new("desk", async || Ok::<_, Failure>(())).answer(fail);
    let vault = Entity::new("vault", || ()).decide_with(
        async |_: &Open, _: &Context| -> Result<(), Refusal<Infallible>> {
            Err(Failure::retry("no key").into())
        },
        |(): &(), _: Open, ()| Ok(Decision::nothing()),
    );
    [
        Group::new("desk").child(desk),
        Group::new("vault").child(vault),
    ]
}

/// Is woken by an event, and then goes no further.
fn nervous() -> Saga<String, ()> {
    Saga::new("nervous", async |steps: &mut Steps, order: String| {
        let wait = Duration::from_millis(1_900);
        steps.wait_for::<Cleared>(order, wait).await;
        steps.pivot();
        Err(Abort::new("it lost its nerve"))
    })
    .hears(|cleared: &Cleared| cleared.order.clone())
}

/// One checkout of each kind: done, declined, too late.
async fn shop() -> Outcome {
    let node = Node::new("one", Bus::embedded())
        .group(shelf())
        .group(purse())
        .group(orders(checkouts()))
        .group(Group::new("nerves").child(nervous()));
    let node = failing().into_iter().fold(node, Node::group);
    let node = node.start().await?;
    assert!(node.client().call(Fail).await.is_err());
    assert!(node.client().call(Open).await.is_err());
    let sagas = Sagas::open(&node.client(), "checkout").await?;
    for id in ["good", "declined", "late"] {
        sagas.start(id, &placed(id)).await?;
        sagas.wait::<String>(id, SOON).await?;
    }
    let sagas = Sagas::open(&node.client(), "nervous").await?;
    sagas.start("o-1", &"o-1").await?;
    while sagas.status("o-1").await.is_err() {
        tokio::task::yield_now().await;
    }
    let cleared = Cleared { order: "o-1".into() };
    node.client().publish(cleared).await?;
    sagas.wait::<()>("o-1", SOON).await?;
    node.stop().await?;
    Ok(())
}
