use crate::version::VersionError;

/// What is wrong with a routing table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// A route goes nowhere.
    #[error("`{to}` is neither a domain nor a command; use `orders` or `orders.place`")]
    To {
        /// What was given.
        to: String,
    },
    /// Two routes are for the same.
    #[error("`{to}` has two routes; make them one, with rules")]
    Twice {
        /// The command or domain.
        to: String,
    },
    /// A range of versions cannot be read.
    #[error("`{range}` in the route of `{to}` is no range of versions; use `^1.2`, or `>=2, <3`")]
    Range {
        /// The command or domain.
        to: String,
        /// What was given.
        range: String,
    },
    /// A rule says what something must be, and not what.
    #[error("a rule of `{to}` has `equals` alone; say which `header` or `field`, or leave it out")]
    Equals {
        /// The command or domain.
        to: String,
    },
    /// A rule gives nobody anything.
    #[error("a rule of `{to}` has no weight above 0; give one, or take the rule out")]
    Weightless {
        /// The command or domain.
        to: String,
    },
    /// A rule names a header that there cannot be.
    #[error("`{}` in the route of `{to}` cannot name a header; use printable ASCII without a colon", header.escape_debug())]
    Header {
        /// The command or domain.
        to: String,
        /// What was given.
        header: String,
    },
    /// A rule comes after one that fits all.
    #[error("a rule of `{to}` fits all, and another comes after it; put it last")]
    Unreached {
        /// The command or domain.
        to: String,
    },
    /// What is said of ejection makes no sense.
    #[error("`eject.{field}` of `{to}` makes no sense; {cure}")]
    Eject {
        /// The command or domain.
        to: String,
        /// What is wrong.
        field: &'static str,
        /// What would be right.
        cure: &'static str,
    },
    /// Its version does not follow the one that is there.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The table says nothing of routes, not even that there are none.
    #[error("it has no `route`; write `route = []` if no command is to have one")]
    Empty,
    /// The text is no table.
    #[error("{reason}")]
    Format {
        /// What is wrong, and where.
        reason: String,
    },
    /// The file cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// What stands in the file is wrong.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        error: Box<Self>,
    },
}
