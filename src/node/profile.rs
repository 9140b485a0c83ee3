use super::NodeError;
use crate::bus::{Bus, Durability, Medium};
use std::fmt;

/// How many servers must have a copy so that the end of one loses nothing.
const COPIES: usize = 3;

/// What must survive of what is acknowledged.
///
/// | what ends | [`Fast`](Self::Fast) | [`Durable`](Self::Durable), [`DurableBySync`](Self::DurableBySync) |
/// |---|---|---|
/// | any node | nothing is lost | nothing is lost |
/// | a server's process | nothing is lost that its disk cache holds | nothing is lost |
/// | the power of one machine | what a server had not synced, 2 min of it by default | nothing is lost |
/// | the power of most machines at once | the same | with three copies the same; with syncs nothing is lost |
///
/// The embedded bus in memory ends with its process under every profile but
/// the durable ones, which refuse it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Whatever the bus gives; the log says what that is.
    #[default]
    Fast,
    /// What is acknowledged is on three servers, or on the disk of the embedded
    /// bus. A node that does not find it so does not start.
    Durable,
    /// As [`Durable`](Self::Durable), but one server is enough, because the
    /// operator says that it runs with `sync_interval: always`. A client of a
    /// server cannot see that: it is taken on trust, and the log says so.
    DurableBySync,
}

impl Profile {
    /// Returns what survives, in words, if it is as much as was asked for.
    pub(super) fn check(self, bus: &Bus, replicas: usize) -> Result<&'static str, NodeError> {
        let refused = |found, cure| Err(NodeError::NotDurable { found, cure });
        match (self, bus.medium()) {
            (Self::Fast, Medium::Memory) => Ok("nothing survives this process"),
            (_, Medium::Memory) => refused(
                "the embedded bus in memory",
                "open it with `Bus::embedded_at`",
            ),
            (_, Medium::Store(Durability::Always)) => {
                Ok("what is acknowledged survives a loss of power")
            }
            (Self::Fast, Medium::Store(Durability::Interval(_))) => Ok(
                "what is acknowledged survives this process; a loss of power takes what was not synced",
            ),
            (_, Medium::Store(Durability::Interval(_))) => refused(
                "an embedded bus that is synced at intervals",
                "open it with `Durability::Always`",
            ),
            (_, Medium::Server) if replicas >= COPIES => {
                Ok("what is acknowledged survives the loss of one server with its disk")
            }
            (Self::Fast, Medium::Server) => Ok(
                "what is acknowledged survives all processes; a loss of power takes what the server had not synced, 2 min by default",
            ),
            (Self::DurableBySync, Medium::Server) => Ok(
                "what is acknowledged survives a loss of power, if the server syncs always, as the operator says",
            ),
            (Self::Durable, Medium::Server) => refused(
                "streams with fewer than three copies",
                "set `replicas(3)`; or, for a server with `sync_interval: always`, say so with `Profile::DurableBySync`",
            ),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Durable => "durable",
            Self::DurableBySync => "durable-by-sync",
        })
    }
}

/// Reads the names that it displays.
impl std::str::FromStr for Profile {
    type Err = ProfileError;

    fn from_str(name: &str) -> Result<Self, ProfileError> {
        let all = [Self::Fast, Self::Durable, Self::DurableBySync];
        let mut named = all
            .into_iter()
            .filter(|profile| profile.to_string() == name);
        named
            .next()
            .ok_or_else(|| ProfileError { name: name.to_owned() })
    }
}

/// A name that no profile has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no profile; use `fast`, `durable` or `durable-by-sync`", name.escape_debug())]
pub struct ProfileError {
    /// The name.
    pub name: String,
}
