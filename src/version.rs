//! Versions of the tables that all nodes go by.

/// How far a version that others tell may be ahead of the one that is known: nobody sets so
/// many tables while a node does not hear of them.
const FURTHEST: u64 = 1_000_000;

/// The last version: no table gets there by being set.
const LAST: u64 = i64::MAX.cast_unsigned();

/// Why a table cannot take the place of the one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The version is the last one that there could ever be.
    #[error("version {version} leaves no room for another; use a smaller one, or 0 for the next")]
    Last {
        /// The version of the table.
        version: u64,
    },
    /// Another table has come since the one that this was made from.
    #[error(
        "the table was made from version {version}, and {known} is there by now; change that one, \
         or leave `version` out to replace whatever is there"
    )]
    Older {
        /// The version that the table was made from.
        version: u64,
        /// The version that is there.
        known: u64,
    },
    /// The version that the table says it was made from has never been set.
    #[error(
        "the table says that it was made from version {version}, and {known} is the newest there \
         is; leave `version` out to replace whatever is there"
    )]
    Never {
        /// The version that the table says it was made from.
        version: u64,
        /// The version that is there.
        known: u64,
    },
    /// A node cannot start with a version that no table has come to by being set.
    #[error(
        "a node starts with a table of version {FURTHEST} at most, and this one has {version}; \
         leave `version` out"
    )]
    Start {
        /// The version of the table.
        version: u64,
    },
}

/// Returns the version of a table that takes the place of the one that it was made
/// from, or of whatever is there.
pub(crate) fn next(made_from: Option<u64>, known: u64) -> Result<u64, VersionError> {
    match made_from {
        Some(version) if version < known => return Err(VersionError::Older { version, known }),
        Some(version) if version > known => return Err(VersionError::Never { version, known }),
        _ => {}
    }
    let version = known.saturating_add(1);
    check(version).map(|()| version)
}

/// Returns what a table was made from by the version that stands in it: 0 says nothing.
pub(crate) const fn made_from(version: u64) -> Option<u64> {
    match version {
        0 => None,
        version => Some(version),
    }
}

/// Checks that a version has one after it.
pub(crate) const fn check(version: u64) -> Result<(), VersionError> {
    if version >= LAST {
        return Err(VersionError::Last { version });
    }
    Ok(())
}

/// Checks that a node may start with a version.
pub(crate) const fn check_start(version: u64) -> Result<(), VersionError> {
    if version > FURTHEST {
        return Err(VersionError::Start { version });
    }
    Ok(())
}

/// Whether a table of a version that others tell may be one that somebody set.
pub(crate) const fn is_plausible(version: u64, known: u64) -> bool {
    version <= known.saturating_add(FURTHEST)
}

#[cfg(test)]
mod tests {
    use super::{FURTHEST, LAST, VersionError, check_start, is_plausible, made_from, next};

    #[test]
    fn the_next_version_is_above_the_one_that_the_table_was_made_from() {
        let next = |version, known| next(made_from(version), known);
        assert_eq!(next(0, 0), Ok(1));
        assert_eq!(next(0, 4), Ok(5));
        assert_eq!(next(4, 4), Ok(5));
        let older = VersionError::Older { version: 3, known: 4 };
        assert_eq!(next(3, 4), Err(older));
        for version in [7, u64::MAX - 2, u64::MAX] {
            let never = VersionError::Never { version, known: 4 };
            assert_eq!(next(version, 4), Err(never));
        }
        let last = VersionError::Last { version: LAST };
        assert_eq!(next(0, LAST - 1), Err(last));
    }

    #[test]
    fn a_version_far_ahead_is_no_version_that_was_set() {
        assert!(is_plausible(FURTHEST, 0) && !is_plausible(FURTHEST + 1, 0));
        assert!(is_plausible(2 * FURTHEST, FURTHEST) && !is_plausible(u64::MAX, FURTHEST));
        assert!(check_start(FURTHEST).is_ok() && check_start(FURTHEST + 1).is_err());
    }
}
