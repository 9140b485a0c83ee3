use super::{
    Breaker, By, Cache, Fallback, Limited, Policy, Standing, budget::Purse, bulkhead::Berths,
    cache::Replies, limiter::Limiter, news::Changes,
};
use crate::message::Subject;
use std::time::Duration;
use tokio::time::Instant;

/// A target with a policy, and what is known of it: its breaker, its budget,
/// its replies.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) subject: Subject,
    pub(crate) policy: Policy,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) berths: Option<Berths>,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) door: Option<Limiter>,
    pub(crate) purse: Option<Purse>,
    pub(crate) replies: Option<Replies>,
}

impl Line {
    /// Opens a line; a breaker of the same limits stays as it is, and one of others
    /// stays as an operator forced it.
    pub(crate) fn new(
        subject: Subject,
        policy: Policy,
        before: Option<&Self>,
        changes: &Changes,
    ) -> Self {
        let now = Instant::now();
        let breaker = policy.breaker.as_ref().map(|limits| {
            let known = before.and_then(|line| line.breaker.as_ref());
            if let Some(same) = known.filter(|breaker| breaker.is_limited_by(limits)) {
                return same.clone();
            }
            let breaker = Breaker::of(subject.as_str(), limits.clone(), changes.clone());
            match known.map(Breaker::state) {
                Some(super::State::ForcedOpen) => breaker.force(super::Force::Open),
                Some(super::State::ForcedClosed) => breaker.force(super::Force::Closed),
                _ => {}
            }
            breaker
        });
        let keeps_last = policy.fallback == Some(Fallback::LastReply);
        let cache = policy.cache.clone();
        let cache = cache.or_else(|| keeps_last.then(Cache::default));
        Self {
            subject,
            breaker,
            berths: policy.bulkhead.clone().map(Berths::new),
            limiter: policy.rate.clone().map(Limiter::new),
            door: policy.accept.clone().map(Limiter::new),
            purse: policy
                .retry
                .as_ref()
                .map(|retry| Purse::new(retry.spends().clone(), now)),
            replies: cache.map(Replies::new),
            policy,
        }
    }

    /// Whether the callee's node takes another call of a domain; if not, after how
    /// long it will.
    pub(crate) fn admit(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let (Some(door), Some(rate)) = (&self.door, self.policy.accepts()) else {
            return Ok(());
        };
        let key = if *rate.is_by() == By::Caller {
            caller
        } else {
            ""
        };
        door.take(key, now)
            .map(drop)
            .map_err(|limited| limited.reset)
    }

    /// Whether an operator keeps its breaker open.
    pub(crate) fn is_forced_open(&self) -> bool {
        let breaker = self.breaker.as_ref();
        breaker.is_some_and(|breaker| breaker.state() == super::State::ForcedOpen)
    }

    /// Says how many calls the callee's node takes of a domain.
    pub(crate) fn door_in_words(&self, caller: &str) -> String {
        self.policy.accepts().map_or_else(String::new, |rate| {
            let whom = match rate.is_by() {
                By::Caller => caller,
                _ => "all callers together",
            };
            format!("the node limits {whom} to {rate}")
        })
    }

    /// Says how many calls are made where it is called.
    pub(crate) fn rate_in_words(&self) -> String {
        self.policy.rates().map_or_else(String::new, |rate| {
            let each = match rate.is_by() {
                By::All => String::new(),
                By::Caller => " for each caller".to_owned(),
                By::Key => " for each key".to_owned(),
                By::Field(field) => format!(" for each `{field}`"),
            };
            format!("the caller's policy limits them to {rate}{each}")
        })
    }

    /// Returns how its limits stand; those of a rate once something was counted.
    pub(crate) fn standings(&self, now: Instant) -> Vec<Standing> {
        let counted = |limiter: &Option<Limiter>, of| limiter.as_ref()?.standing(now, of);
        let parts = [
            counted(&self.door, Limited::Accept),
            counted(&self.limiter, Limited::Rate),
            self.berths.as_ref().map(Berths::standing),
            self.purse.as_ref().map(|purse| purse.standing(now)),
        ];
        let target = Some(self.subject.as_str().to_owned());
        let parts = parts.into_iter().flatten();
        parts
            .map(|part| Standing { target: target.clone(), ..part })
            .collect()
    }

    /// Whether it needs the bytes of a command, which may be tried only once.
    pub(crate) fn reads_commands(&self, is_once: bool) -> bool {
        let retries = self.policy.retries();
        self.replies.is_some()
            || (!is_once && retries.is_some_and(super::Retry::is_any))
            || self.policy.falls_back() == Some(&Fallback::Job)
    }
}
