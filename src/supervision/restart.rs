/// Whether a child that ended by itself is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Starts it again, however it ended.
    #[default]
    Permanent,
    /// Starts it again only if it failed. One that finished is done, and stays
    /// away also when the restart of a sibling would reach it.
    Transient,
    /// Never starts it again, also not when a sibling takes it down.
    Temporary,
}

impl Restart {
    /// Returns whether such a child comes back after this end.
    pub(super) const fn follows(self, exit: Exit) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => matches!(exit, Exit::Failed),
            Self::Temporary => false,
        }
    }
}

/// How a child ended.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the groups that say it come next")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It finished, and meant to.
    Normal,
    /// It crashed, or it could not be started.
    Failed,
}
