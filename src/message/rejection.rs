use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A domain's "no": an answer that the caller can act on, carried over the wire.
///
/// A rejection is never retried and never counts as a failure. It is written as
/// any error is, best with `thiserror`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a rejection",
    note = "write `impl callboard::Rejection for {Self} {{}}`; it must be an error that serde can carry"
)]
pub trait Rejection:
    std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

/// The rejection of a command that cannot be refused; it has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Infallible {}

impl Rejection for Infallible {}
