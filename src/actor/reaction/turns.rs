use super::{AGAIN, reading::Reading};
use crate::{
    actor::{dead::Letter, inbox::instance},
    bus::Delivery,
    call::{Ended, Parcel, Receipt, Work},
    error::Verdict,
    message::{Envelope, Origin},
    telemetry::{DEAD_LETTERS_TOTAL, RETRIES_TOTAL, SKIPPED_TOTAL},
};

impl Reading<'_> {
    /// Starts a lane's head, and what comes up behind it if that needs no handler.
    pub(super) async fn advance(&mut self, mut slot: Option<usize>) {
        while let Some(at) = slot {
            slot = self.start(at).await;
        }
    }

    /// Hands an event to its handler; returns the next head if it needs none.
    async fn start(&mut self, slot: usize) -> Option<usize> {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot)?;
        let envelope = match envelope_of(&held.delivery, self.stream) {
            Ok(envelope) => envelope,
            Err(reason) => return self.bury(slot, reason).await,
        };
        let heard = reaction
            .hears
            .iter()
            .find(|(subject, _)| subject.as_str() == envelope.kind);
        let Some(&(_, route)) = heard else {
            let domain = envelope.kind.split_once('.').map(|(domain, _)| domain);
            if domain != Some(reaction.domain) {
                let reason = format!(
                    "its type `{}` is not of the domain `{}`",
                    envelope.kind, reaction.domain
                );
                return self.bury(slot, reason).await;
            }
            metrics::counter!(SKIPPED_TOTAL, "child" => reaction.path.to_string()).increment(1);
            return self.done(slot).await;
        };
        let receipt = Receipt { slot, attempt: held.attempt, ended: Some(self.ended.clone()) };
        held.running = true;
        held.due = None;
        let inbox = &reaction.inboxes[instance(envelope.key.as_str(), reaction.inboxes.len())];
        let work = Work::Event(Box::new(envelope), receipt);
        // A parcel that is not taken comes back through its receipt.
        inbox.push(Parcel { route, work, deadline: None }).ok();
        None
    }

    pub(super) async fn settle(&mut self, slot: usize, ended: Ended) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        held.running = false;
        let (verdict, reason) = match ended {
            Ended::Done => {
                let next = self.done(slot).await;
                return self.advance(next).await;
            }
            Ended::Unhandled => {
                self.look = self.look.min(held.put_off(AGAIN));
                return;
            }
            Ended::Failed(failure) => (failure.verdict(), failure.to_string()),
            Ended::Crashed(reason) => (Verdict::Crash, reason),
        };
        let wait = match verdict {
            Verdict::Discard => None,
            Verdict::Retry | Verdict::Crash => {
                self.reaction.retry.after(held.attempt, fastrand::f64())
            }
        };
        let path = &*self.reaction.path;
        let attempt = held.attempt;
        if let Some(wait) = wait {
            tracing::warn!(child = path, attempt, reason, again_in = ?wait, "an event could not be handled");
            metrics::counter!(RETRIES_TOTAL, "child" => path.to_owned()).increment(1);
            held.attempt += 1;
            self.look = self.look.min(held.put_off(wait));
        } else {
            let next = self.bury(slot, reason).await;
            self.advance(next).await;
        }
    }

    /// Acknowledges an event and lets its key go on.
    pub(super) async fn done(&mut self, slot: usize) -> Option<usize> {
        let (held, next) = self.lanes.leave(slot)?;
        if let Err(error) = held.delivery.ack().await {
            tracing::warn!(%error, "an event will come again");
        }
        next
    }

    /// Writes the dead letter, then acknowledges the event; until the letter is
    /// stored, the event is kept.
    pub(super) async fn bury(&mut self, slot: usize, reason: String) -> Option<usize> {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot)?;
        let stored = &held.delivery.message;
        let letter = Letter {
            stored,
            stream: self.stream,
            path: &reaction.path,
            reason: &reason,
            attempts: held.attempt,
        };
        let written = match reaction.client.dead_letters().await {
            Ok(letters) => {
                letter
                    .write(&letters, reaction.client.namespace().dead(&reaction.path))
                    .await
            }
            Err(error) => Err(error.to_string()),
        };
        let (subject, sequence) = (&*stored.subject, stored.sequence);
        if let Err(error) = written {
            tracing::error!(
                child = &*reaction.path,
                subject,
                sequence,
                error,
                "a dead letter could not be written, trying again"
            );
            held.dead = Some(reason);
            self.look = self.look.min(held.put_off(AGAIN));
            return None;
        }
        tracing::error!(
            child = &*reaction.path,
            subject,
            sequence,
            attempts = held.attempt,
            reason,
            "an event became a dead letter"
        );
        metrics::counter!(DEAD_LETTERS_TOTAL, "child" => reaction.path.to_string()).increment(1);
        self.done(slot).await
    }
}

fn envelope_of(delivery: &Delivery, stream: &str) -> Result<Envelope, String> {
    let stored = &delivery.message;
    let origin = Origin {
        stream,
        sequence: stored.sequence,
        subject: &stored.subject,
        time: stored.time,
    };
    Envelope::read(&stored.headers, origin, stored.payload.clone())
        .map_err(|error| format!("{} #{} {error}", stored.subject, stored.sequence))
}
