//! Calls to targets with a policy: the one place that decides about retries.

use super::{
    CallError, Cause, Client, JobError,
    ask::{TIMEOUT, attempt},
    job::Job,
    meaning::Again,
    remote::Said,
    routed,
};
use crate::{
    message::{Command, Refused, Reply, Request, Status, Subject, codec},
    policy::{self, Asked, Breaker, By, Era, Fallback, Grade, Graded, Line, Outcome, Permit, Rate},
    roster::Instance,
    telemetry::{CALL_RETRIES_TOTAL, RETRY_BUDGET_EMPTY_TOTAL, SPARED_CALLS_TOTAL},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep},
};

/// One call on its way through a policy.
pub(super) struct Guarded<'a> {
    pub(super) client: &'a Client,
    pub(super) cause: Option<&'a Cause>,
    pub(super) line: Arc<Line>,
    pub(super) request: Request,
    pub(super) headers: Said,
    /// Whether its caller named its id: it is an intention of its own.
    pub(super) is_named: bool,
    /// Whether somebody else tries again.
    pub(super) is_once: bool,
    pub(super) wants: Wants,
    pub(super) deadline: Instant,
}

/// Which replies will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Only the callee's own of now.
    Firsthand,
    /// Those that the policy serves to all.
    Served,
    /// Any, with the word how good it is.
    Graded,
}

/// An attempt's place among those in flight, and its leave to go through the breaker.
type Admitted<'a> = (Option<SemaphorePermit<'a>>, Option<Permit<'a>>);

type Outcomes<C> = Result<Reply<C>, CallError<Refused<C>>>;

impl Guarded<'_> {
    /// Whether trying again what may have been run is fine.
    fn is_idempotent(&self) -> bool {
        self.is_named || self.line.policy.is_idempotent()
    }

    /// Calls, as the policy says.
    pub(super) async fn ask<C: Command>(
        self,
        command: C,
    ) -> Result<Graded<Reply<C>>, CallError<Refused<C>>> {
        // What stands for an intention of its own is not answered by another's reply.
        let is_cached =
            self.line.is_cached(C::READ_ONLY) && !self.is_named && self.wants != Wants::Firsthand;
        let reads = self.line.reads_commands(self.is_once) && self.wants != Wants::Firsthand;
        let asked = (reads || is_cached)
            .then(|| self.asked(&command))
            .transpose()?;
        let era = match (&asked, &self.line.replies) {
            (Some(asked), Some(replies)) => {
                let era = replies.era(self.client.ways().routes.stamp());
                if is_cached && let Some(graded) = self.cached(asked, era) {
                    return Ok(graded);
                }
                era
            }
            _ => Era::default(),
        };
        let keeps = is_cached || self.line.keeps_last();
        let payload = asked.as_ref().map(|asked| &asked.command);
        match self.attempts(command, payload).await {
            Ok(reply) => {
                self.keep::<C>(asked.filter(|_| keeps), &reply, era);
                Ok(Graded { reply, grade: Grade::Fresh })
            }
            Err(error) if error.is_trouble() && self.wants != Wants::Firsthand => {
                self.fall_back::<C>(error, asked).await
            }
            Err(error) => Err(error),
        }
    }

    /// Tries until there is an outcome, or nothing more to try.
    async fn attempts<C: Command>(&self, command: C, payload: Option<&Bytes>) -> Outcomes<C> {
        let subject = C::SUBJECT;
        let bucket = self.bucket(&command);
        let (mut next, mut attempt, mut tried) = (Some(command), 0, Vec::new());
        loop {
            attempt += 1;
            let command = match (next.take(), payload) {
                (Some(command), _) => command,
                (None, Some(payload)) => decode(subject, payload)?,
                (None, None) => unreachable!("who tries again keeps the bytes"),
            };
            let (command, passed) = ((command, payload.cloned()), (attempt, &mut tried));
            let error = match self.attempt(command, &bucket, passed).await {
                Ok(Err(error)) => error,
                Ok(Ok(reply)) => return Ok(reply),
                // What is turned away on this side is not hammered.
                Err(turned_away) => return Err(turned_away),
            };
            let Some(wait) = self.wait_after(&error, attempt) else {
                return Err(error);
            };
            metrics::counter!(CALL_RETRIES_TOTAL, "subject" => subject.as_str()).increment(1);
            sleep(wait).await;
        }
    }

    /// Tries once; the outer error is this side's, and the callee was not asked.
    async fn attempt<C: Command>(
        &self,
        command: (C, Option<Bytes>),
        bucket: &str,
        passed: (u32, &mut Vec<Instance>),
    ) -> Result<Outcomes<C>, CallError<Refused<C>>> {
        let line = &*self.line;
        let (_berth, permit) = self.admit(bucket).await?;
        let started = Instant::now();
        let left = self.deadline.duration_since(started);
        let within = line.policy.per_try().map_or(left, |limit| limit.min(left));
        if within.is_zero() {
            self.give_back(bucket);
            return Err(CallError::DeadlinePassed { subject: C::SUBJECT });
        }
        if passed.0 == 1
            && let Some(purse) = &line.purse
        {
            purse.earn(started);
        }
        let outcome = self.send(command, passed, (started, within)).await;
        self.learn(permit, &outcome, (started, within));
        Ok(outcome)
    }

    /// Lets an attempt through, or says what stands in its way on this side.
    async fn admit<R>(&self, bucket: &str) -> Result<Admitted<'_>, CallError<R>> {
        let subject = self.line.subject;
        let line = &*self.line;
        let broken = |refused: policy::Refused| CallError::Broken {
            subject,
            breaker: line
                .breaker
                .as_ref()
                .map_or(subject.as_str(), Breaker::name),
            retry_after: refused.retry_after,
            is_forced: refused.retry_after.is_none() && line.is_forced_open(),
        };
        if let Some(breaker) = &line.breaker {
            breaker.look().map_err(broken)?;
        }
        if let Some(limiter) = &line.limiter {
            let taken = limiter.take(bucket, Instant::now());
            taken.map_err(|limited| CallError::Limited {
                subject,
                reason: line.rate_in_words(),
                remaining: 0,
                reset: Some(limited.reset),
            })?;
        }
        let berth = match &line.berths {
            Some(berths) => Some(berths.enter(self.deadline).await.map_err(|crowded| {
                self.give_back(bucket);
                CallError::Unavailable { subject, reason: crowded.to_string(), retry_after: None }
            })?),
            None => None,
        };
        let permit = match &line.breaker {
            Some(breaker) => Some(breaker.permit().map_err(|refused| {
                self.give_back(bucket);
                broken(refused)
            })?),
            None => None,
        };
        Ok((berth, permit))
    }

    /// Takes back what was counted for an attempt that is not made after all.
    fn give_back(&self, bucket: &str) {
        if let Some(limiter) = &self.line.limiter {
            limiter.give_back(bucket, Instant::now());
        }
    }

    /// Tells the breaker how an attempt ended, and notes how long the callee takes.
    fn learn<T, R>(
        &self,
        permit: Option<Permit<'_>>,
        outcome: &Result<T, CallError<R>>,
        (started, within): (Instant, Duration),
    ) {
        let line = &*self.line;
        if outcome.is_ok() && line.wants_time() {
            line.took(started.elapsed());
        }
        if let (Some(permit), Some(breaker)) = (permit, &line.breaker) {
            let is_due = || line.is_due(within, TIMEOUT);
            permit.end(judge(outcome, |status| breaker.blames(status), is_due));
        }
    }

    async fn send<C: Command>(
        &self,
        command: (C, Option<Bytes>),
        (number, tried): (u32, &mut Vec<Instance>),
        times: (Instant, Duration),
    ) -> Outcomes<C> {
        let mut request = self.request.clone();
        request.attempt = request.attempt.saturating_add(number - 1);
        let said = (request, self.headers.clone());
        let caller = (self.client, Some(&*self.line));
        attempt(caller, command, said, times, tried).await
    }

    /// Returns how long to wait before another attempt, if there is to be one.
    fn wait_after<R>(&self, error: &CallError<R>, attempt: u32) -> Option<Duration> {
        let retry = self.line.policy.retries()?;
        let may = match error.again() {
            Again::Safe => true,
            Again::Unsure => self.is_idempotent(),
            Again::Futile => false,
        };
        if self.is_once || !may {
            return None;
        }
        let wait = retry.after(attempt, fastrand::f64(), error.retry_after())?;
        let now = Instant::now();
        // A callee may ask for any time at all.
        now.checked_add(wait).filter(|at| *at < self.deadline)?;
        let purse = self.line.purse.as_ref()?;
        if purse.spend(now) {
            return Some(wait);
        }
        let subject = self.line.subject.as_str();
        metrics::counter!(RETRY_BUDGET_EMPTY_TOTAL, "subject" => subject).increment(1);
        None
    }

    /// Returns what the call counts for at the rate limit.
    fn bucket<C: Command>(&self, command: &C) -> String {
        let key = match self.line.policy.rates().map(Rate::is_by) {
            None | Some(By::All) => String::new(),
            Some(By::Caller) => self.client.domain().to_string(),
            Some(By::Key) => command.key().into_owned(),
            Some(By::Field(field)) => {
                let value = serde_json::to_value(command).unwrap_or_default();
                routed::find(&value, field).unwrap_or_default()
            }
        };
        short(key)
    }

    /// Returns what tells the call from others: headers as routes see them.
    fn asked<C: Command>(&self, command: &C) -> Result<Asked, CallError<Refused<C>>> {
        let mut headers = self.headers.clone();
        headers.sort_unstable();
        Ok(Asked { command: encode(command)?, headers })
    }

    fn cached<T: DeserializeOwned>(&self, asked: &Asked, era: Era) -> Option<Graded<T>> {
        let replies = self.line.replies.as_ref()?;
        let reply = replies.fresh(asked, era, Instant::now())?;
        let reply = codec::decode(&reply).ok()?;
        self.spared("cached");
        Some(Graded { reply, grade: Grade::Cached })
    }

    fn keep<C: Command>(&self, asked: Option<Asked>, reply: &Reply<C>, era: Era) {
        let (Some(asked), Some(replies)) = (asked, &self.line.replies) else {
            return;
        };
        // A reply that cannot be written is not kept.
        if let Ok(reply) = codec::encode(reply) {
            replies.put(asked, reply, era, Instant::now());
        }
    }

    /// Does what the policy says when there is no answer.
    async fn fall_back<C: Command>(
        &self,
        error: CallError<Refused<C>>,
        asked: Option<Asked>,
    ) -> Result<Graded<Reply<C>>, CallError<Refused<C>>> {
        let serves = self.wants == Wants::Graded || self.line.policy.serves_degraded();
        let found = match (self.line.policy.falls_back(), asked) {
            (Some(Fallback::Value(_) | Fallback::LastReply), _) if !serves => None,
            (Some(Fallback::Value(value)), _) => {
                let reply = serde_json::from_value(value.clone());
                let reply = reply.map_err(|reason| CallError::Codec {
                    subject: C::SUBJECT,
                    reason: format!("has a fallback in its policy that is no reply: {reason}"),
                })?;
                Some(Graded { reply, grade: Grade::Substitute })
            }
            // A named id is one intention: the reply to another one is no answer to it.
            (Some(Fallback::LastReply), Some(asked))
                if self.wants == Wants::Graded || !self.is_named =>
            {
                self.last(&asked)
            }
            (Some(Fallback::Job), Some(asked))
                if self.is_idempotent() || error.certainly_not_run() =>
            {
                return Err(self.put_off::<C>(error, &asked.command).await);
            }
            _ => None,
        };
        let graded = found.ok_or(error)?;
        self.spared("degraded");
        Ok(graded)
    }

    fn last<T: DeserializeOwned>(&self, asked: &Asked) -> Option<Graded<T>> {
        let (reply, age) = self.line.replies.as_ref()?.last(asked, Instant::now())?;
        let reply = codec::decode(&reply).ok()?;
        Some(Graded { reply, grade: Grade::Old { age } })
    }

    /// Stores the command as a job; returns what its caller is told.
    async fn put_off<C: Command>(
        &self,
        error: CallError<Refused<C>>,
        payload: &Bytes,
    ) -> CallError<Refused<C>> {
        let subject = C::SUBJECT;
        let Ok(command) = codec::decode::<C>(payload) else {
            return error;
        };
        let id = self.request.id.clone();
        let reason = error.to_string();
        match Job::new(self.client, command, self.cause)
            .id(id.clone())
            .await
        {
            Ok(_) => {
                self.spared("job");
                CallError::PutOff { subject, id, reason }
            }
            Err(JobError::Unknown { reason: trouble, .. }) => {
                let reason = format!("{reason}; {trouble}");
                CallError::MaybePutOff { subject, id, reason }
            }
            Err(trouble) => {
                tracing::warn!(%subject, %trouble, "a call could not be put off");
                error
            }
        }
    }

    fn spared(&self, grade: &'static str) {
        let subject = self.line.subject.as_str();
        metrics::counter!(SPARED_CALLS_TOTAL, "subject" => subject, "grade" => grade).increment(1);
    }
}

/// How many bytes of a key are remembered as they are.
const LONG: usize = 128;

/// Bounds what is remembered of a key: of a long one its digest is.
fn short(key: String) -> String {
    if key.len() <= LONG {
        return key;
    }
    let mut digest = DefaultHasher::new();
    key.hash(&mut digest);
    format!("{} bytes, {:016x}", key.len(), digest.finish())
}

/// Returns what an attempt says about its target: a time-out says nothing if the time was
/// not the target's due.
fn judge<T, R>(
    outcome: &Result<T, CallError<R>>,
    blames: impl FnOnce(u16) -> bool,
    is_due: impl FnOnce() -> bool,
) -> Outcome {
    let Err(error) = outcome else {
        return Outcome::Success;
    };
    match error.status() {
        None => Outcome::Nothing,
        Some(Status::DeadlinePassed) if !is_due() => Outcome::Nothing,
        Some(status) if blames(status.code()) => Outcome::Failure,
        Some(_) => Outcome::Success,
    }
}

fn encode<C: Command>(command: &C) -> Result<Bytes, CallError<Refused<C>>> {
    codec::encode(command)
        .map_err(|error| CallError::Codec { subject: C::SUBJECT, reason: error.to_string() })
}

fn decode<C: Command>(subject: Subject, payload: &Bytes) -> Result<C, CallError<Refused<C>>> {
    codec::decode(payload).map_err(|error| CallError::Codec {
        subject,
        reason: format!("cannot be tried again: it {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::{LONG, short};

    #[test]
    fn keys_are_told_apart_and_remembered_in_little_room() {
        let long = |last: &str| "x".repeat(100_000) + last;
        assert_eq!(short("ada".to_owned()), "ada");
        assert_ne!(short(long("a")), short(long("b")));
        assert!(short(long("a")).len() <= LONG);
    }
}
