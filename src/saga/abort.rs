use crate::message::{Rejection, codec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a saga goes no further: what it has done is undone.
///
/// A domain's "no" turns into one with `?`, and can be read back typed.
///
/// # Examples
///
/// ```
/// use callboard::{Abort, Rejection};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
/// #[error("only {left} left")]
/// struct OutOfStock {
///     left: u32,
/// }
/// impl Rejection for OutOfStock {}
///
/// let abort = Abort::from(OutOfStock { left: 2 });
/// assert_eq!(abort.to_string(), "only 2 left");
/// assert_eq!(abort.rejection(), Some(OutOfStock { left: 2 }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    reason: String,
    rejection: Option<(String, Bytes)>,
}

impl Abort {
    /// Gives up for a reason in words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), rejection: None }
    }

    /// Returns the reason in words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the rejection it came from, if it came from one of this type.
    pub fn rejection<R: Rejection>(&self) -> Option<R> {
        let (kind, payload) = self.rejection.as_ref()?;
        (kind == name::<R>())
            .then(|| codec::decode(payload).ok())
            .flatten()
    }
}

/// Returns a type's name without the modules it is in.
fn name<R>() -> &'static str {
    let full = std::any::type_name::<R>();
    full.rsplit("::").next().unwrap_or(full)
}

impl<R: Rejection> From<R> for Abort {
    fn from(rejection: R) -> Self {
        let payload = codec::encode(&rejection).ok();
        Self {
            reason: rejection.to_string(),
            rejection: payload.map(|payload| (name::<R>().to_owned(), payload)),
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
