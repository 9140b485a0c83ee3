use super::{
    Breaker, By, Cache, Fallback, Force, Limited, Limits, Policy, Scope, Standing, State,
    budget::Purse, bulkhead::Berths, cache::Replies, limiter::Limiter, news::Changes,
};
use crate::{message::Subject, time::UsualTime};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A target with a policy, and what is known of it: its breaker, its budget,
/// its replies.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) subject: Subject,
    pub(crate) policy: Policy,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) berths: Option<Arc<Berths>>,
    pub(crate) limiter: Option<Arc<Limiter>>,
    pub(crate) door: Option<Arc<Limiter>>,
    pub(crate) purse: Option<Arc<Purse>>,
    pub(crate) replies: Option<Arc<Replies>>,
    /// How long its replies usually take.
    usual: UsualTime,
    /// Whether somebody was told that its cache is not used.
    told: AtomicBool,
}

impl Line {
    /// Opens a line; each part that is to be as before goes on as it was, and a
    /// breaker of other limits stays as an operator forced it. A domain's breaker is
    /// the one that is given.
    pub(crate) fn new(
        subject: Subject,
        policy: Policy,
        (before, of_domain): (Option<&Self>, Option<&Breaker>),
        changes: &Changes,
    ) -> Self {
        let breaker = policy.breaker.as_ref().map(|limits| {
            if limits.is_of(Scope::Domain) {
                return renewed(subject.domain(), limits, of_domain, changes);
            }
            let known = before.and_then(|line| line.breaker.as_ref());
            let known = known.filter(|breaker| breaker.name() == subject.as_str());
            renewed(subject.as_str(), limits, known, changes)
        });
        let budget = |policy: &Policy| policy.retry.as_ref().map(|retry| retry.spends().clone());
        let berths = before.map(|line| (line.policy.bulkhead.clone(), &line.berths));
        let limiter = before.map(|line| (line.policy.rate.clone(), &line.limiter));
        let door = before.map(|line| (line.policy.accept.clone(), &line.door));
        let purse = before.map(|line| (budget(&line.policy), &line.purse));
        let replies = before.map(|line| (remembers(&line.policy), &line.replies));
        let fill = |budget| Purse::new(budget, Instant::now());
        Self {
            subject,
            breaker,
            berths: kept(policy.bulkhead.clone(), berths, Berths::new),
            limiter: kept(policy.rate.clone(), limiter, Limiter::new),
            door: kept(policy.accept.clone(), door, Limiter::new),
            purse: kept(budget(&policy), purse, fill),
            replies: kept(remembers(&policy), replies, |(cache, _)| {
                Replies::new(cache)
            }),
            usual: before.map_or_else(UsualTime::default, |line| UsualTime::like(&line.usual)),
            told: AtomicBool::new(false),
            policy,
        }
    }

    /// Whether the time of another reply is worth a look at the clock: of one in eight.
    pub(crate) fn wants_time(&self) -> bool {
        self.breaker.is_some() && (!self.usual.is_known() || fastrand::u8(..) < 32)
    }

    /// Notes how long a reply took.
    pub(crate) fn took(&self, time: Duration) {
        self.usual.took(time);
    }

    /// Returns how long the callee is given for one attempt: what the policy says, or
    /// else what an attempt has by default.
    pub(crate) fn gives(&self, by_default: Duration) -> Duration {
        let given = self.policy.per_try().or(self.policy.total());
        given.unwrap_or(by_default)
    }

    /// Whether the time that one attempt had was the callee's due, so that silence
    /// speaks against it.
    pub(crate) fn is_due(&self, had: Duration, by_default: Duration) -> bool {
        self.usual.was_due(had, self.gives(by_default))
    }

    /// Whether a call may be given a reply that was kept; says once where the table
    /// wants that and the command does not bear it.
    pub(crate) fn is_cached(&self, is_read_only: bool) -> bool {
        if self.policy.keeps().is_none() {
            return false;
        }
        if !is_read_only && !self.told.swap(true, Relaxed) {
            let subject = self.subject.as_str();
            tracing::warn!(
                subject,
                "its policy has a cache, which is not used: the command does not say that it only \
                 reads; set `const READ_ONLY: bool = true` on it if it does"
            );
        }
        is_read_only
    }

    /// Whether it keeps the last reply for when there is no other.
    pub(crate) fn keeps_last(&self) -> bool {
        self.policy.falls_back() == Some(&Fallback::LastReply)
    }

    /// Whether it binds the calls of a domain.
    pub(crate) fn binds(&self, caller: &str) -> bool {
        self.policy.binds_inside() || caller != self.subject.domain()
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
        breaker.is_some_and(|breaker| breaker.state() == State::ForcedOpen)
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
        let counted = |limiter: &Option<Arc<Limiter>>, of| limiter.as_ref()?.standing(now, of);
        let parts = [
            counted(&self.door, Limited::Accept),
            counted(&self.limiter, Limited::Rate),
            self.berths.as_deref().map(Berths::standing),
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
        self.keeps_last()
            || (!is_once && retries.is_some_and(super::Retry::is_any))
            || self.policy.falls_back() == Some(&Fallback::Job)
    }
}

/// Returns a breaker as it was if it is to have the same limits, else a new one, which
/// stays as an operator forced it.
pub(crate) fn renewed(
    name: &'static str,
    limits: &Limits,
    known: Option<&Breaker>,
    changes: &Changes,
) -> Breaker {
    if let Some(same) = known.filter(|breaker| breaker.is_limited_by(limits)) {
        return same.clone();
    }
    let breaker = Breaker::of(name, limits.clone(), changes.clone());
    match known.map(Breaker::state) {
        Some(State::ForcedOpen) => breaker.force(Force::Open),
        Some(State::ForcedClosed) => breaker.force(Force::Closed),
        _ => {}
    }
    breaker
}

/// Returns how replies are remembered, and whether they are given again while fresh:
/// those that are only kept for when there is no other do not grow old by events.
fn remembers(policy: &Policy) -> Option<(Cache, bool)> {
    let keeps_last = policy.fallback == Some(Fallback::LastReply);
    let cache = policy.cache.clone().map(|cache| (cache, true));
    cache.or_else(|| keeps_last.then(|| (Cache::default(), false)))
}

/// Returns a part as it was if it is to be the same, else a new one.
fn kept<D: PartialEq, P>(
    data: Option<D>,
    before: Option<(Option<D>, &Option<Arc<P>>)>,
    make: impl FnOnce(D) -> P,
) -> Option<Arc<P>> {
    let data = data?;
    if let Some((Some(known), Some(part))) = before
        && known == data
    {
        return Some(Arc::clone(part));
    }
    Some(Arc::new(make(data)))
}

#[cfg(test)]
mod tests {
    use super::{super::changes, Line, Policy};
    use crate::{
        message::Subject,
        policy::{Budget, Bulkhead, Cache, Fallback, Rate, Retry},
    };
    use std::{sync::Arc, time::Duration};

    const SECOND: Duration = Duration::from_secs(1);

    fn full() -> Policy {
        Policy::new()
            .retry(Retry::default())
            .bulkhead(Bulkhead::new(1))
            .rate(Rate::new(1, SECOND))
            .accept(Rate::new(2, SECOND))
            .cache(Cache::default())
    }

    /// Says of each part whether it is the one before: bulkhead, rate, accept,
    /// budget, replies.
    fn stays(before: Policy, after: Policy) -> [bool; 5] {
        fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            one.zip(other)
                .is_some_and(|(one, other)| Arc::ptr_eq(one, other))
        }
        let line =
            |policy, before| Line::new(Subject::new("a.b"), policy, (before, None), &changes());
        let one = line(before, None);
        let two = line(after, Some(&one));
        [
            same(one.berths.as_ref(), two.berths.as_ref()),
            same(one.limiter.as_ref(), two.limiter.as_ref()),
            same(one.door.as_ref(), two.door.as_ref()),
            same(one.purse.as_ref(), two.purse.as_ref()),
            same(one.replies.as_ref(), two.replies.as_ref()),
        ]
    }

    #[test]
    fn what_a_callee_usually_takes_is_near_the_slowest_of_many() {
        let line = Line::new(Subject::new("a.b"), Policy::new(), (None, None), &changes());
        let ms = Duration::from_millis;
        let is_due = |had| line.is_due(ms(had), SECOND * 5);
        assert!(is_due(4_500) && !is_due(4_499), "nothing else is known");
        for number in 0..1_000 {
            line.took(ms(1 + 9 * u64::from(number % 10 == 0)));
        }
        assert!(is_due(20) && !is_due(4));
        let policy = Policy::new().deadline(SECOND).try_within(ms(100));
        let line = Line::new(Subject::new("a.b"), policy, (Some(&line), None), &changes());
        assert!(is_due(20), "it is remembered");
        assert!(line.is_due(ms(90), SECOND));
    }

    #[test]
    fn each_part_that_is_to_be_as_before_goes_on() {
        assert_eq!(stays(full(), full().deadline(SECOND)), [true; 5]);
        let except = |after: Policy| stays(full(), after);
        let [t, f] = [true, false];
        let bulkhead = full().bulkhead(Bulkhead::new(2));
        assert_eq!(except(bulkhead), [f, t, t, t, t]);
        assert_eq!(except(full().rate(Rate::new(3, SECOND))), [t, f, t, t, t]);
        assert_eq!(except(full().accept(Rate::new(3, SECOND))), [t, t, f, t, t]);
        assert_eq!(except(full().retry(Retry::new(5))), [true; 5]);
        let budget = Retry::default().budget(Budget::new(0.5));
        assert_eq!(except(full().retry(budget)), [t, t, t, f, t]);
        assert_eq!(except(full().cache(Cache::new(9, SECOND))), [t, t, t, t, f]);
        assert_eq!(except(Policy::new()), [f; 5]);
        // Replies that did not grow old are not given as fresh ones.
        let last = Policy::new().fallback(Fallback::LastReply);
        assert!(!stays(last, full())[4]);
    }
}
