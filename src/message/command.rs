use super::{Rejection, Subject};
use serde::{Serialize, de::DeserializeOwned};
use std::borrow::Cow;

/// A request to one domain, answered with a reply or a rejection.
///
/// # Examples
///
/// ```
/// use callboard::{Command, Rejection, Subject};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Charge {
///     order: String,
///     amount: u64,
/// }
///
/// #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
/// enum Declined {
///     #[error("over the limit of {limit}")]
///     OverLimit { limit: u64 },
/// }
///
/// impl Rejection for Declined {}
///
/// impl Command for Charge {
///     const SUBJECT: Subject = Subject::new("payments.charge");
///     type Outcome = Result<u64, Declined>;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    note = "implement `callboard::Command` for it: a `SUBJECT` such as `payments.charge`, and an `Outcome` such as `Result<Receipt, Declined>`"
)]
pub trait Command: Serialize + DeserializeOwned + Send + 'static {
    /// The command's name, answered by the domain before the dot.
    const SUBJECT: Subject;

    /// The reply, or the domain's "no": `Result<Reply, Rejection>`.
    ///
    /// [`Infallible`](super::Infallible) is the rejection of a command that
    /// cannot be refused.
    type Outcome: Outcome;

    /// Whether it only reads: done twice or not at all, it leaves everything as it was.
    ///
    /// Only replies of such a command are kept in a [cache](crate::policy::Cache).
    const READ_ONLY: bool = false;

    /// Returns the key of the entity it is about, or nothing.
    ///
    /// Commands of one key go to the same instance of an actor, in order.
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
}

/// What a command ends with; implemented by `Result<Reply, Rejection>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command's outcome",
    note = "write `type Outcome = Result<Reply, Rejection>`; the rejection of a command that cannot be refused is `callboard::Infallible`"
)]
pub trait Outcome: sealed::Sealed + Send + 'static {
    /// What the caller gets when all went well.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// What the caller gets when the domain says no.
    type Rejection: Rejection;
}

impl<T, R> Outcome for Result<T, R>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    R: Rejection,
{
    type Reply = T;
    type Rejection = R;
}

/// The reply of a command.
pub type Reply<C> = <<C as Command>::Outcome as Outcome>::Reply;

/// The rejection of a command.
pub type Refused<C> = <<C as Command>::Outcome as Outcome>::Rejection;

mod sealed {
    #[expect(unnameable_types, reason = "this is how a trait is sealed")]
    pub trait Sealed {}
    impl<T, R> Sealed for Result<T, R> {}
}
