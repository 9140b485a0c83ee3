use super::{CallError, JobError, PublishError, TellError};
use crate::{
    error::Failure,
    message::{Refused, Rejection, Reply},
};

/// What a command handler returns: the reply, the domain's "no", or a failure.
///
/// `?` turns trouble into a [`Refusal::Failed`]; `Err(rejection.into())` says no.
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
