use std::{fmt, ops::Range};

/// Who is restarted together with a child that ended.
///
/// ```text
/// children       a  b  c  d     c ends
/// one_for_one          c
/// rest_for_one         c  d     d was started after c, and may lean on it
/// one_for_all    a  b  c  d     none can do without the others
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Restarts the child alone.
    #[default]
    OneForOne,
    /// Restarts all children of the group.
    OneForAll,
    /// Restarts the child and those that were started after it.
    RestForOne,
}

impl Strategy {
    /// Returns the positions that a restart reaches.
    pub(super) const fn restarts(self, failed: usize, children: usize) -> Range<usize> {
        match self {
            Self::OneForOne => failed..failed + 1,
            Self::OneForAll => 0..children,
            Self::RestForOne => failed..children,
        }
    }
}

/// Writes OTP's name for it.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Strategy;

    #[test]
    fn a_restart_reaches_the_child_the_rest_or_all() {
        assert_eq!(Strategy::default().restarts(1, 4), 1..2);
        assert_eq!(Strategy::RestForOne.restarts(1, 4), 1..4);
        assert_eq!(Strategy::OneForAll.restarts(1, 4), 0..4);
    }
}
