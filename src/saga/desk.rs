//! What a runner has at hand, shared by all that works for it.

use super::{
    awaiting::{Awaited, End},
    errand::{self, Errand, Errands, Start},
    journal::Journals,
    news::announce,
    page::{Begin, Ending, Move},
    plan::Plan,
    visit::{Leave, Visit},
};
use crate::{
    actor::Letter,
    bus::{Delivery, Stored, StreamError},
    call::Client,
    error::Failure,
    message::{Id, Key},
    telemetry::{DEAD_LETTERS_TOTAL, SAGAS_ENDED_TOTAL, SAGAS_LIVE},
    time::from_unix_ms,
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// After how long a saga is asked again that was visited already.
const BUSY: Duration = Duration::from_secs(2);

/// How long to wait before a journal that cannot be read is read again, at first and at most.
const UNREAD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// How often an alarm is set again when another was set in between.
const TRIES: u32 = 5;

/// What a runner has at hand.
pub(super) struct Desk {
    pub(super) plan: Arc<Plan>,
    pub(super) journals: Journals,
    pub(super) errands: Errands,
    /// The sagas that are visited now: what they are told on, and what asked for it.
    visited: RefCell<HashMap<Key, (watch::Sender<u64>, u64)>>,
    /// The sagas whose end is awaited here.
    pub(super) awaited: Awaited,
    pub(super) stopping: watch::Receiver<bool>,
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
            awaited: Awaited::default(),
            stopping,
        })
    }

    /// Does what an errand asks for, and acknowledges it when nothing is left of it.
    pub(super) async fn serve(self: Rc<Self>, delivery: Delivery) {
        let (id, errand) = match errand::read(&delivery.message) {
            Ok(read) => read,
            Err(reason) => return self.pass_over(reason, delivery).await,
        };
        let ahead = self.ahead(delivery.message.time);
        let unread = errand.unread;
        // Who begins it here, should it end on this visit.
        let cause = errand.begin.as_ref().and_then(|begin| begin.cause.clone());
        let cause = cause.filter(|_| delivery.attempt == 1);
        let Some(visit) = self.enter(&id, errand, &delivery) else {
            return self.pass_on(&id, delivery).await;
        };
        let leaving = Leaving(&self, &id);
        let pokes = visit.pokes.clone();
        let lease = Rc::clone(&visit.lease);
        let mut stopping = self.stopping.clone();
        let left = tokio::select! {
            left = visit.make() => left,
            () = self.hold(&delivery, &lease) => Leave::Lost,
            _ = stopping.wait_for(|&stopping| stopping) => Leave::Later(Duration::ZERO),
        };
        let left = match left {
            Leave::Unreadable(reason) => self.unread(&id, reason, unread).await,
            left => self.alarmed(&id, left, &lease, ahead).await,
        };
        drop(leaving);
        // Who was told of it up to here did nothing about it but tell the visit.
        let missed = match left {
            Leave::Away(_, seen, _) => *pokes.borrow() != seen,
            Leave::Parked(_) | Leave::Nothing => *pokes.borrow() > 0,
            _ => false,
        };
        if missed {
            if let Leave::Parked(reason) = left {
                self.park(&id, reason, cause).await;
            }
            return said(delivery.nak(Duration::ZERO).await);
        }
        if matches!(left, Leave::Lost) && *pokes.borrow() > 0 {
            self.wake_other(&id).await;
        }
        self.leave(&id, (left, cause), delivery).await;
    }

    async fn pass_over(&self, reason: String, delivery: Delivery) {
        let (saga, sequence) = (self.plan.name, delivery.message.sequence);
        let subject = &delivery.message.subject;
        tracing::error!(
            saga,
            subject,
            sequence,
            reason,
            "what asks a saga to go on is passed over"
        );
        match self.bury(&reason, &delivery.message).await {
            Ok(()) => said(delivery.term().await),
            Err(error) => {
                tracing::error!(saga, error, "a dead letter could not be written");
                said(delivery.nak(BUSY).await);
            }
        }
    }

    /// Keeps what cannot be read as a dead letter.
    async fn bury(&self, reason: &str, stored: &Stored) -> Result<(), String> {
        let client = self.errands.client();
        let letters = client.dead_letters().await;
        let letters = letters.map_err(|error| error.to_string())?;
        let path = format!("saga/{}", self.plan.name);
        let stream = client.namespace().errand_stream(self.plan.name);
        let subject = client.namespace().dead(&path);
        let letter = Letter { index: 0, stored, stream: &stream, path: &path, reason, attempts: 0 };
        letter.write(&letters, subject).await?;
        metrics::counter!(DEAD_LETTERS_TOTAL, "child" => path).increment(1);
        Ok(())
    }

    /// Begins a visit, unless the saga is visited here.
    fn enter(&self, id: &Key, errand: Errand, delivery: &Delivery) -> Option<Visit> {
        let mut visited = self.visited.borrow_mut();
        if visited.contains_key(id) {
            return None;
        }
        metrics::gauge!(SAGAS_LIVE, "saga" => self.plan.name).increment(1.0);
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

    async fn leave(&self, id: &Key, (left, cause): (Leave, Option<String>), delivery: Delivery) {
        match left {
            Leave::Ended(ending) => {
                self.tell(id, Move::Ended(ending), cause).await;
                said(delivery.ack().await);
            }
            Leave::Parked(reason) => {
                self.park(id, reason, cause).await;
                said(delivery.ack().await);
            }
            Leave::Nothing => {
                // Who asked again for what is over hears it now.
                if self.awaited.has(id)
                    && let Some(end) = self.end_of(id).await
                {
                    self.awaited.tell(id, end);
                }
                said(delivery.ack().await);
            }
            Leave::Away(..) | Leave::Unreadable(_) => said(delivery.ack().await),
            Leave::Later(wait) => said(delivery.nak(wait).await),
            Leave::Lost => tracing::info!(saga = self.plan.name, %id, "a saga goes on elsewhere"),
        }
    }

    /// Says to all who look that a person must look at a saga.
    async fn park(&self, id: &Key, reason: String, cause: Option<String>) {
        tracing::error!(saga = self.plan.name, %id, reason, "a saga is parked");
        self.tell(id, Move::Parked { reason }, cause).await;
    }

    /// Returns how a saga ended or that it is parked, as its journal says.
    pub(super) async fn end_of(&self, id: &Key) -> Option<End> {
        let last = self.journals.last(id).await.ok().flatten()?;
        let last = last.moves.into_iter().last()?;
        let is_end = matches!(last, Move::Ended(_) | Move::Parked { .. });
        is_end.then_some(End { last, cause: None })
    }

    /// Returns what a saga began with, or is to begin with once there is a runner for it.
    pub(super) async fn began(&self, id: &Key) -> Result<Option<Begin>, Failure> {
        if let Some(began) = self.journals.begin(id).await? {
            return Ok(Some(began));
        }
        match self.errands.begin(id).await? {
            // A runner may have begun it between the two looks.
            None => self.journals.begin(id).await,
            waiting => Ok(waiting),
        }
    }

    /// Has a journal that cannot be read be read again later, and takes up no place till
    /// then; for longer each time.
    async fn unread(&self, id: &Key, reason: String, times: u32) -> Leave {
        let (first, most) = UNREAD;
        let wait = first.saturating_mul(1 << times.min(16)).min(most);
        tracing::warn!(saga = self.plan.name, %id, reason, again_in = ?wait, "a journal could not be read");
        let now = self.journals.client.clock().now();
        let set = async {
            let seen = self.errands.alarm(id).await?;
            // Who can read it has set another.
            if seen.due.is_none() {
                let when = (now + wait, seen);
                self.errands
                    .read_at(id, times.saturating_add(1), when)
                    .await?;
            }
            Ok::<_, Failure>(())
        };
        match set.await {
            Ok(()) => Leave::Unreadable(reason),
            Err(failure) => {
                tracing::warn!(saga = self.plan.name, %id, %failure, "a saga's timer is set again");
                Leave::Later(wait)
            }
        }
    }

    /// Returns how far the clock of the stream, which rings alarms, is ahead of ours.
    fn ahead(&self, stored: SystemTime) -> Duration {
        let now = self.journals.client.clock().now();
        stored.duration_since(now).unwrap_or_default()
    }

    /// Sets the alarm of a saga that waits, later if alarms ring early by our clock:
    /// else it would ring at once, again and again.
    async fn alarmed(
        &self,
        id: &Key,
        left: Leave,
        lease: &Cell<Instant>,
        ahead: Duration,
    ) -> Leave {
        let Leave::Away(until, _, known) = left else {
            return left;
        };
        let time = from_unix_ms(until) + ahead;
        for _ in 0..TRIES {
            match self.set_alarm(id, (time, known), lease).await {
                Ok(Ok(true)) => return left,
                Ok(Ok(false)) => {}
                Ok(Err(stale)) => return stale,
                Err(failure) => {
                    tracing::warn!(saga = self.plan.name, %id, %failure, "a saga's timer is set again");
                    return Leave::Later(BUSY);
                }
            }
        }
        Leave::Later(BUSY)
    }

    /// Sets the alarm of a saga whose journal is known up to a sequence; returns whether
    /// that was done, which it is not if another was set in between, or how to leave.
    ///
    /// One that is set late would replace the alarm of who has the saga now: so it takes
    /// the place of what was there only while the journal was as it is known.
    async fn set_alarm(
        &self,
        id: &Key,
        (time, known): (SystemTime, u64),
        lease: &Cell<Instant>,
    ) -> Result<Result<bool, Leave>, Failure> {
        let seen = self.errands.alarm(id).await?;
        if self.journals.end(id).await? != known {
            return Ok(Err(Leave::Later(Duration::ZERO)));
        }
        if Instant::now() >= lease.get() {
            return Ok(Err(Leave::Lost));
        }
        Ok(Ok(self.errands.wake_at(id, time, seen).await?))
    }

    /// Asks who visits a saga now to look again: the one who was told here lost it.
    async fn wake_other(&self, id: &Key) {
        if let Err(error) = self.errands.wake(id, Id::new()).await {
            tracing::warn!(saga = self.plan.name, %id, %error, "a saga may wait for its next timer");
        }
    }

    /// Tells who waits for a saga, and dashboards, what became of it.
    async fn tell(&self, id: &Key, last: Move, cause: Option<String>) {
        let saga = self.plan.name;
        let (state, reason) = match &last {
            Move::Ended(Ending::Completed { .. }) => ("completed", None),
            Move::Ended(Ending::Compensated { abort }) => ("compensated", Some(abort.reason())),
            Move::Parked { reason } => ("parked", Some(&**reason)),
            _ => return,
        };
        metrics::counter!(SAGAS_ENDED_TOTAL, "saga" => saga, "outcome" => state).increment(1);
        let end = End { last: last.clone(), cause };
        self.awaited.tell(id, end);
        announce(&self.journals.client, (saga, id), state, reason).await;
    }

    /// Whether a saga is visited here now.
    pub(super) fn visits(&self, id: &Key) -> bool {
        self.visited.borrow().contains_key(id)
    }

    /// Starts a saga.
    pub(super) async fn start(&self, id: &Key, begin: Begin) -> Result<Start, errand::ErrandError> {
        self.errands.start(id, begin).await
    }
}

/// Takes a saga off the list of those that are visited here.
struct Leaving<'a>(&'a Desk, &'a Key);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.visited.borrow_mut().remove(self.1);
        metrics::gauge!(SAGAS_LIVE, "saga" => self.0.plan.name).decrement(1.0);
    }
}

/// What was not acknowledged comes again, and nothing is left to do then.
fn said(acknowledged: Result<(), crate::bus::AckError>) {
    if let Err(error) = acknowledged {
        tracing::debug!(%error, "it comes again");
    }
}
