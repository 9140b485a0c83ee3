//! The operator's word for what came of a step.

use super::{
    SagaError, SagaState, Sagas,
    book::Book,
    journal::Written,
    page::{Move, Settled},
    sagas::TRIES,
};
use crate::message::{Id, Key, codec};
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
        let outcome = Settled::Done(codec::encode(reply)?);
        self.settle(id, step, outcome, reason).await
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
        let key = Key::new(id)?;
        let reason = match outcome {
            Settled::Done(_) => reason.to_owned(),
            Settled::NotDone => format!("`{step}` was not done, the operator says: {reason}"),
        };
        let settled = [Move::Settled { step: step.to_owned(), outcome, reason }];
        for _ in 0..TRIES {
            let book = self.journals.load(&key).await?;
            let Move::Settled { outcome, .. } = &settled[0] else {
                break;
            };
            self.check(&book, id, step, outcome)?;
            match self.journals.write(&key, book.last, &settled).await? {
                Written::Stored(_) => return Ok(self.errands.wake(&key, Id::new()).await?),
                Written::Conflict => {}
                Written::Unknown(reason) => return Err(SagaError::Unknown { reason }),
                Written::Crashed | Written::TooLarge => break,
            }
        }
        let reason = format!("its journal changed {TRIES} times in between");
        Err(SagaError::Unknown { reason })
    }

    fn check(&self, book: &Book, id: &str, step: &str, outcome: &Settled) -> Result<(), SagaError> {
        if book.last == 0 {
            return Err(self.not_found(id));
        }
        let state = SagaState::of(book);
        if state.is_over() {
            return Err(SagaError::Over { id: id.to_owned(), state });
        }
        let open = open(book, outcome);
        if open.iter().any(|name| name == step) {
            return Ok(());
        }
        Err(SagaError::NotOpen { id: id.to_owned(), step: step.to_owned(), open })
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
