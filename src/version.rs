//! Versions of the tables that all nodes go by.

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
}

/// Returns the version of a table that takes the place of the one that it was made
/// from; one made from 0 takes the place of whatever is there.
pub(crate) fn next(made_from: u64, known: u64) -> Result<u64, VersionError> {
    if made_from != 0 && made_from < known {
        return Err(VersionError::Older { version: made_from, known });
    }
    let version = made_from.max(known).saturating_add(1);
    check(version).map(|()| version)
}

/// Checks that a version has one after it.
pub(crate) const fn check(version: u64) -> Result<(), VersionError> {
    match version {
        u64::MAX => Err(VersionError::Last { version }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{VersionError, next};

    #[test]
    fn the_next_version_is_above_both_and_an_older_table_is_refused() {
        assert_eq!(next(0, 0), Ok(1));
        assert_eq!(next(0, 4), Ok(5));
        assert_eq!(next(4, 4), Ok(5));
        assert_eq!(next(7, 4), Ok(8));
        assert_eq!(
            next(3, 4),
            Err(VersionError::Older { version: 3, known: 4 })
        );
        let last = VersionError::Last { version: u64::MAX };
        assert_eq!(next(u64::MAX - 1, 0), Err(last));
    }
}
