//! One event's turn: who handles it, and what follows from how that ended.

use super::{
    AGAIN,
    held::{End, Held, Source, acknowledge},
    reading::Reading,
    register::Standing,
};
use crate::{
    actor::{dead::Letter, inbox::instance},
    call::{Ended, Parcel, Receipt, Work},
    error::Verdict,
    message::batch,
    telemetry::{DEAD_LETTERS_TOTAL, RETRIES_TOTAL, SKIPPED_TOTAL},
};
use std::sync::Arc;
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
        match self.stands(slot).await? {
            // What came again elsewhere is not handled here.
            Standing::Free if self.is_lapsed() => return None,
            Standing::Free => {}
            Standing::Unclaimed | Standing::Elsewhere => {
                self.put_off(slot, AGAIN);
                self.look_up_by(Instant::now() + AGAIN);
                return None;
            }
            Standing::Passed | Standing::Waits => return self.done(slot).await,
        }
        let reaction = self.reaction;
        loop {
            let held = self.lanes.get_mut(slot)?;
            if held.at == 0 && hears_nothing_of(reaction, held) {
                metrics::counter!(SKIPPED_TOTAL, "child" => reaction.path.to_string()).increment(1);
                held.pass_over();
            }
            let envelope = match held.event(&self.stream) {
                Ok(Some(envelope)) => envelope,
                Ok(None) => return self.done(slot).await,
                Err(reason) => return self.end(slot, End::Dead { reason, whole: true }).await,
            };
            let heard = reaction
                .hears
                .iter()
                .find(|(subject, _)| subject.as_str() == envelope.kind);
            if let Some(&(_, route)) = heard {
                let receipt = Receipt::new(slot, held.attempt, &self.ended, Some(&self.pulse));
                held.running = true;
                held.due = None;
                let at = instance(envelope.key.as_str(), reaction.inboxes.len());
                let work = Work::Event(Box::new(envelope), receipt);
                // A parcel that is not taken comes back through its receipt.
                let parcel = Parcel { route, work, deadline: None };
                reaction.inboxes[at].push(parcel).ok();
                return None;
            }
            if domain_of(&envelope.kind) != Some(reaction.domain) {
                let (kind, domain) = (&envelope.kind, reaction.domain);
                let reason = format!("its type `{kind}` is not of the domain `{domain}`");
                return self.end(slot, End::Dead { reason, whole: false }).await;
            }
            metrics::counter!(SKIPPED_TOTAL, "child" => reaction.path.to_string()).increment(1);
            held.next();
        }
    }

    /// Says what becomes of a message that is its lane's head.
    async fn stands(&mut self, slot: usize) -> Option<Standing> {
        let held = self.lanes.get_mut(slot)?;
        if self.register.is_idle() || !matches!(held.source, Source::Live(_)) {
            return Some(Standing::Free);
        }
        let (key, sequence) = (Arc::from(held.key()), held.stored().sequence);
        Some(self.standing(&key, sequence).await)
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
                return self.advance(Some(slot)).await;
            }
            Ended::Unhandled => return self.put_off(slot, AGAIN),
            // Who has it now decides.
            _ if lapsed => return,
            Ended::Failed(failure) => (failure.verdict(), failure.to_string()),
            Ended::Crashed(reason) => (Verdict::Crash, reason),
        };
        let (retry, attempt) = (self.reaction.retry, held.attempt);
        let wait = match verdict {
            Verdict::Discard => None,
            Verdict::Retry | Verdict::Crash => retry.after(attempt, fastrand::f64()),
        };
        let path = &*self.reaction.path;
        if let Some(wait) = wait {
            tracing::warn!(child = path, attempt, reason, again_in = ?wait, "an event could not be handled");
            metrics::counter!(RETRIES_TOTAL, "child" => path.to_owned()).increment(1);
            held.attempt += 1;
            return self.put_off(slot, wait);
        }
        // What the operator wrote and nobody can use is the operator's again.
        let given_up = verdict == Verdict::Discard && held.amended.is_none();
        let end = if given_up || retry.discards() {
            End::Dead { reason, whole: false }
        } else {
            End::Parked { reason }
        };
        let next = self.end(slot, end).await;
        self.advance(next).await;
    }

    /// Lets an event end unhandled; returns what goes on then.
    pub(super) async fn end(&mut self, slot: usize, end: End) -> Option<usize> {
        if matches!(self.lanes.get_mut(slot)?.source, Source::Letter(..)) {
            let (End::Dead { reason, .. } | End::Parked { reason }) = end;
            return self.leave_letter(slot, Some(reason)).await;
        }
        match end {
            End::Dead { reason, whole } => self.bury(slot, reason, whole).await,
            End::Parked { reason } => self.park(slot, reason).await,
        }
    }

    /// Acknowledges a message and lets its key go on.
    pub(super) async fn done(&mut self, slot: usize) -> Option<usize> {
        if let Source::Letter(..) = self.lanes.get_mut(slot)?.source {
            return self.leave_letter(slot, None).await;
        }
        let (held, next) = self.lanes.leave(slot)?;
        if let Source::Live(delivery) = held.source {
            acknowledge(delivery).await;
            return next;
        }
        let key: Arc<str> = held.key().into();
        // What is behind it in its lane came before what is read now.
        let read = self.drain_on(&key).await;
        next.or(read)
    }

    /// Writes the dead letter, then goes on; until the letter is stored, the
    /// event is kept.
    async fn bury(&mut self, slot: usize, reason: String, whole: bool) -> Option<usize> {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot)?;
        let stored = held.stored();
        let letter = Letter {
            stored,
            index: if whole { 0 } else { held.at },
            stream: &self.stream,
            path: &reaction.path,
            reason: &reason,
            attempts: held.attempt,
        };
        let written = match reaction.client.dead_letters().await {
            Ok(letters) => {
                let subject = reaction.client.namespace().dead(&reaction.path);
                letter.write(&letters, subject).await
            }
            Err(error) => Err(error.to_string()),
        };
        let (subject, sequence) = (&*stored.subject, stored.sequence);
        let (child, attempts) = (&*reaction.path, held.attempt);
        if let Err(error) = written {
            tracing::error!(
                child,
                subject,
                sequence,
                error,
                "a dead letter could not be written, trying again"
            );
            held.end = Some(End::Dead { reason, whole });
            self.put_off(slot, AGAIN);
            return None;
        }
        tracing::error!(
            child,
            subject,
            sequence,
            attempts,
            reason,
            "an event became a dead letter"
        );
        metrics::counter!(DEAD_LETTERS_TOTAL, "child" => child.to_owned()).increment(1);
        if whole {
            return self.done(slot).await;
        }
        held.next();
        Some(slot)
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
