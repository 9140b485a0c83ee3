use crate::{call::PublishError, node::NodeError};

/// Why a replay did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The group does not start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// An event that was given cannot be published.
    #[error("a given event could not be published: {0}")]
    Given(#[from] PublishError),
    /// It never became quiet.
    #[error("after {waited} of virtual time it is still busy: {left}")]
    Restless {
        /// How long was waited.
        waited: humantime::FormattedDuration,
        /// What was still going on.
        left: String,
    },
    /// The replay's own thread ended early.
    #[error("the replay's thread ended early")]
    Thread,
}
