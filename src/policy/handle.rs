use super::{
    Change, Counts, Force, Limits, Outcome, State,
    breaker::{Gate, Permit, Refused},
    news::{Changes, changes},
    span,
};
use crate::telemetry::{BREAKER_CHANGES_TOTAL, BREAKER_REJECTED_TOTAL};
use metrics::Counter;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::Instant;

/// Stops calls to something that is broken, and lets them through again when
/// it works.
///
/// It can stand around any future. Cheap to clone, and all clones are one. As
/// a child of a group it tells other nodes of its changes, hears of theirs,
/// and obeys operators: see `callboard::breaker`.
///
/// # Examples
///
/// ```
/// use callboard::policy::{Breaker, Broken, Limits};
/// # use std::{io, time::Duration};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let gateway = Breaker::new("gateway").limits(Limits::new().failures(1, Duration::from_secs(10)));
/// let first = gateway.guard(async { Err::<(), _>(io::Error::other("connection refused")) }).await;
/// assert!(matches!(first, Err(Broken::Failed(_))));
/// match gateway.guard(async { Ok::<_, io::Error>("not even tried") }).await {
///     Err(Broken::Open { retry_after, .. }) => assert!(retry_after > Some(Duration::from_secs(59))),
///     other => panic!("{other:?}"),
/// }
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Breaker(Arc<Inner>);

struct Inner {
    name: &'static str,
    limits: Limits,
    gate: Gate,
    changes: Changes,
    /// Counts what was not let through, once there is something.
    rejected: OnceLock<Counter>,
}

/// Why a guarded future gave nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken<E> {
    /// The breaker is open: it was not tried.
    #[error("the breaker `{breaker}` is open{}", again(*retry_after))]
    Open {
        /// The breaker's name.
        breaker: Cow<'static, str>,
        /// After how long it is worth trying again; nothing while probes are under
        /// way, or an operator keeps it open.
        retry_after: Option<Duration>,
    },
    /// It was tried, and failed.
    #[error(transparent)]
    Failed(E),
}

/// What is known of a breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Its name: the target's, or what it was given.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// After how long it may be probed, if it is open.
    #[serde(default, with = "span::maybe", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// What went through.
    pub counts: Counts,
}

impl Breaker {
    /// Describes a closed breaker with the usual limits.
    ///
    /// The name is one token of `a-z 0-9 -`; breakers of one name on several nodes
    /// are about the same thing.
    pub fn new(name: &'static str) -> Self {
        Self::of(name, Limits::default(), changes())
    }

    /// Sets when it opens and how it tries again; to be said before it is cloned.
    ///
    /// # Panics
    ///
    /// Panics if the limits contradict themselves.
    pub fn limits(self, limits: Limits) -> Self {
        let fault = limits.fault();
        assert!(
            fault.is_none(),
            "the breaker `{}`: {}",
            self.0.name,
            fault.unwrap_or_default()
        );
        Self::of(self.0.name, limits, self.0.changes.clone())
    }

    pub(crate) fn of(name: &'static str, limits: Limits, changes: Changes) -> Self {
        let told = changes.clone();
        let tell = move |change: Change| {
            let state = change.to.name();
            metrics::counter!(BREAKER_CHANGES_TOTAL, "breaker" => name, "state" => state)
                .increment(1);
            let reason = &*change.reason;
            if change.to == State::Open {
                tracing::warn!(breaker = name, state, reason, "a breaker opened");
            } else {
                tracing::info!(breaker = name, state, reason, "a breaker changed");
            }
            told.tell(name, change);
        };
        let gate = Gate::new(limits.clone(), Instant::now(), Some(Box::new(tell)));
        Self(Arc::new(Inner {
            name,
            limits,
            gate,
            changes,
            rejected: OnceLock::new(),
        }))
    }

    /// Runs a future unless the breaker is open; any error counts as a failure.
    ///
    /// Give the future a deadline: while a probe is under way, nothing else goes
    /// through.
    ///
    /// # Errors
    ///
    /// Returns [`Broken::Open`] if it was not run, and [`Broken::Failed`] with its
    /// error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the one inside, and says nothing about the target.
    pub async fn guard<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Broken<E>> {
        let judge = |result: &Result<T, E>| match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        };
        self.guard_by(work, judge).await
    }

    /// Runs a future unless the breaker is open; a function says what its result
    /// means.
    ///
    /// # Errors
    ///
    /// Returns [`Broken::Open`] if it was not run, and [`Broken::Failed`] with its
    /// error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the one inside, and says nothing about the target.
    pub async fn guard_by<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        judge: impl FnOnce(&Result<T, E>) -> Outcome,
    ) -> Result<T, Broken<E>> {
        let permit = self.permit().map_err(|refused| Broken::Open {
            breaker: self.0.name.into(),
            retry_after: refused.retry_after,
        })?;
        let result = work.await;
        permit.end(judge(&result));
        result.map_err(Broken::Failed)
    }

    /// Lets a call through, or says that it may not go; for calls that are no
    /// future, and costs little more than reading a number.
    ///
    /// # Errors
    ///
    /// Returns [`Refused`] if it may not go.
    #[inline]
    pub fn permit(&self) -> Result<Permit<'_>, Refused> {
        let entered = self.0.gate.enter();
        if entered.is_err() {
            self.rejected();
        }
        entered
    }

    /// Says at once if nothing may go through now; takes no probe's place.
    pub(crate) fn look(&self) -> Result<(), Refused> {
        let looked = self.0.gate.look();
        if looked.is_err() {
            self.rejected();
        }
        looked
    }

    #[cold]
    fn rejected(&self) {
        let counter = || metrics::counter!(BREAKER_REJECTED_TOTAL, "breaker" => self.0.name);
        self.0.rejected.get_or_init(counter).increment(1);
    }

    /// Whether a status says that the callee is in trouble.
    pub(crate) fn blames(&self, status: u16) -> bool {
        self.0.limits.blames(status)
    }

    /// Whether it has these limits.
    pub(crate) fn is_limited_by(&self, limits: &Limits) -> bool {
        self.0.limits == *limits
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Returns where it stands.
    pub fn state(&self) -> State {
        self.0.gate.state(Instant::now()).0
    }

    /// Returns what is known of it.
    pub fn report(&self) -> Report {
        let (state, retry_after) = self.0.gate.state(Instant::now());
        Report {
            name: self.0.name.to_owned(),
            state,
            retry_after,
            counts: self.0.gate.counts(),
        }
    }

    /// Forces it open or closed, or lets it decide by itself again.
    pub fn force(&self, force: Force) {
        self.0.gate.force(force);
    }

    /// Tells it that another node's breaker of its name opened for a while; its
    /// [advice](Limits::advice) says what that means.
    pub fn advise(&self, open_for: Duration) {
        self.0.gate.advise(open_for, Instant::now());
    }

    /// Returns the way that its changes go.
    pub(crate) fn changes(&self) -> Changes {
        self.0.changes.clone()
    }
}

/// Says when to come again.
pub(crate) fn again(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!("; try again in {wait:.1?}"),
        None => String::new(),
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Breaker({}, {})", self.0.name, self.state())
    }
}
