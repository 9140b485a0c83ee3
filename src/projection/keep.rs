use super::{Mark, Positions, Seen, plan::Plan};
use crate::error::Failure;
use std::{collections::BTreeMap, fmt};

/// A model that is kept where it also notes how far it got, such as a database.
///
/// The model takes a [`Batch`] of events in and moves its position, both in one
/// transaction: whatever ends the process, neither is there without the other,
/// so every event is in the model exactly once.
///
/// Both are called on the thread of the projection, and hold it up: a batch has
/// at most 256 messages, so that a transaction stays short.
///
/// # Examples
///
/// What the folds change can be written as they go, or be collected and written
/// at the end of the batch, as here:
///
/// ```
/// use callboard::{Event, Failure, Projection, Subject};
/// use callboard::projection::{Batch, Keep, Positions, Seen};
/// # use serde::{Deserialize, Serialize};
/// # use std::{borrow::Cow, collections::BTreeMap};
/// #
/// # #[derive(Serialize, Deserialize)]
/// # struct Deposited { account: String, amount: u64 }
/// # impl Event for Deposited {
/// #     const SUBJECT: Subject = Subject::new("bank.deposited");
/// #     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.account) }
/// # }
/// # #[derive(Default)]
/// # struct Database(BTreeMap<String, u64>, u64);
/// # impl Database {
/// #     fn open() -> std::io::Result<Self> { Ok(Self::default()) }
/// #     fn positions(&self) -> std::io::Result<BTreeMap<String, u64>> { Ok(self.0.clone()) }
/// #     fn transaction(&mut self) -> std::io::Result<&mut Self> { Ok(self) }
/// #     fn position(&self, domain: &str) -> std::io::Result<u64> { Ok(*self.0.get(domain).unwrap_or(&0)) }
/// #     fn set_position(&mut self, domain: &str, to: u64) -> std::io::Result<()> {
/// #         self.0.insert(domain.to_owned(), to);
/// #         Ok(())
/// #     }
/// #     fn add(&mut self, amount: u64) -> std::io::Result<()> { self.1 += amount; Ok(()) }
/// #     fn commit(&mut self) -> std::io::Result<()> { Ok(()) }
/// # }
///
/// struct Deposits {
///     database: Database,
///     /// What the batch at hand adds.
///     added: u64,
/// }
///
/// impl Keep for Deposits {
///     fn positions(&mut self) -> Result<Positions, Failure> {
///         Ok(self.database.positions()?.into_iter().collect())
///     }
///
///     fn keep(&mut self, batch: &Batch<'_, Self>) -> Result<(), Failure> {
///         self.added = 0;
///         batch.fold(self);
///         let work = self.database.transaction()?;
///         if work.position(batch.domain())? == batch.from() {
///             work.add(self.added)?;
///             work.set_position(batch.domain(), batch.to())?;
///             work.commit()?;
///         }
///         Ok(())
///     }
/// }
///
/// let open = || Ok(Deposits { database: Database::open()?, added: 0 });
/// let deposits = Projection::kept("deposits", open)
///     .fold(|deposits: &mut Deposits, deposited: &Deposited, _: &Seen| {
///         deposits.added += deposited.amount;
///     });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say where it keeps its model",
    note = "implement `callboard::projection::Keep` for it, or describe a model in memory with `Projection::new`"
)]
pub trait Keep: 'static {
    /// Returns how far the model has got, as it is kept.
    ///
    /// # Errors
    ///
    /// A failure is tried again.
    fn positions(&mut self) -> Result<Positions, Failure>;

    /// Returns the marks of the messages at its positions, by domain, as they were
    /// kept with them ([`Batch::mark`]); none by default.
    ///
    /// By its mark a projection finds at its start that a stream lost its end, as a
    /// server may that lost its power, and went on with other events. Without one it
    /// only finds a stream that ends before the position. A mark of an earlier position
    /// must not be returned: a program that keeps none may have moved on.
    ///
    /// # Errors
    ///
    /// A failure is tried again.
    fn marks(&mut self) -> Result<BTreeMap<String, Mark>, Failure> {
        Ok(BTreeMap::new())
    }

    /// Takes a batch of one stream's events in, and moves the position of
    /// [`domain`](Batch::domain) from [`from`](Batch::from) to
    /// [`to`](Batch::to), in one transaction.
    ///
    /// Does neither and returns `Ok` if the position is not `from`: another
    /// process was faster, and the projection goes on from where that got.
    ///
    /// # Errors
    ///
    /// After a failure nothing of the batch may be left in the model: it is
    /// tried again.
    fn keep(&mut self, batch: &Batch<'_, Self>) -> Result<(), Failure>
    where
        Self: Sized;
}

/// Some events of one stream, in order, on their way into a model that is kept.
pub struct Batch<'a, S> {
    pub(super) plan: &'a Plan<S>,
    pub(super) path: &'a str,
    pub(super) domain: &'static str,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) mark: Option<Mark>,
    pub(super) events: &'a [Seen],
}

impl<S: 'static> Batch<'_, S> {
    /// Folds the events into the model, by the projection's folds.
    pub fn fold(&self, model: &mut S) {
        for seen in self.events {
            self.plan.fold(model, seen, self.path);
        }
    }

    /// Returns the domain whose events these are.
    pub const fn domain(&self) -> &'static str {
        self.domain
    }

    /// Returns the position that the model must have; 0 before the first message.
    pub const fn from(&self) -> u64 {
        self.from
    }

    /// Returns the position that the model has with these events.
    pub const fn to(&self) -> u64 {
        self.to
    }

    /// Returns the mark of the message at [`to`](Self::to), to be kept beside the
    /// position, if it is known; see [`Keep::marks`].
    pub const fn mark(&self) -> Option<Mark> {
        self.mark
    }
}

impl<S> fmt::Debug for Batch<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("domain", &self.domain)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
