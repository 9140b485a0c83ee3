//! A farm whose events fail as long as they are told to.

use crate::support::{
    log::Log,
    way::{Way, until},
};
use callboard::{
    Actor, Context, Event, Failure, Group, NodeError, Retry, Running, Subject,
    call::{Operator, Parked},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::HashSet,
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::sleep;

pub(crate) const SHORT: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sown {
    pub(crate) field: String,
    pub(crate) n: u32,
}

impl Event for Sown {
    const SUBJECT: Subject = Subject::new("farm.sown");

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

/// What farmers of one farm share: what they handled, and what they cannot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Farm {
    pub(crate) log: Log,
    bad: Arc<Mutex<HashSet<String>>>,
    discards: Arc<Mutex<HashSet<String>>>,
    /// How many milliseconds an event takes.
    pace: Arc<AtomicU64>,
}

impl Farm {
    fn set(set: &Mutex<HashSet<String>>) -> std::sync::MutexGuard<'_, HashSet<String>> {
        set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an event fail, such as `a1`.
    pub(crate) fn spoil(&self, name: &str) {
        Self::set(&self.bad).insert(name.to_owned());
    }

    /// Lets an event be given up at once.
    pub(crate) fn refuse(&self, name: &str) {
        Self::set(&self.discards).insert(name.to_owned());
    }

    /// Lets every event take so long.
    pub(crate) fn pace(&self, pace: Duration) {
        let pace = u64::try_from(pace.as_millis()).unwrap_or(u64::MAX);
        self.pace.store(pace, Relaxed);
    }

    /// Lets all events be handled again.
    pub(crate) fn mend(&self) {
        Self::set(&self.bad).clear();
        Self::set(&self.discards).clear();
    }

    async fn sown(&mut self, sown: Sown, _: &Context) -> Result<(), Failure> {
        let name = format!("{}{}", sown.field, sown.n);
        if Self::set(&self.discards).contains(&name) {
            return Err(Failure::discard("weeds"));
        }
        if Self::set(&self.bad).contains(&name) {
            return Err(Failure::retry("drought"));
        }
        let pace = self.pace.load(Relaxed);
        if pace > 0 {
            sleep(Duration::from_millis(pace)).await;
        }
        self.log.note(name);
        Ok(())
    }

    pub(crate) fn farmer(&self) -> Actor<Self> {
        let farm = self.clone();
        Actor::new("farmer", async move || Ok(farm.clone()))
            .on(Self::sown)
            .retry(Retry::new(2).backoff(SHORT, SHORT))
    }

    pub(crate) fn group(&self) -> Group {
        Group::new("barn").child(self.farmer())
    }

    pub(crate) async fn start(&self, way: &Way) -> Result<Running, NodeError> {
        way.node("n").group(self.group()).start().await
    }

    /// Waits until these were handled, in this order per key, and nothing else.
    #[track_caller]
    pub(crate) fn handled(&self, expected: &[&str]) {
        assert_eq!(self.log.lines(), expected);
    }
}

pub(crate) fn sown(field: &str, n: u32) -> Sown {
    Sown { field: field.to_owned(), n }
}

/// Publishes events named by field and number, such as `a1 a2 b1`.
pub(crate) async fn sow(way: &Way, names: &str) -> Result<(), Box<dyn Error>> {
    let client = way.client();
    for name in names.split_whitespace() {
        let (field, n) = name.split_at(1);
        client.publish(sown(field, n.parse()?)).await?;
    }
    Ok(())
}

pub(crate) fn operator(way: &Way) -> Operator {
    Operator::new(way.bus.clone(), way.names()).source("/test/op")
}

/// Waits until so many keys are parked, and returns them by key.
pub(crate) async fn parked(way: &Way, count: usize) -> Vec<Parked> {
    let operator = operator(way);
    let found = async || operator.parked().await.unwrap_or_default();
    until(&format!("{count} parked keys"), async || {
        let found = found().await;
        found.len() == count && found.iter().all(|key| key.state.as_str() == "parked")
    })
    .await;
    let mut parked = found().await;
    parked.sort_by(|a, b| a.key.cmp(&b.key));
    parked
}

/// Waits until no key is parked.
pub(crate) async fn free(way: &Way) {
    let operator = operator(way);
    until("no parked key", async || {
        operator
            .parked()
            .await
            .is_ok_and(|parked| parked.is_empty())
    })
    .await;
}
