use super::{Bulkhead, Cache, Fallback, Limits, Rate, Retry, span};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How one target is called. What is left out does not apply.
///
/// A call goes through its parts in this order: the deadline, the cache, then
/// for each attempt the rate limit, the bulkhead and the breaker; what comes of
/// it decides about another attempt, and at last about the fallback.
///
/// # Examples
///
/// ```
/// use callboard::policy::{Bulkhead, Limits, Policy, Retry};
/// use std::time::Duration;
///
/// let policy = Policy::new()
///     .deadline(Duration::from_secs(3))
///     .try_within(Duration::from_secs(1))
///     .retry(Retry::default())
///     .breaker(Limits::default())
///     .bulkhead(Bulkhead::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Policy {
    #[serde(with = "span::maybe", skip_serializing_if = "Option::is_none")]
    deadline: Option<Duration>,
    #[serde(with = "span::maybe", skip_serializing_if = "Option::is_none")]
    try_within: Option<Duration>,
    idempotent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry: Option<Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) breaker: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bulkhead: Option<Bulkhead>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accept: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache: Option<Cache>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fallback: Option<Fallback>,
}

impl Policy {
    /// Describes a policy of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a call may take in all; a caller that says less gets less.
    pub const fn deadline(mut self, total: Duration) -> Self {
        self.deadline = Some(total);
        self
    }

    /// Sets how long one attempt may take.
    pub const fn try_within(mut self, limit: Duration) -> Self {
        self.try_within = Some(limit);
        self
    }

    /// Says that the target does a command of one id once, as entities do: then
    /// also a call that may have been run is tried again.
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Sets how it is tried again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Puts a breaker before it.
    pub fn breaker(mut self, limits: Limits) -> Self {
        self.breaker = Some(limits);
        self
    }

    /// Sets how many calls may be in flight.
    pub fn bulkhead(mut self, bulkhead: Bulkhead) -> Self {
        self.bulkhead = Some(bulkhead);
        self
    }

    /// Sets how many calls may be made in a time.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Sets how many calls the command's own node takes in a time, in all or
    /// [by caller](super::By::Caller): what comes on top is answered with 429, and when
    /// to come again.
    ///
    /// A domain is known by the name that it gives itself.
    pub fn accept(mut self, rate: Rate) -> Self {
        self.accept = Some(rate);
        self
    }

    /// Keeps replies.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets what a caller gets when it cannot be answered.
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Returns how long a call may take in all.
    pub(crate) const fn total(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns how long one attempt may take.
    pub(crate) const fn per_try(&self) -> Option<Duration> {
        self.try_within
    }

    pub(crate) const fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(crate) const fn retries(&self) -> Option<&Retry> {
        self.retry.as_ref()
    }

    pub(crate) const fn rates(&self) -> Option<&Rate> {
        self.rate.as_ref()
    }

    pub(crate) const fn accepts(&self) -> Option<&Rate> {
        self.accept.as_ref()
    }

    pub(crate) const fn keeps(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    pub(crate) const fn falls_back(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// Returns which part of it is wrong, and what would be right.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let fault = |name, span: Option<Duration>| span.and_then(|span| span::fault(name, span));
        let parts = [
            ("deadline", fault("deadline", self.deadline)),
            ("try_within", fault("try_within", self.try_within)),
            ("try_within", self.fault_of_trying()),
            ("retry", self.retry.as_ref().and_then(Retry::fault)),
            ("retry", self.fault_of_retrying()),
            ("breaker", self.breaker.as_ref().and_then(Limits::fault)),
            ("bulkhead", self.bulkhead.as_ref().and_then(Bulkhead::fault)),
            ("rate", self.rate.as_ref().and_then(Rate::fault)),
            (
                "accept",
                self.accept.as_ref().and_then(Rate::fault_of_accepting),
            ),
            ("cache", self.cache.as_ref().and_then(Cache::fault)),
        ];
        parts
            .into_iter()
            .find_map(|(part, fault)| Some((part, fault?)))
    }

    fn fault_of_trying(&self) -> Option<String> {
        let (total, limit) = (self.deadline?, self.try_within?);
        (limit > total).then(|| {
            format!(
                "it is {limit:?}, longer than the `deadline` of {total:?}; make it shorter, or leave it out"
            )
        })
    }

    fn fault_of_retrying(&self) -> Option<String> {
        let (total, retry) = (self.deadline?, self.retry.as_ref()?);
        let first = retry.first();
        (retry.is_any() && first > total).then(|| {
            format!(
                "`first` is {first:?}, longer than the `deadline` of {total:?}, so nothing would be tried again; make it shorter"
            )
        })
    }
}
