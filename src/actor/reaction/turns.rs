//! One event's turn: who handles it, and what follows from how that ended.

use super::{
    AGAIN,
    beside::Told,
    held::{End, Held, Source, acknowledge},
    reading::Reading,
    register::Standing,
};
use crate::{
    actor::{dead::Letter, inbox::instance},
    bus::Stream,
    call::{Ended, Parcel, Receipt, Work},
    error::Verdict,
    message::{Envelope, batch, one_line},
    telemetry::{DEAD_LETTERS_TOTAL, RETRIES_TOTAL, SKIPPED_TOTAL},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

impl Reading<'_> {
    /// Starts a lane's head, and what comes up behind it if that needs no handler.
    pub(super) async fn advance(&mut self, mut slot: Option<usize>) {
        while let Some(at) = slot {
            slot = self.start(at).await;
        }
    }

    /// Hands an event to its handler; returns the next head if it needs none.
    async fn start(&mut self, slot: usize) -> Option<usize> {
        if self.is_orphan(slot) {
            return self.lanes.leave(slot)?.1;
        }
        match self.stands(slot)? {
            // What came again elsewhere is not handled here.
            Standing::Free if self.is_lapsed() => return None,
            Standing::Free => {}
            Standing::Unclaimed | Standing::Elsewhere => {
                self.put_off(slot, AGAIN);
                self.lanes.get_mut(slot)?.waits = true;
                self.look_up_by(Instant::now() + AGAIN);
                return None;
            }
            Standing::Passed | Standing::Waits => return self.done(slot).await,
        }
        let reaction = self.reaction;
        loop {
            self.pass_over(slot);
            let held = self.lanes.get_mut(slot)?;
            let envelope = match held.event(&self.stream) {
                Ok(Some(envelope)) => envelope,
                Ok(None) => return self.done(slot).await,
                Err(reason) => {
                    self.end(slot, End::Dead { reason, whole: true });
                    return None;
                }
            };
            if self.closing {
                return None;
            }
            let heard = reaction.route(&envelope.kind);
            if let Some(route) = heard {
                self.hand_out(slot, route, envelope);
                return None;
            }
            if domain_of(&envelope.kind) != Some(reaction.domain) {
                let (kind, domain) = (&envelope.kind, reaction.domain);
                let reason = format!("its type `{kind}` is not of the domain `{domain}`");
                self.end(slot, End::Dead { reason, whole: false });
                return None;
            }
            if self.leave_to_stranger(slot, &envelope.kind, envelope.version) {
                self.put_off(slot, AGAIN);
                return None;
            }
            metrics::counter!(SKIPPED_TOTAL, "child" => reaction.path.to_string()).increment(1);
            self.lanes.get_mut(slot)?.next();
        }
    }

    /// Passes over a message with several events if the actor hears none of them.
    fn pass_over(&mut self, slot: usize) {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot);
        if held.is_none_or(|held| held.at > 0 || !hears_nothing_of(reaction, held)) {
            return;
        }
        self.meet_strangers();
        if let Some(held) = self.lanes.get_mut(slot)
            && !self.strangers.any()
        {
            metrics::counter!(SKIPPED_TOTAL, "child" => reaction.path.to_string()).increment(1);
            held.pass_over();
        }
    }

    fn hand_out(&mut self, slot: usize, route: usize, envelope: Envelope) {
        let clock = self.reaction.client.clock();
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let receipt = Receipt::new(slot, held.told(), &self.ended, Some(&self.pulse));
        // The clock is read only for what may have been handled before.
        let again = held
            .is_repeated()
            .then(|| held.again(clock.now()))
            .flatten();
        (held.running, held.tried) = (true, true);
        held.waits = false;
        held.due = None;
        let inboxes = &self.reaction.inboxes;
        let at = instance(envelope.key.as_str(), inboxes.len());
        let work = Work::Event(Box::new(envelope), receipt.again(again));
        // A parcel that is not taken comes back through its receipt.
        inboxes[at]
            .push(Parcel { route, work, deadline: None })
            .ok();
    }

    /// Whether a message was read by a drain that is over.
    fn is_orphan(&mut self, slot: usize) -> bool {
        let Some(held) = self.lanes.get_mut(slot) else {
            return false;
        };
        let (drain, key): (_, Arc<str>) = (held.drain(), held.key().into());
        drain.is_some_and(|number| self.drain_of(&key, number).is_none())
    }

    /// Whether a message was handled while it waited behind itself.
    fn came_twice(&mut self, slot: usize) -> bool {
        let Some(delivery) = self.lanes.get_mut(slot).and_then(|held| held.delivery()) else {
            return false;
        };
        let stored = &delivery.message;
        self.handled.knows(stored.sequence, stored.time)
    }

    /// Says what becomes of a message that is its lane's head.
    fn stands(&mut self, slot: usize) -> Option<Standing> {
        if self.came_twice(slot) {
            return Some(Standing::Passed);
        }
        let held = self.lanes.get_mut(slot)?;
        if self.register.is_idle() || !matches!(held.source, Source::Live(_)) {
            return Some(Standing::Free);
        }
        let (key, sequence) = (Arc::from(held.key()), held.stored().sequence);
        Some(self.standing(&key, sequence))
    }

    /// Looks again at the head of a key's lane, which waited for that.
    pub(super) fn free_lane(&mut self, key: &str) {
        let now = Instant::now();
        for (_, held) in self.lanes.iter_mut() {
            if held.waits && held.due.is_some() && held.key() == key {
                held.due = Some(now);
            }
        }
        self.attend(now);
    }

    pub(super) async fn settle(&mut self, slot: usize, ended: Ended) {
        let lapsed = self.is_lapsed();
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        held.running = false;
        let (verdict, reason) = match ended {
            Ended::Done => {
                held.next();
                self.note_progress(slot);
                return self.advance(Some(slot)).await;
            }
            Ended::Unhandled => return self.put_off(slot, AGAIN),
            // Who has it now decides.
            _ if lapsed => return,
            Ended::Failed(failure) => (failure.verdict(), failure.to_string()),
            Ended::Crashed(reason) => (Verdict::Crash, reason),
        };
        let reason = one_line(&reason);
        if self.is_orphan(slot) {
            return self.advance(Some(slot)).await;
        }
        if self.knows_stranger(slot) {
            return self.put_off(slot, AGAIN);
        }
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let (retry, attempt) = (self.reaction.retry, held.attempt);
        let wait = wait_after(verdict, || retry.after(attempt, fastrand::f64()));
        let path = &*self.reaction.path;
        if let Some(wait) = wait {
            tracing::warn!(child = path, attempt, reason, again_in = ?wait, "an event could not be handled");
            metrics::counter!(RETRIES_TOTAL, "child" => path.to_owned()).increment(1);
            held.attempt += verdict.attempts();
            held.why = Some(reason);
            self.put_off(slot, wait);
            return self.make_room();
        }
        // What the operator wrote and nobody can use is the operator's again.
        let given_up = verdict == Verdict::Discard && held.amended.is_none();
        let end = if given_up || retry.discards() {
            End::Dead { reason, whole: false }
        } else {
            End::Parked { reason }
        };
        let next = self.end(slot, end);
        self.advance(next).await;
    }

    /// Notes how far a message is that a drain read.
    fn note_progress(&mut self, slot: usize) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let (drain, at, key): (_, _, Arc<str>) = (held.drain(), held.at, held.key().into());
        if let Some(number) = drain
            && let Some(drain) = self.drain_of(&key, number)
        {
            drain.handled(at);
        }
    }

    /// Lets an event end unhandled; returns what goes on at once.
    pub(super) fn end(&mut self, slot: usize, end: End) -> Option<usize> {
        if matches!(self.lanes.get_mut(slot)?.source, Source::Letter(..)) {
            let (End::Dead { reason, .. } | End::Parked { reason }) = end;
            return self.leave_letter(slot, Some(reason));
        }
        match end {
            End::Dead { .. } => self.bury(slot, end),
            End::Parked { reason } => self.park(slot, reason),
        }
        None
    }

    /// Acknowledges a message and lets its key go on.
    pub(super) async fn done(&mut self, slot: usize) -> Option<usize> {
        if let Source::Letter(..) = self.lanes.get_mut(slot)?.source {
            return self.leave_letter(slot, None);
        }
        let (held, next) = self.lanes.leave(slot)?;
        let key: Arc<str> = held.key().into();
        let number = held.drain();
        if let Some(delivery) = held.source.delivery() {
            let stored = &delivery.message;
            self.handled.note(stored.sequence, stored.time);
            acknowledge(delivery).await;
        } else if number.is_some_and(|number| self.drain_of(&key, number).is_some()) {
            // What is behind it in its lane came before what is read now.
            self.drain_on(&key);
        }
        next
    }

    /// Writes the dead letter; until that is stored, the event is kept.
    fn bury(&mut self, slot: usize, end: End) {
        let (reaction, stream) = (self.reaction, Arc::clone(&self.stream));
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let End::Dead { reason, whole } = &end else {
            return;
        };
        held.writing = true;
        let (stored, attempts) = (held.stored().clone(), held.attempt);
        let (index, reason) = (if *whole { 0 } else { held.at }, reason.clone());
        let (client, path) = (reaction.client.clone(), Arc::clone(&reaction.path));
        let known = self.letters.clone();
        self.beside(async move {
            let written = async {
                let letters = match known {
                    Some(letters) => letters,
                    None => client
                        .dead_letters()
                        .await
                        .map_err(|error| error.to_string())?,
                };
                let letter = Letter {
                    stored: &stored,
                    index,
                    stream: &stream,
                    path: &path,
                    reason: &reason,
                    attempts,
                };
                let subject = client.namespace().dead(&path);
                letter.write(&letters, subject).await.map(|()| letters)
            };
            let written = written.await;
            Told::Buried { slot, end, written }
        });
    }

    pub(super) async fn buried(
        &mut self,
        slot: usize,
        end: End,
        written: Result<Stream, String>,
    ) -> Option<usize> {
        let child = &*self.reaction.path;
        let held = self.lanes.get_mut(slot)?;
        held.writing = false;
        let (subject, sequence) = (&*held.stored().subject, held.stored().sequence);
        let attempts = held.attempt;
        let letters = match written {
            Ok(letters) => letters,
            Err(error) => {
                tracing::error!(
                    child,
                    subject,
                    sequence,
                    error,
                    "a dead letter could not be written, trying again"
                );
                self.letters = None;
                self.end_later(slot, end, AGAIN);
                return None;
            }
        };
        let End::Dead { reason, whole } = end else {
            return None;
        };
        tracing::error!(
            child,
            subject,
            sequence,
            attempts,
            reason,
            "an event became a dead letter"
        );
        metrics::counter!(DEAD_LETTERS_TOTAL, "child" => child.to_owned()).increment(1);
        self.letters = Some(letters);
        if whole {
            return self.done(slot).await;
        }
        held.next();
        self.note_progress(slot);
        Some(slot)
    }
}

/// Returns after how long an event is tried again, if it is; where that was not said its
/// retries say it.
fn wait_after(verdict: Verdict, retried: impl FnOnce() -> Option<Duration>) -> Option<Duration> {
    match verdict {
        Verdict::Discard => None,
        Verdict::Unavailable { after } => Some(after),
        Verdict::Retry | Verdict::Crash => retried(),
    }
}

/// Whether a message has several events and the actor hears none of them.
fn hears_nothing_of(reaction: &super::Reaction, held: &Held) -> bool {
    let headers = &held.stored().headers;
    if headers.get(crate::message::headers::CB_TYPES).is_none() {
        return false;
    }
    let ours = |kind: &str| domain_of(kind) == Some(reaction.domain);
    let heard = |kind: &str| {
        reaction
            .hears
            .iter()
            .any(|(known, _)| known.as_str() == kind)
    };
    batch::types(headers).all(|kind| ours(kind) && !heard(kind))
}

fn domain_of(kind: &str) -> Option<&str> {
    kind.split_once('.').map(|(domain, _)| domain)
}
