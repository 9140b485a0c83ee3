use super::{
    log::Outcome,
    store::{Broken, Done},
};

/// Room in the store's queue, taken for one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(pub(super) u32);

/// When it is known what became of a message.
#[derive(Debug)]
pub(super) enum Ticket {
    /// Now.
    Now(Outcome),
    /// Once the store says so.
    Later(Done<Outcome>),
    /// The store failed; whether it is stored is not known.
    Broken(Broken),
}

impl Ticket {
    /// Waits until it is known.
    pub(super) async fn outcome(self) -> Result<Outcome, Broken> {
        match self {
            Self::Now(outcome) => Ok(outcome),
            Self::Later(done) => told(done).await,
            Self::Broken(broken) => Err(broken),
        }
    }
}

/// Waits until the store says how something ended.
pub(super) async fn told<T>(done: Done<T>) -> Result<T, Broken> {
    let gone = |_| Broken("the store was closed or failed before it was written".into());
    done.await.map_err(gone)?
}
