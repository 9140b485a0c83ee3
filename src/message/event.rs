use super::Subject;
use serde::{Serialize, de::DeserializeOwned};
use std::borrow::Cow;

/// A fact that already happened; any number of actors may hear it.
///
/// # Examples
///
/// ```
/// use callboard::{Event, Subject};
/// use serde::{Deserialize, Serialize};
/// use std::borrow::Cow;
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct OrderPlaced {
///     order: String,
///     total: u64,
/// }
///
/// impl Event for OrderPlaced {
///     const SUBJECT: Subject = Subject::new("orders.placed");
///
///     fn key(&self) -> Cow<'_, str> {
///         Cow::Borrowed(&self.order)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "implement `callboard::Event` for it: a `SUBJECT` such as `orders.placed`, and the `key` of the entity it happened to"
)]
pub trait Event: Serialize + DeserializeOwned + Send + 'static {
    /// The event's type, owned by the domain before the dot.
    const SUBJECT: Subject;

    /// The version of the payload's schema.
    const VERSION: u32 = 1;

    /// Returns the key of the entity that it happened to.
    ///
    /// Events of one key are stored and heard in order.
    fn key(&self) -> Cow<'_, str>;
}
