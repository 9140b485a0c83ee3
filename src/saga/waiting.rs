//! Steps that wait: for a time, or for an event.

use super::{
    book::State,
    keeping::SHORT,
    page::{Act, Move},
    step::Step,
    trip::{Stop, Trip},
};
use crate::message::{Event, Key, Origin, batch, codec, read_event};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, future::IntoFuture, marker::PhantomData, rc::Rc, time::Duration};
use tokio::time::sleep;
use tracing::Instrument;

/// A wait about to begin; awaiting it returns when the time is over, also if
/// everything was stopped in between.
#[must_use = "a step is taken when awaited"]
pub struct SleepStep {
    trip: Rc<Trip>,
    time: Duration,
    name: Option<Cow<'static, str>>,
}

/// A wait for an event; awaiting it returns the event, or nothing if none came
/// in time.
#[must_use = "a step is taken when awaited"]
pub struct WaitStep<E> {
    trip: Rc<Trip>,
    key: String,
    timeout: Duration,
    name: Option<Cow<'static, str>>,
    event: PhantomData<fn() -> E>,
}

/// From so many attempts on, a step that is tried again is warned about.
const LOUD: u32 = 8;

/// How much of a trouble is noted, in characters.
const TOLD: usize = 300;

/// The event that ended a wait, as the journal keeps it.
#[derive(Serialize, Deserialize)]
struct Came {
    sequence: u64,
    index: usize,
    version: u32,
    payload: Bytes,
}

impl SleepStep {
    pub(super) const fn new(trip: Rc<Trip>, time: Duration) -> Self {
        Self { trip, time, name: None }
    }

    /// Names the step; `sleep` by default.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    async fn take(self, step: Step) {
        let Self { trip, time, .. } = self;
        let _active = trip.active();
        let until = match trip.known(&step.name) {
            None => {
                let until = trip.in_future(time);
                trip.intend(&step.name, Act::Sleep { until }, None).await;
                until
            }
            Some(entry) => match (&entry.act, &entry.state) {
                (Act::Sleep { until }, State::Intended) => *until,
                (Act::Sleep { .. }, _) => return,
                _ => return trip.another(&entry, "sleep").await,
            },
        };
        trip.pause(until).instrument(trip.span(&step.name, 1)).await;
        trip.count(&step, "done");
        let step = step.name;
        trip.push(Move::Done { step, reply: Bytes::new(), undo: None, attempts: 1 });
    }
}

impl<E: Event> WaitStep<E> {
    pub(super) const fn new(trip: Rc<Trip>, key: String, timeout: Duration) -> Self {
        Self { trip, key, timeout, name: None, event: PhantomData }
    }

    /// Names the step; the event's subject by default.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    async fn take(self, step: Step) -> Option<E> {
        let Self { trip, key, timeout, .. } = self;
        let _active = trip.active();
        if !trip.plan.hears.contains(E::SUBJECT.as_str()) {
            let event = E::SUBJECT;
            let reason = format!(
                "it waits for `{event}`, and would not be woken by it; add `.hears` to the saga"
            );
            match trip.halt(Stop::Parked(reason)).await {}
        }
        let (key, until) = match trip.known(&step.name) {
            None => {
                let (until, subject) = (trip.in_future(timeout), E::SUBJECT.to_string());
                let act = Act::Wait { subject, key: key.clone(), until };
                trip.intend(&step.name, act, None).await;
                (key, until)
            }
            Some(entry) => match (&entry.act, &entry.state) {
                (Act::Wait { subject, key: was, .. }, _)
                    if *was != key || subject != E::SUBJECT.as_str() =>
                {
                    let (step, event) = (&step.name, E::SUBJECT);
                    let reason = format!(
                        "its code waits at its step `{step}` for `{event}` of `{key}` now, and \
                         its journal has `{subject}` of `{was}`; run it with the code that it \
                         began with, or compensate it"
                    );
                    match trip.halt(Stop::Parked(reason)).await {}
                }
                (Act::Wait { until, .. }, State::Intended) => (key, *until),
                (Act::Wait { .. }, State::Done { reply, .. }) => {
                    return trip.came(&step.name, reply).await;
                }
                _ => return trip.another(&entry, "wait").await,
            },
        };
        let looking = trip.event::<E>(&step.name, &key, until);
        let found = looking.instrument(trip.span(&step.name, 1)).await;
        match codec::encode(&found) {
            Ok(reply) => {
                let event = trip.came(&step.name, &reply).await;
                trip.count(&step, "done");
                let step = step.name;
                trip.push(Move::Done { step, reply, undo: None, attempts: 1 });
                event
            }
            Err(error) => trip.unreadable(&step.name, error).await,
        }
    }
}

impl Trip {
    fn in_future(&self, time: Duration) -> u64 {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.client().clock().unix_ms().saturating_add(time)
    }

    /// Waits until a time in Unix milliseconds.
    async fn pause(self: &Rc<Self>, until: u64) {
        loop {
            let left = self.left(until);
            if left.is_zero() {
                return;
            }
            let _waiting = self.waiting(until);
            sleep(left).await;
        }
    }

    /// Returns how many attempts at a step came to nothing so far, and when the next
    /// is due.
    pub(super) fn tried(&self, step: &str) -> (u32, u64) {
        let book = self.book.borrow();
        let trouble = book.trouble_of(step);
        trouble.map_or((0, 0), |trouble| (trouble.attempts, trouble.again))
    }

    /// Waits for the next attempt at a step; if that is long, the saga leaves memory
    /// and its journal says why.
    pub(super) async fn put_off(
        self: &Rc<Self>,
        step: &str,
        attempts: u32,
        trouble: &str,
        wait: Duration,
    ) {
        let again = self.note_trouble(step, attempts, trouble, wait);
        self.rest(again).await;
    }

    /// Notes what stands in the way of a step, if it does so for long; returns when
    /// the next attempt is due.
    pub(super) fn note_trouble(
        &self,
        step: &str,
        attempts: u32,
        trouble: &str,
        wait: Duration,
    ) -> u64 {
        let (saga, id) = (self.plan.name, &self.id);
        if attempts >= LOUD && attempts.is_power_of_two() {
            tracing::warn!(saga, %id, step, attempts, trouble, "a step is tried again and again");
        } else {
            tracing::debug!(saga, %id, step, attempts, trouble, "a step is tried again");
        }
        let again = self.in_future(wait);
        if wait > SHORT {
            let of_step =
                |noted: &Move| matches!(noted, Move::Tried { step: of, .. } if of == step);
            self.pending.borrow_mut().retain(|noted| !of_step(noted));
            let trouble = trouble.chars().take(TOLD).collect();
            self.push(Move::Tried { step: step.to_owned(), attempts, trouble, again });
        }
        again
    }

    /// Waits until a time in Unix milliseconds, or until the operator says something.
    pub(super) async fn rest(self: &Rc<Self>, until: u64) {
        let left = self.left(until);
        if left.is_zero() {
            return;
        }
        let heard = self.heard.notified();
        let _waiting = self.waiting(until);
        tokio::select! {
            () = sleep(left) => {}
            () = heard => {}
        }
    }

    /// Waits for an event until a time.
    async fn event<E: Event>(self: &Rc<Self>, step: &str, key: &str, until: u64) -> Option<Came> {
        let mut pokes = self.pokes.subscribe();
        loop {
            pokes.mark_unchanged();
            match self.look_for::<E>(key).await {
                Ok(Some(came)) => return Some(came),
                Ok(None) if self.left(until).is_zero() => return None,
                Ok(None) => {}
                Err(reason) => {
                    let reason = format!("`{step}`: {reason}");
                    match self.halt(Stop::Later(reason)).await {}
                }
            }
            let _waiting = self.waiting(until);
            tokio::select! {
                _ = pokes.changed() => {}
                () = sleep(self.left(until)) => {}
            }
        }
    }

    /// Looks for the first event of a key that no wait took.
    async fn look_for<E: Event>(&self, key: &str) -> Result<Option<Came>, String> {
        let key = Key::new(key).map_err(|error| error.to_string())?;
        let (client, domain) = (self.client(), E::SUBJECT.domain());
        let (taken, from) = self.taken(E::SUBJECT.as_str(), &key);
        let events = client.events(domain).await;
        let events = events.map_err(|error| error.to_string())?;
        let namespace = client.namespace();
        let reader = events.read(&namespace.event(domain, &key), from).await;
        let mut reader = reader.map_err(|error| error.to_string())?;
        while let Some(stored) = reader.next().await.map_err(|error| error.to_string())? {
            let origin = Origin {
                stream: &namespace.event_stream(domain),
                sequence: stored.sequence,
                subject: &stored.subject,
                time: stored.time,
            };
            let Ok(envelopes) = batch::read(&stored.headers, origin, stored.payload) else {
                continue;
            };
            for (index, envelope) in envelopes.into_iter().enumerate() {
                let sequence = stored.sequence;
                if envelope.kind == E::SUBJECT.as_str()
                    && taken.is_none_or(|taken| taken < (sequence, index))
                {
                    let (version, payload) = (envelope.version, envelope.payload);
                    return Ok(Some(Came { sequence, index, version, payload }));
                }
            }
        }
        Ok(None)
    }

    /// Returns the last event of a type and key that a wait took, and from where to look.
    fn taken(&self, subject: &str, key: &Key) -> (Option<(u64, usize)>, u64) {
        let wanted = key.decode();
        let book = self.book.borrow();
        let noted = book
            .steps
            .iter()
            .filter_map(|entry| match (&entry.act, &entry.state) {
                (Act::Wait { subject: of, key, .. }, State::Done { reply, .. })
                    if of == subject && *key == wanted =>
                {
                    let came: Option<Came> = codec::decode(reply).ok()?;
                    came.map(|came| (came.sequence, came.index))
                }
                _ => None,
            });
        let taken = noted.max();
        (taken, taken.map_or(1, |(sequence, _)| sequence))
    }

    async fn came<E: Event>(&self, step: &str, reply: &[u8]) -> Option<E> {
        let came: Option<Came> = self.read(step, reply).await;
        let Came { version, payload, .. } = came?;
        match read_event(version, &payload) {
            Ok(event) => Some(event),
            Err(error) => self.unreadable(step, error).await,
        }
    }
}

impl IntoFuture for SleepStep {
    type Output = ();
    type IntoFuture = LocalBoxFuture<'static, ()>;

    fn into_future(self) -> Self::IntoFuture {
        let step = self.trip.next(self.name.as_ref(), "sleep");
        Box::pin(self.take(step))
    }
}

impl<E: Event> IntoFuture for WaitStep<E> {
    type Output = Option<E>;
    type IntoFuture = LocalBoxFuture<'static, Option<E>>;

    fn into_future(self) -> Self::IntoFuture {
        let step = self.trip.next(self.name.as_ref(), E::SUBJECT.as_str());
        Box::pin(self.take(step))
    }
}

impl fmt::Debug for SleepStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SleepStep({:?})", self.time)
    }
}

impl<E: Event> fmt::Debug for WaitStep<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitStep({} of {})", E::SUBJECT, self.key)
    }
}
