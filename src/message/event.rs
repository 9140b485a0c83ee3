use super::{
    Subject,
    codec::{self, DecodeError},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Cow, cmp::Ordering};

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

    /// Reads an event that was written with an older version of the schema.
    ///
    /// Every reader of events comes through here: entities, reactions and
    /// projections see the current type only. Events are never rewritten, so an
    /// older version has to stay readable for as long as its events are kept.
    ///
    /// A version newer than [`VERSION`](Self::VERSION) does not come here: an
    /// entity refuses its commands, a projection waits at the event, and a
    /// reaction parks the key, until the program is updated. Deploy what reads a
    /// new version before what writes it.
    ///
    /// # Errors
    ///
    /// Returns [`EventError`] if the version is not known or its payload does
    /// not decode. As provided, no older version is known.
    ///
    /// # Examples
    ///
    /// ```
    /// use callboard::{Event, Subject, message::{EventError, Older}};
    /// use serde::{Deserialize, Serialize};
    /// use std::borrow::Cow;
    ///
    /// /// `orders.placed`, version 1: the total was in whole coins.
    /// #[derive(Deserialize)]
    /// struct PlacedV1 {
    ///     order: String,
    ///     coins: u64,
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Placed {
    ///     order: String,
    ///     cents: u64,
    /// }
    ///
    /// impl Event for Placed {
    ///     const SUBJECT: Subject = Subject::new("orders.placed");
    ///     const VERSION: u32 = 2;
    ///
    ///     fn key(&self) -> Cow<'_, str> {
    ///         Cow::Borrowed(&self.order)
    ///     }
    ///
    ///     fn upcast(older: Older<'_>) -> Result<Self, EventError> {
    ///         match older.version() {
    ///             1 => {
    ///                 let PlacedV1 { order, coins } = older.read()?;
    ///                 Ok(Self { order, cents: coins * 100 })
    ///             }
    ///             _ => Err(older.unknown()),
    ///         }
    ///     }
    /// }
    /// ```
    fn upcast(older: Older<'_>) -> Result<Self, EventError> {
        Err(older.unknown())
    }
}

/// The payload of an event in an older version of its schema.
#[derive(Clone, Copy, Debug)]
pub struct Older<'a> {
    version: u32,
    known: u32,
    payload: &'a [u8],
}

impl Older<'_> {
    /// Returns the version that it was written in.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Decodes the payload as the type of that version.
    ///
    /// # Errors
    ///
    /// Returns [`EventError`] if it does not decode.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        Ok(codec::decode(self.payload)?)
    }

    /// Says that this version is not known.
    pub const fn unknown(&self) -> EventError {
        EventError::Older { found: self.version, known: self.known }
    }
}

/// Decodes an event that was written in any version.
///
/// # Errors
///
/// Returns [`EventError`] if the payload does not decode, or the version is one
/// that the type does not know.
pub(crate) fn read_event<E: Event>(version: u32, payload: &[u8]) -> Result<E, EventError> {
    let known = E::VERSION;
    match version.cmp(&known) {
        Ordering::Equal => Ok(codec::decode(payload)?),
        Ordering::Less => E::upcast(Older { version, known, payload }),
        Ordering::Greater => Err(EventError::Newer { found: version, known }),
    }
}

/// Why an event cannot be read as its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The payload does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It was written by a newer program.
    #[error("is of version {found}, and this program knows versions up to {known}; update it")]
    Newer {
        /// The event's version.
        found: u32,
        /// The version that the type has here.
        known: u32,
    },
    /// It was written by an older program, and nobody says how to read that.
    #[error("is of version {found}, and `upcast` of its type (version {known}) does not know that")]
    Older {
        /// The event's version.
        found: u32,
        /// The version that the type has here.
        known: u32,
    },
}
