use super::store::{Broken, Done};

/// Room in the store's queue, taken for one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(pub(super) u32);

/// When what was decided about a message holds.
#[derive(Debug)]
pub(super) enum Ticket {
    /// Now.
    Done,
    /// Once the store says so.
    Wait(Done),
    /// The store failed; whether it holds is not known.
    Broken(Broken),
}

impl Ticket {
    /// Waits until it holds.
    pub(super) async fn holds(self) -> Result<(), Broken> {
        match self {
            Self::Done => Ok(()),
            Self::Wait(done) => holds(done).await,
            Self::Broken(broken) => Err(broken),
        }
    }
}

/// Waits until the store says that something is durable.
pub(super) async fn holds(done: Done) -> Result<(), Broken> {
    let gone = |_| Broken("the store was closed or failed before it was written".into());
    done.await.map_err(gone)?
}
