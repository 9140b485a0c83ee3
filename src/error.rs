//! What a handler says when it could not finish.
//!
//! [`Failure`] is the one opaque error of the engine. It carries a cause and a
//! [`Verdict`]: what shall happen to the message that could not be handled.
//! It says nothing about business: a domain's "no" is a
//! [`Rejection`](crate::message::Rejection).

use std::{error::Error, fmt};

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
