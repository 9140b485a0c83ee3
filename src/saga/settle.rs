//! The operator's word for what came of a step.

use super::{
    SagaError, Sagas,
    book::Book,
    page::{Move, Settled},
};
use crate::message::codec;
use serde::Serialize;

impl Sagas {
    /// Says that a step whose outcome is not known was done, and with which reply:
    /// the saga goes on with it as if the callee had said so. A step without a
    /// reply, such as a job, takes `()`.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError::NotOpen`] if the outcome of the step is known. A reply
    /// that is not of the step's type is told by the saga, which is parked then; the
    /// step may be settled again.
    pub async fn settle_done<T: Serialize + Sync + ?Sized>(
        &self,
        id: &str,
        step: &str,
        reply: &T,
        reason: &str,
    ) -> Result<(), SagaError> {
        let reply = codec::encode(reply).map_err(|error| {
            let reason = format!("the reply of `{step}` {error}");
            SagaError::Journal { reason }
        })?;
        self.settle(id, step, Settled::Done(reply), reason).await
    }

    /// Says that a step whose outcome is not known was not done: the saga aborts, or
    /// is parked if it is past its pivot. Of a saga that turns back it says that
    /// nothing is left to undo of this step; `on_abort` is the name of what is said
    /// at last.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError::NotOpen`] if the outcome of the step is known.
    pub async fn settle_not_done(
        &self,
        id: &str,
        step: &str,
        reason: &str,
    ) -> Result<(), SagaError> {
        self.settle(id, step, Settled::NotDone, reason).await
    }

    async fn settle(
        &self,
        id: &str,
        step: &str,
        outcome: Settled,
        reason: &str,
    ) -> Result<(), SagaError> {
        let reason = match outcome {
            Settled::Done(_) => reason.to_owned(),
            Settled::NotDone => format!("`{step}` was not done, the operator says: {reason}"),
        };
        self.say(id, |book| {
            let open = open(book, &outcome);
            if !open.iter().any(|name| name == step) {
                return Err(SagaError::NotOpen { id: id.to_owned(), step: step.to_owned(), open });
            }
            let (step, outcome, reason) = (step.to_owned(), outcome.clone(), reason.clone());
            Ok(Some(Move::Settled { step, outcome, reason }))
        })
        .await
    }
}

/// Returns the steps of which this may be said.
fn open(book: &Book, outcome: &Settled) -> Vec<String> {
    match (&book.aborted, outcome) {
        (None, _) => book.unsettled().map(|entry| entry.name.clone()).collect(),
        (Some(_), Settled::NotDone) => book.owed().into_iter().map(|(step, _)| step).collect(),
        (Some(_), Settled::Done(_)) => Vec::new(),
    }
}
