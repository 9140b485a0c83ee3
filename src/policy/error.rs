use crate::version::VersionError;

/// What is wrong with a table of policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoliciesError {
    /// A file is neither TOML nor JSON by its name.
    #[error("`{path}` is neither `.toml` nor `.json`; policies are read from those")]
    Kind {
        /// The file.
        path: String,
    },
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file is no table of policies.
    #[error("`{path}`: {error}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// The text cannot be read as a table.
    #[error(
        "this is no table of policies: {reason}; its parts are `default`, `domains.payments` and `commands.\"payments.charge\"`, a command in quotes"
    )]
    Format {
        /// What, and where.
        reason: String,
    },
    /// A domain's name cannot be one.
    #[error("`domains.{name}` names no domain; use `a-z 0-9 - _`, such as `domains.payments`")]
    Domain {
        /// The name.
        name: String,
    },
    /// A command's name cannot be one.
    #[error(
        "`commands.\"{name}\"` names no command; write the domain and the command, such as `commands.\"payments.charge\"`"
    )]
    Command {
        /// The name.
        name: String,
    },
    /// A value is out of range.
    #[error("`{place}`: {reason}")]
    Value {
        /// Where it stands.
        place: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Its version does not follow the one that is there.
    #[error(transparent)]
    Version(#[from] VersionError),
}
