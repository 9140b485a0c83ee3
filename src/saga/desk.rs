//! What a runner has at hand, shared by all that works for it.

use super::{
    errand::{self, Errand, Errands},
    journal::Journals,
    page::{Begin, Ending, Move},
    plan::Plan,
    visit::{Leave, Visit},
};
use crate::{
    bus::{Delivery, Message, StreamError},
    call::Client,
    message::{Key, codec},
    telemetry::SAGAS_ENDED_TOTAL,
    time::from_unix_ms,
};
use serde::Serialize;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

/// After how long a saga is asked again that was visited already.
const BUSY: Duration = Duration::from_secs(2);

/// How long a waiting starter waits before it looks again, at first and at most.
const GLANCES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What a runner has at hand.
pub(super) struct Desk {
    pub(super) plan: Arc<Plan>,
    pub(super) journals: Journals,
    pub(super) errands: Errands,
    /// The sagas that are visited now: what they are told on, and what asked for it.
    visited: RefCell<HashMap<Key, (watch::Sender<u64>, u64)>>,
    /// The sagas whose end is awaited here.
    awaited: RefCell<HashMap<Key, Rc<Notify>>>,
    stopping: watch::Receiver<bool>,
}

/// What dashboards hear of a saga.
#[derive(Serialize)]
struct News<'a> {
    id: &'a str,
    reason: Option<&'a str>,
}

impl Desk {
    pub(super) async fn open(
        plan: Arc<Plan>,
        client: &Client,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, StreamError> {
        let journals = Journals::open(client, plan.name).await?;
        let errands = Errands::open(client, plan.name).await?;
        Ok(Self {
            plan,
            journals,
            errands,
            visited: RefCell::default(),
            awaited: RefCell::default(),
            stopping,
        })
    }

    /// Does what an errand asks for, and acknowledges it when nothing is left of it.
    pub(super) async fn serve(self: Rc<Self>, delivery: Delivery) {
        let saga = self.plan.name;
        let (id, errand) = match errand::read(&delivery.message) {
            Ok(read) => read,
            Err(reason) => {
                let (subject, sequence) = (&delivery.message.subject, delivery.message.sequence);
                tracing::error!(
                    saga,
                    subject,
                    sequence,
                    reason,
                    "what asks a saga to go on is passed over"
                );
                return said(delivery.term().await);
            }
        };
        let Some(visit) = self.enter(&id, errand, &delivery) else {
            return self.pass_on(&id, delivery).await;
        };
        let leaving = Leaving(&self, &id);
        let pokes = visit.pokes.clone();
        let lease = Rc::clone(&visit.lease);
        if visit.is_first {
            self.announce(&id, "started", None).await;
        }
        let mut stopping = self.stopping.clone();
        let left = tokio::select! {
            left = visit.make() => left,
            () = self.hold(&delivery, &lease) => Leave::Lost,
            _ = stopping.wait_for(|&stopping| stopping) => Leave::Later(Duration::ZERO),
        };
        let left = match left {
            Leave::Away(until, _) if !self.set_alarm(&id, until).await => Leave::Later(BUSY),
            left => left,
        };
        drop(leaving);
        // Who was told of it up to here did nothing about it but tell the visit.
        let missed = match left {
            Leave::Away(_, seen) => *pokes.borrow() != seen,
            Leave::Parked(_) | Leave::Nothing => *pokes.borrow() > 0,
            _ => false,
        };
        if missed {
            return said(delivery.nak(Duration::ZERO).await);
        }
        self.leave(&id, left, delivery).await;
    }

    /// Begins a visit, unless the saga is visited here.
    fn enter(&self, id: &Key, errand: Errand, delivery: &Delivery) -> Option<Visit> {
        let mut visited = self.visited.borrow_mut();
        if visited.contains_key(id) {
            return None;
        }
        let pokes = watch::Sender::new(0);
        visited.insert(id.clone(), (pokes.clone(), delivery.message.sequence));
        let is_first = errand.begin.is_some() && delivery.attempt == 1;
        Some(Visit {
            plan: Arc::clone(&self.plan),
            journals: self.journals.clone(),
            id: id.clone(),
            begin: errand.begin,
            is_first,
            lease: Rc::new(Cell::new(Instant::now() + self.plan.lease)),
            pokes,
        })
    }

    /// Tells who visits a saga that it was asked again.
    async fn pass_on(&self, id: &Key, delivery: Delivery) {
        let visitor = self.visited.borrow().get(id).cloned();
        let own = visitor.is_some_and(|(pokes, sequence)| {
            pokes.send_modify(|poked| *poked += 1);
            sequence == delivery.message.sequence
        });
        // What the visit itself is for comes again until the visit is over.
        said(if own {
            delivery.nak(BUSY).await
        } else {
            delivery.ack().await
        });
    }

    /// Keeps a saga from going to another runner; returns when that fails.
    async fn hold(&self, delivery: &Delivery, lease: &Cell<Instant>) {
        loop {
            sleep(self.plan.lease / 4).await;
            let now = Instant::now();
            if now >= lease.get() {
                return;
            }
            if delivery.progress().await.is_ok() {
                lease.set(now + self.plan.lease);
            }
        }
    }

    async fn leave(&self, id: &Key, left: Leave, delivery: Delivery) {
        match left {
            Leave::Ended(ending) => {
                said(delivery.ack().await);
                match ending {
                    Ending::Completed { .. } => self.tell(id, "completed", None).await,
                    Ending::Compensated { abort } => {
                        self.tell(id, "compensated", Some(abort.reason())).await;
                    }
                }
            }
            Leave::Parked(reason) => {
                said(delivery.ack().await);
                tracing::error!(saga = self.plan.name, %id, reason, "a saga is parked");
                self.tell(id, "parked", Some(&reason)).await;
            }
            Leave::Nothing | Leave::Away(..) => said(delivery.ack().await),
            Leave::Later(wait) => said(delivery.nak(wait).await),
            Leave::Lost => tracing::info!(saga = self.plan.name, %id, "a saga goes on elsewhere"),
        }
    }

    /// Lets a saga be visited again at a time; returns whether that is stored.
    async fn set_alarm(&self, id: &Key, until: u64) -> bool {
        let set = self.errands.wake_at(id, from_unix_ms(until)).await;
        set.inspect_err(|error| {
            tracing::warn!(saga = self.plan.name, %id, %error, "a saga's timer is set again");
        })
        .is_ok()
    }

    /// Tells who waits for a saga, and dashboards, what became of it.
    async fn tell(&self, id: &Key, state: &'static str, reason: Option<&str>) {
        let saga = self.plan.name;
        metrics::counter!(SAGAS_ENDED_TOTAL, "saga" => saga, "outcome" => state).increment(1);
        let awaited = self.awaited.borrow_mut().remove(id);
        if let Some(awaited) = awaited {
            awaited.notify_waiters();
        }
        self.announce(id, state, reason).await;
    }

    /// Tells dashboards, now and at most once, what became of a saga; the
    /// journal is what counts.
    async fn announce(&self, id: &Key, state: &'static str, reason: Option<&str>) {
        let saga = self.plan.name;
        let client = &self.journals.client;
        let text = id.decode();
        let Ok(news) = codec::encode(&News { id: &text, reason }) else {
            return;
        };
        let subject = client.namespace().saga_news(saga, state);
        if let Err(error) = client.bus().send(Message::new(subject, news)).await {
            tracing::debug!(saga, %id, %error, "nobody was told of a saga");
        }
    }

    /// Starts a saga.
    pub(super) async fn start(&self, id: &Key, begin: Begin) -> Result<(), errand::ErrandError> {
        self.errands.start(id, begin).await
    }

    /// Waits until a saga ended or is parked; gives the last transition then.
    pub(super) async fn outcome(&self, id: &Key) -> Move {
        let (mut wait, most) = GLANCES;
        let _awaiting = Awaiting(self, id);
        loop {
            let awaited = Rc::clone(self.awaited.borrow_mut().entry(id.clone()).or_default());
            let ended = awaited.notified();
            let last = self.journals.last(id).await;
            let last = last.ok().flatten();
            let last = last.and_then(|page| page.moves.into_iter().last());
            if let Some(last @ (Move::Ended(_) | Move::Parked { .. })) = last {
                return last;
            }
            tokio::select! {
                () = ended => {}
                () = sleep(wait) => wait = (wait * 2).min(most),
            }
        }
    }
}

/// Takes a saga off the list of those that are awaited here; another who awaits
/// it looks now and then.
struct Awaiting<'a>(&'a Desk, &'a Key);

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.awaited.borrow_mut().remove(self.1);
    }
}

/// Takes a saga off the list of those that are visited here.
struct Leaving<'a>(&'a Desk, &'a Key);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.visited.borrow_mut().remove(self.1);
    }
}

/// What was not acknowledged comes again, and nothing is left to do then.
fn said(acknowledged: Result<(), crate::bus::AckError>) {
    if let Err(error) = acknowledged {
        tracing::debug!(%error, "it comes again");
    }
}
