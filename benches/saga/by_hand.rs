//! The checkout by hand, on either bus.

use crate::{
    shop::{Confirm, free_of, hold_of, id, is_declined, number, pay_of},
    support::Outcome,
};
use callboard::{
    Bus, Command,
    bus::{Stored, Stream, StreamConfig},
    message::{Key, Namespace},
};
use std::{cell::RefCell, collections::HashMap};
use tokio::sync::oneshot;

/// How many are worked on at once, as in a saga.
pub(crate) const PENDING: usize = 4_096;

/// What one saga of each kind wrote, to be written again by hand.
pub(crate) struct Script {
    errand: Stored,
    good: Vec<Stored>,
    declined: Vec<Stored>,
}

impl Script {
    /// Reads what the sagas that began at this number wrote.
    pub(crate) async fn read(bus: &Bus, from: u64) -> Outcome<Self> {
        let namespace: Namespace = "bench".parse()?;
        let journal = bus
            .stream(&StreamConfig::sagas(&namespace, "checkout"))
            .await?;
        let read = async |at: u64| -> Outcome<Vec<Stored>> {
            let subject = namespace.saga("checkout", &Key::new(&id(at))?);
            Ok(journal.read(&subject, 1).await?.all().await?)
        };
        let good = (from..from + 10)
            .find(|at| !is_declined(*at))
            .unwrap_or(from);
        let declined = (from..from + 10)
            .find(|at| is_declined(*at))
            .unwrap_or(from);
        let errands = bus
            .stream(&StreamConfig::errands(&namespace, "checkout"))
            .await?;
        let subject = format!("bench.run.checkout.{}", id(good));
        let errand = errands.last(&subject).await?.ok_or("nothing was started")?;
        let script = Self { errand, good: read(good).await?, declined: read(declined).await? };
        assert_eq!(
            (script.good.len(), script.declined.len()),
            (4, 4),
            "pages of a journal"
        );
        Ok(script)
    }

    fn pages(&self, declined: bool) -> &[Stored] {
        if declined { &self.declined } else { &self.good }
    }
}

/// Who waits for the end of a checkout.
pub(crate) type Waiting = RefCell<HashMap<String, oneshot::Sender<bool>>>;

/// What is done by hand, on either bus.
pub(crate) trait Hand {
    fn script(&self) -> &Script;

    fn waiting(&self) -> &Waiting;

    /// Appends what a saga appended; returns its sequence.
    async fn append(&self, at: Place<'_>, like: &Stored) -> u64;

    async fn call<C: Command>(&self, command: C) -> bool;

    /// Queues a checkout, and waits for its end.
    async fn order(&self, order: String) -> bool {
        let (ended, end) = oneshot::channel();
        self.waiting().borrow_mut().insert(order.clone(), ended);
        self.append(Place::Errand(&order), &self.script().errand)
            .await;
        end.await.expect("it ends")
    }

    /// Checks out as the saga does: intent before each call, result after it.
    async fn run(&self, order: &str) {
        let declined = is_declined(number(order));
        let [first, second, third, fourth] = self.script().pages(declined) else {
            unreachable!("a journal has four pages");
        };
        let last = self.append(Place::Journal(order, 0), first).await;
        assert!(self.call(hold_of(order)).await);
        let last = self.append(Place::Journal(order, last), second).await;
        assert_eq!(self.call(pay_of(order, declined)).await, !declined);
        let last = self.append(Place::Journal(order, last), third).await;
        if declined {
            let hold = format!("hold of {order}");
            assert!(self.call(free_of(order, &hold)).await);
        } else {
            assert!(self.call(Confirm { order: order.to_owned() }).await);
        }
        self.append(Place::Journal(order, last), fourth).await;
        let waiting = self.waiting().borrow_mut().remove(order);
        waiting.expect("it was ordered here").send(!declined).ok();
    }
}

/// Where something is appended, and after what.
pub(crate) enum Place<'a> {
    Errand(&'a str),
    Journal(&'a str, u64),
}

impl Place<'_> {
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Errand(order) => format!("bench.run.raw.{order}"),
            Self::Journal(order, _) => format!("bench.saga.raw.{order}"),
        }
    }

    pub(crate) const fn after(&self) -> Option<u64> {
        match self {
            Self::Errand(_) => None,
            Self::Journal(_, after) => Some(*after),
        }
    }
}

/// Makes streams like those of a saga.
pub(crate) async fn other_streams(bus: &Bus) -> Outcome<(Stream, Stream)> {
    let namespace: Namespace = "bench".parse()?;
    let journal = bus.stream(&StreamConfig::sagas(&namespace, "raw")).await?;
    let errands = bus
        .stream(&StreamConfig::errands(&namespace, "raw"))
        .await?;
    Ok((journal, errands))
}

/// Returns how many messages the saga's streams have.
pub(crate) async fn appended(bus: &Bus) -> Outcome<u64> {
    let namespace: Namespace = "bench".parse()?;
    let journal = bus
        .stream(&StreamConfig::sagas(&namespace, "checkout"))
        .await?;
    let errands = bus
        .stream(&StreamConfig::errands(&namespace, "checkout"))
        .await?;
    Ok(journal.info().await?.messages + errands.info().await?.messages)
}
