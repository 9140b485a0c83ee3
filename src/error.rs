//! What a handler says when it could not finish.
//!
//! [`Failure`] is the one opaque error of the engine. It carries a cause and a
//! [`Verdict`]: what shall happen to the message that could not be handled.
//! It says nothing about business: a domain's "no" is a
//! [`Rejection`](crate::message::Rejection).

use std::{error::Error, fmt, time::Duration};

/// How soon, and how late, something that is not available may be asked for again.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_hours(1);

/// Any error, boxed.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What shall happen to a message whose handler failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver it again after a backoff; park its key when the attempts are used up.
    Retry,
    /// Dead-letter it now: another attempt would end the same way.
    Discard,
    /// Rebuild the actor first, then deliver it again.
    Crash,
    /// Deliver it again after this time, however often: nothing was tried, so no attempt is
    /// used up.
    Unavailable {
        /// After how long it is worth it.
        after: Duration,
    },
}

impl Verdict {
    /// Returns how many attempts are used up: what was not tried uses up none.
    pub(crate) const fn attempts(self) -> u32 {
        match self {
            Self::Unavailable { .. } => 0,
            Self::Retry | Self::Discard | Self::Crash => 1,
        }
    }
}

/// Why a handler could not finish with a message.
///
/// Any error turns into a failure with `?`, and then asks for a retry.
/// `Failure` itself is no [`Error`], so that this conversion can exist.
///
/// # Examples
///
/// ```
/// use callboard::{Failure, Verdict};
///
/// fn parse(line: &str) -> Result<u16, Failure> {
///     line.parse().map_err(Failure::discard)
/// }
///
/// assert_eq!(parse("x").map_err(|failure| failure.verdict()), Err(Verdict::Discard));
/// ```
pub struct Failure {
    verdict: Verdict,
    cause: BoxError,
}

impl Failure {
    /// Asks for another attempt after a backoff, as `?` does.
    pub fn retry(cause: impl Into<BoxError>) -> Self {
        Self { verdict: Verdict::Retry, cause: cause.into() }
    }

    /// Gives the message up: it becomes a dead letter now.
    pub fn discard(cause: impl Into<BoxError>) -> Self {
        Self { verdict: Verdict::Discard, cause: cause.into() }
    }

    /// Asks for a fresh actor before the next attempt.
    pub fn crash(cause: impl Into<BoxError>) -> Self {
        Self { verdict: Verdict::Crash, cause: cause.into() }
    }

    /// Says that nothing was done, because something that is needed is not there now, such
    /// as what a breaker of the handler's own stands before; it is worth coming again after
    /// a time, from 100 ms to an hour.
    ///
    /// The caller of a command gets 503 and when to come again: the command was certainly
    /// not run, so retries and sagas may go on as if it had not been sent. An event or a job
    /// comes again after that time, as often as it takes, and uses up no attempt; later ones
    /// of its key wait. Say it only before the handler has done anything.
    ///
    /// # Examples
    ///
    /// ```
    /// use callboard::{Answer, Command, Context, Failure, policy::{Breaker, Broken}};
    /// # use callboard::{Infallible, Subject};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::{io, time::Duration};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Pay;
    /// # impl Command for Pay {
    /// #     const SUBJECT: Subject = Subject::new("bank.pay");
    /// #     type Outcome = Result<(), Infallible>;
    /// # }
    /// # async fn transfer() -> io::Result<()> { Ok(()) }
    ///
    /// async fn pay(bank: &mut Breaker, _: Pay, _: &Context) -> Answer<Pay> {
    ///     match bank.guard(transfer()).await {
    ///         Ok(()) => Ok(()),
    ///         Err(Broken::Open { retry_after, .. }) => {
    ///             let after = retry_after.unwrap_or(Duration::from_secs(1));
    ///             Err(Failure::unavailable(after).because("the bank is away").into())
    ///         }
    ///         Err(Broken::Failed(error)) => Err(Failure::retry(error).into()),
    ///     }
    /// }
    /// # callboard::Actor::new("bank", async || Ok(Breaker::new("bank"))).answer(pay);
    /// ```
    pub fn unavailable(after: Duration) -> Self {
        let after = after.clamp(SOONEST, LATEST);
        let cause = "what is needed for it is not available now".into();
        Self { verdict: Verdict::Unavailable { after }, cause }
    }

    /// Says what the cause is.
    #[must_use = "it is the failure to return"]
    pub fn because(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = cause.into();
        self
    }

    /// Returns after how long it is worth coming again, if nothing was done.
    pub(crate) const fn not_run(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::Unavailable { after } => Some(after),
            _ => None,
        }
    }

    /// Returns what shall happen to the message.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the cause.
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.cause
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self::retry(cause)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.verdict)
    }
}

/// Writes the cause and the causes below it, separated by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        let mut below = self.cause.source();
        while let Some(cause) = below {
            write!(f, ": {cause}")?;
            below = cause.source();
        }
        Ok(())
    }
}
