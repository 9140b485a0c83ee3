use super::{Bulkhead, Cache, Fallback, Limits, Rate, Retry, Scope, Serve, span};
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
    #[serde(skip_serializing_if = "Serve::is_fresh")]
    serve: Serve,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    inside: bool,
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
    /// A domain is known by the name that it gives itself. As many names are remembered
    /// as [`Rate::keys`] says, those that called last: a caller that changes its name
    /// often enough is not limited. It protects from a program that calls too often, and
    /// not from one that means harm.
    pub fn accept(mut self, rate: Rate) -> Self {
        self.accept = Some(rate);
        self
    }

    /// Keeps replies, of a command that [only reads](crate::Command::READ_ONLY): a table
    /// has it for single commands, and refuses it for a domain or as the default.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets what a caller gets when it cannot be answered.
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Says who gets a reply that the fallback makes up for; by default only a caller
    /// that asks for it by [`Call::graded`](crate::Call::graded).
    pub const fn serve(mut self, serve: Serve) -> Self {
        self.serve = serve;
        self
    }

    /// Says that it also binds calls inside the target's domain, from actors of a group
    /// of the domain's name; without, those are made as if there were no policy, but for
    /// what the command's own node [takes](Self::accept).
    pub const fn inside(mut self) -> Self {
        self.inside = true;
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

    /// Whether a caller that did not ask for it gets what the fallback has.
    pub(crate) fn serves_degraded(&self) -> bool {
        self.serve == Serve::Degraded
    }

    /// Whether it binds calls inside the target's domain.
    pub(crate) const fn binds_inside(&self) -> bool {
        self.inside
    }

    pub(crate) const fn falls_back(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// Returns the limits of its breaker if that stands before a whole domain.
    pub(crate) fn shared_breaker(&self) -> Option<&Limits> {
        self.breaker.as_ref().filter(|it| it.is_of(Scope::Domain))
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

    /// Returns which part of it does not belong to where it stands in a table.
    pub(super) fn misplaced(&self, place: &str) -> Option<(&'static str, String)> {
        let is_of_command = place.starts_with("commands.");
        if self.cache.is_some() && !is_of_command {
            let reason = "a cache is for one command that only reads; write it under \
                          `[commands.\"orders.get\"]`";
            return Some(("cache", reason.to_owned()));
        }
        let is_shared = self
            .breaker
            .as_ref()
            .is_some_and(|it| it.is_of(Scope::Domain));
        (is_shared && is_of_command).then(|| {
            let named = place.split(['"', '.']).nth(2).unwrap_or_default();
            let reason = format!(
                "`scope = \"domain\"` is for all commands of a domain; write it under \
                 `[domains.{named}]`"
            );
            ("breaker", reason)
        })
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
