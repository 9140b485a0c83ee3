//! What a dashboard is promised: what was done, and what was not, is counted.

use callboard::{
    Bus, Command, Entity, Event, Group, Node, Rejection, Subject,
    telemetry::{EXPIRED_TOTAL, HANDLED_TOTAL},
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Draw {
    well: String,
    buckets: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the well is dry")]
struct Dry;

impl Rejection for Dry {}

impl Command for Draw {
    const SUBJECT: Subject = Subject::new("wells.draw");
    type Outcome = Result<u64, Dry>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.well)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Drawn {
    well: String,
    buckets: u64,
}

impl Event for Drawn {
    const SUBJECT: Subject = Subject::new("wells.drawn");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.well)
    }
}

/// A well of ten buckets; who draws none holds it until the gate opens.
fn wells(held: Arc<Notify>, gate: mpsc::Receiver<()>) -> Group {
    let gate = Arc::new(Mutex::new(gate));
    let well = Entity::new("well", || 10_u64)
        .decide(move |left: &u64, Draw { well, buckets }: Draw| {
            if buckets == 0 {
                held.notify_one();
                let gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
                gate.recv().expect("the test opens the gate");
            }
            let left = left.checked_sub(buckets).ok_or(Dry)?;
            Ok((Drawn { well, buckets }, left))
        })
        .apply(|left: &mut u64, drawn: &Drawn| *left -= drawn.buckets);
    Group::new("wells").child(well)
}

fn draw(buckets: u64) -> Draw {
    Draw { well: "w1".into(), buckets }
}

/// All that was counted; a snapshot takes out what it shows.
struct Counts {
    snapshotter: Snapshotter,
    all: HashMap<(String, Vec<String>), u64>,
}

impl Counts {
    /// Waits until so many are counted: that is after the caller has its answer.
    async fn reach(&mut self, count: u64, name: &str, labels: &[&str]) {
        let within = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.of(name, labels);
            if found >= count {
                return assert_eq!(found, count, "{name} {labels:?}");
            }
            assert!(
                Instant::now() < within,
                "{name} {labels:?}: {found} of {count}"
            );
            tokio::task::yield_now().await;
        }
    }

    fn of(&mut self, name: &str, labels: &[&str]) -> u64 {
        for (key, .., value) in self.snapshotter.snapshot().into_vec() {
            if let DebugValue::Counter(count) = value {
                let key = key.key();
                let labels = key.labels().map(|label| label.value().to_owned());
                let entry = (key.name().to_owned(), labels.collect());
                *self.all.entry(entry).or_default() += count;
            }
        }
        let wanted = |(of, values): &(String, Vec<String>)| {
            of == name
                && labels
                    .iter()
                    .all(|label| values.iter().any(|value| value == label))
        };
        self.all
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(_, count)| count)
            .sum()
    }
}

#[tokio::test]
async fn commands_of_an_entity_are_counted_when_they_are_answered_and_when_they_come_too_late()
-> Result<(), Box<dyn std::error::Error>> {
    let recorder = DebuggingRecorder::new();
    let mut counts = Counts { snapshotter: recorder.snapshotter(), all: HashMap::new() };
    recorder.install()?;
    let (open, gate) = mpsc::channel();
    let held = Arc::new(Notify::new());
    let node = Node::new("n", Bus::embedded())
        .group(wells(Arc::clone(&held), gate))
        .start()
        .await?;
    let client = node.client();

    for _ in 0..3 {
        client.call(draw(2)).await?;
    }
    client.call(draw(5)).await.expect_err("a dry well");
    let labels = ["wells/well", "wells.draw", "done"];
    // A rejection is an answer.
    counts.reach(4, HANDLED_TOTAL, &labels).await;

    // The first holds the well while the deadline of the second passes.
    let late = async {
        timeout(Duration::from_secs(10), held.notified()).await?;
        let late = client
            .call(draw(1))
            .timeout(Duration::from_millis(50))
            .await;
        late.expect_err("nobody came to it");
        Ok::<_, Box<dyn std::error::Error>>(open.send(())?)
    };
    let (left, late) = tokio::join!(client.call(draw(0)).into_future(), late);
    late?;
    assert_eq!(left?, 4);
    assert_eq!(
        client.call(draw(1)).await?,
        3,
        "what came too late was not done"
    );
    counts.reach(1, EXPIRED_TOTAL, &["wells/well"]).await;
    // Not the late one.
    counts.reach(6, HANDLED_TOTAL, &labels).await;
    node.stop().await?;
    assert_eq!(counts.of(HANDLED_TOTAL, &labels), 6);
    Ok(())
}
