use super::{CallError, JobError, PublishError, TellError};
use crate::{
    error::Failure,
    message::{Refused, Rejection, Reply},
};

/// What a command handler returns: the reply, the domain's "no", or a failure.
///
/// `?` turns a [`Failure`] and what publishing, calling and telling may return
/// into a [`Refusal::Failed`]; any other error becomes one by
/// `.map_err(Failure::from)?`. `Err(rejection.into())` says no.
///
/// # Examples
///
/// ```
/// use callboard::{Answer, Command, Context, Failure, Infallible, Subject};
/// # use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Parse(String);
///
/// impl Command for Parse {
///     const SUBJECT: Subject = Subject::new("numbers.parse");
///     type Outcome = Result<u64, Infallible>;
/// }
///
/// async fn parse(_: &mut (), parse: Parse, _: &Context) -> Answer<Parse> {
///     Ok(parse.0.parse().map_err(Failure::from)?)
/// }
/// # callboard::Actor::new("numbers", async || Ok(())).answer(parse);
/// ```
pub type Answer<C> = Result<Reply<C>, Refusal<Refused<C>>>;

/// Why a command handler gives no reply.
#[derive(Debug)]
pub enum Refusal<R> {
    /// The domain says no; the caller gets it typed, and all is well.
    Rejected(R),
    /// The handler could not finish; the caller gets a 500.
    Failed(Failure),
}

impl<R: Rejection> From<R> for Refusal<R> {
    fn from(rejection: R) -> Self {
        Self::Rejected(rejection)
    }
}

impl<R> From<Failure> for Refusal<R> {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<R> From<PublishError> for Refusal<R> {
    fn from(error: PublishError) -> Self {
        Self::Failed(error.into())
    }
}

impl<R> From<JobError> for Refusal<R> {
    fn from(error: JobError) -> Self {
        Self::Failed(error.into())
    }
}

impl<R> From<TellError> for Refusal<R> {
    fn from(error: TellError) -> Self {
        Self::Failed(error.into())
    }
}

impl<R, Q: Rejection> From<CallError<Q>> for Refusal<R> {
    fn from(error: CallError<Q>) -> Self {
        Self::Failed(error.into())
    }
}
