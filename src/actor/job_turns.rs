//! One job's turn: who does it, and what follows from how that ended.

use super::{
    dead::Letter,
    job::{Task, Wanted, request_of},
    job_reader::{RETRY_INTERVAL, Reading},
    repetition::Repetition,
};
use crate::{
    bus::Stored,
    call::{Content, Ended, Errand, Parcel, Receipt, Work},
    error::Verdict,
    message::{
        Id,
        headers::{CB_DUE, CB_ID},
    },
    telemetry::{DEAD_LETTERS_TOTAL, JOBS_ORPHANED_TOTAL, RETRIES_TOTAL},
    time::from_unix_ms,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{task::JoinError, time::Instant};

/// How many jobs of one partition are with their actors at once: few, because
/// calls wait in the same mailboxes.
const OUT: usize = 32;

/// How long a job that nobody knows waits for somebody who does.
const UNKNOWN_FOR: Duration = Duration::from_hours(1);

/// How long a job waits that is not due by this clock. More is not waited for:
/// it was passed on by a clock that is right, or nobody meant it.
const EARLY: Duration = Duration::from_mins(1);

/// What was stored beside the loop, for a held job.
#[derive(Debug)]
pub(super) enum Done {
    /// The run after it.
    Armed(Result<(), String>),
    /// Its dead letter.
    Buried {
        reason: String,
        written: Result<(), String>,
    },
}

impl Reading<'_> {
    /// Starts a lane's head, and what comes up behind it if that needs no handler.
    pub(super) async fn advance(&mut self, mut slot: Option<usize>) {
        while let Some(at) = slot {
            slot = if self.start(at) {
                self.done(at).await
            } else {
                None
            };
        }
    }

    /// Hands a job to its actor; returns whether it needs none.
    fn start(&mut self, slot: usize) -> bool {
        let now = self.jobs.client.clock().now();
        let Some(held) = self.lanes.get_mut(slot) else {
            return false;
        };
        let (jobs, stored) = (self.jobs, &held.delivery.message);
        if let Some(wait) = until_due(stored, now) {
            self.put_off(slot, wait);
            return false;
        }
        match jobs.task(stored) {
            Task::Command(worker) => {
                let offer = |parcel| (worker.door.offer)(parcel, None).is_ok();
                self.hand_over(slot, offer);
                false
            }
            Task::Repetition(repetition) if held.armed => {
                let offer = |parcel| (repetition.worker.door.offer)(parcel, None).is_ok();
                self.hand_over(slot, offer);
                false
            }
            Task::Repetition(repetition) => {
                self.arm(slot, repetition.clone());
                false
            }
            Task::Unknown(wanted) => self.wait_for_another(slot, &wanted),
            Task::Nothing(why) => {
                let subject = &*stored.subject;
                tracing::info!(group = &*jobs.path, subject, why, "a job is passed over");
                self.count_orphan();
                true
            }
        }
    }

    /// Hands a job to its actor when there is room.
    fn hand_over(&mut self, slot: usize, offer: impl FnOnce(Parcel) -> bool) {
        // What came again elsewhere is not done here.
        if self.is_lapsed() {
            return;
        }
        if self.out >= OUT {
            return self.ready.push_back(slot);
        }
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let stored = &held.delivery.message;
        let mut request = match request_of(stored, &self.stream) {
            Ok(request) => request,
            Err(reason) => return self.bury(slot, reason),
        };
        request.attempt = held.attempt;
        let errand = Errand {
            request,
            due: due_of(stored),
            content: Content::Encoded(stored.payload.clone()),
            receipt: Receipt::new(slot, held.attempt, &self.ended, Some(&self.pulse)),
        };
        held.running = true;
        self.out += 1;
        // A parcel that is not taken comes back through its receipt.
        offer(Parcel { route: 0, work: Work::Job(Box::new(errand)), deadline: None });
    }

    /// Stores the next run before this one begins.
    fn arm(&mut self, slot: usize, repetition: Repetition) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let (client, domain) = (self.jobs.client.clone(), Arc::clone(&self.jobs.domain));
        let stored = held.delivery.message.clone();
        self.chores.spawn_local(async move {
            let next = repetition.go_on(&client, &domain, &stored).await;
            if let Err(error) = &next {
                let (child, name) = (&*repetition.worker.path, repetition.name);
                tracing::warn!(child, name, error, "the next run is not stored yet");
            }
            (slot, Done::Armed(next))
        });
    }

    /// Keeps a job that this program does not know, until a node is there that
    /// does, or none was for an hour; returns whether it is over.
    ///
    /// The hour is that of its command for all that wait as long, so that they do not
    /// wait for it one after the other, and others of their keys behind them.
    fn wait_for_another(&mut self, slot: usize, wanted: &Wanted) -> bool {
        let now = Instant::now();
        let Some(held) = self.lanes.get_mut(slot) else {
            return false;
        };
        let (subject, group) = (&*held.delivery.message.subject, &*self.jobs.path);
        if held.unknown.is_none() {
            tracing::warn!(
                group,
                subject,
                "no handler here is for this job; it waits for a node that has one"
            );
        }
        let mut since = *held.unknown.get_or_insert(now);
        let of_all = self.tried.unknown_since(wanted.name(), now);
        let stored = held.delivery.message.time;
        let waits = self.jobs.client.clock().now().duration_since(stored);
        if waits.is_ok_and(|waits| waits >= UNKNOWN_FOR) {
            since = since.min(of_all);
        }
        match fate(
            now.duration_since(since),
            self.jobs.is_known_elsewhere(wanted),
        ) {
            Fate::Yield => {
                self.tried.is_known(wanted.name());
                // The hour begins when nobody is there any more who knows it.
                held.unknown = Some(now);
                self.yields = true;
                return false;
            }
            Fate::Wait => {
                self.put_off(slot, RETRY_INTERVAL);
                return false;
            }
            Fate::GiveUp => {}
        }
        match wanted {
            Wanted::Answer(command) => {
                let reason = format!(
                    "the group `{group}` answers no command `{command}`, and nobody else has for an hour; see its table of `.answer`"
                );
                self.bury(slot, reason);
                false
            }
            Wanted::Repetition(name) => {
                tracing::info!(group, name, "nobody repeats it any more; it ends");
                self.count_orphan();
                true
            }
        }
    }

    fn count_orphan(&self) {
        let child = self.jobs.path.to_string();
        metrics::counter!(JOBS_ORPHANED_TOTAL, "child" => child).increment(1);
    }

    pub(super) async fn settle(&mut self, slot: usize, ended: Ended) {
        let lapsed = self.is_lapsed();
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        held.running = false;
        self.out -= 1;
        let (verdict, reason) = match ended {
            Ended::Done => {
                let next = self.done(slot).await;
                self.advance(next).await;
                return self.fill().await;
            }
            Ended::Unhandled => {
                self.put_off(slot, RETRY_INTERVAL);
                return self.fill().await;
            }
            // Who has it now decides.
            _ if lapsed => {
                held.attempt += 1;
                return;
            }
            Ended::Failed(failure) => (failure.verdict(), failure.to_string()),
            Ended::Crashed(reason) => (Verdict::Crash, reason),
        };
        let (path, retry) = self.jobs.owner(&held.delivery.message);
        let attempt = held.attempt;
        let wait = match verdict {
            Verdict::Discard => None,
            Verdict::Unavailable { after } => Some(after),
            Verdict::Retry | Verdict::Crash => retry.after(attempt, fastrand::f64()),
        };
        if let Some(wait) = wait {
            tracing::warn!(child = &*path, attempt, reason, again_in = ?wait, "a job could not be done");
            metrics::counter!(RETRIES_TOTAL, "child" => path.to_string()).increment(1);
            held.attempt += verdict.attempts();
            self.put_off(slot, wait);
        } else {
            self.bury(slot, reason);
        }
        self.fill().await;
    }

    /// Hands over what waited for room.
    async fn fill(&mut self) {
        while self.out < OUT
            && let Some(slot) = self.ready.pop_front()
        {
            self.advance(Some(slot)).await;
        }
    }

    /// Acknowledges a job; returns the next head of its lane.
    pub(super) async fn done(&mut self, slot: usize) -> Option<usize> {
        let (held, next) = self.lanes.leave(slot)?;
        self.acknowledge(held.delivery).await;
        next
    }

    /// Writes the dead letter, then acknowledges the job; until the letter is
    /// stored, the job is kept.
    pub(super) fn bury(&mut self, slot: usize, reason: String) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let client = self.jobs.client.clone();
        let stored = with_id(&held.delivery.message, &self.stream);
        let ((path, _), attempts) = (self.jobs.owner(&stored), held.attempt);
        let stream = Arc::clone(&self.stream);
        self.chores.spawn_local(async move {
            let letter = Letter {
                index: 0,
                stored: &stored,
                stream: &stream,
                path: &path,
                reason: &reason,
                attempts,
            };
            let written = match client.dead_letters().await {
                Ok(letters) => letter.write(&letters, client.namespace().dead(&path)).await,
                Err(error) => Err(error.to_string()),
            };
            let (child, subject, sequence) = (&*path, &*stored.subject, stored.sequence);
            if let Err(error) = &written {
                tracing::error!(
                    child,
                    subject,
                    sequence,
                    error,
                    "a dead letter could not be written"
                );
            } else {
                tracing::error!(
                    child,
                    subject,
                    sequence,
                    attempts,
                    reason,
                    "a job became a dead letter"
                );
                metrics::counter!(DEAD_LETTERS_TOTAL, "child" => path.to_string()).increment(1);
            }
            (slot, Done::Buried { reason, written })
        });
    }

    /// Goes on with a job for which something was stored.
    pub(super) async fn finish_chore(&mut self, done: Result<(usize, Done), JoinError>) {
        match done {
            Ok((slot, Done::Armed(Ok(())))) => {
                if let Some(held) = self.lanes.get_mut(slot) {
                    held.armed = true;
                }
                self.advance(Some(slot)).await;
            }
            Ok((slot, Done::Armed(Err(_)))) => self.put_off(slot, RETRY_INTERVAL),
            Ok((slot, Done::Buried { written: Ok(()), .. })) => {
                let next = self.done(slot).await;
                self.advance(next).await;
            }
            Ok((slot, Done::Buried { reason, .. })) => {
                if let Some(held) = self.lanes.get_mut(slot) {
                    held.dead = Some(reason);
                }
                self.put_off(slot, RETRY_INTERVAL);
            }
            // Another reader does what is left.
            Err(error) => {
                tracing::error!(%error, "a record of a job ended badly");
                self.lost = true;
            }
        }
    }

    /// Lets go of a job whose dead letter was stored after the end.
    pub(super) async fn finish_last(&mut self, done: Result<(usize, Done), JoinError>) {
        if let Ok((slot, Done::Buried { written: Ok(()), .. })) = done {
            self.done(slot).await;
        }
    }
}

/// What becomes of a job that this program does not know.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is left to a node that knows it.
    Yield,
    /// It waits.
    Wait,
    /// Nobody will do it.
    GiveUp,
}

/// Decides about a job that nobody has known for a time.
fn fate(unknown_for: Duration, is_known_elsewhere: bool) -> Fate {
    if is_known_elsewhere {
        Fate::Yield
    } else if unknown_for < UNKNOWN_FOR {
        Fate::Wait
    } else {
        Fate::GiveUp
    }
}

/// Returns when a job was due, if it waited for a time.
fn due_of(stored: &Stored) -> Option<SystemTime> {
    let due = stored.headers.get(CB_DUE)?.parse().ok();
    due.map(from_unix_ms)
}

/// Returns how long a job has to wait that came before its time by this clock.
fn until_due(stored: &Stored, now: SystemTime) -> Option<Duration> {
    let early = due_of(stored)?.duration_since(now).ok()?;
    (!early.is_zero() && early <= EARLY).then_some(early)
}

/// Returns a job with the id that it is done under, for when it is done again.
fn with_id(stored: &Stored, stream: &str) -> Stored {
    let mut stored = stored.clone();
    if stored.headers.get(CB_ID).is_none() {
        let id = request_of(&stored, stream).map_or_else(|_| Id::new(), |request| request.id);
        stored.headers.insert(CB_ID, id.to_string()).ok();
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::{Fate, UNKNOWN_FOR, fate};
    use std::time::Duration;

    #[test]
    fn what_nobody_knows_is_given_up_after_an_hour_and_not_before() {
        assert_eq!(UNKNOWN_FOR, Duration::from_hours(1));
        let minutes = Duration::from_mins;
        assert_eq!(fate(minutes(0), false), Fate::Wait);
        assert_eq!(fate(minutes(59), false), Fate::Wait);
        assert_eq!(fate(minutes(60), false), Fate::GiveUp);
        assert_eq!(fate(minutes(90), true), Fate::Yield);
    }
}
