/// Whether a child that ended by itself is started again, as OTP has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Starts it again, however it ended.
    #[default]
    Permanent,
    /// Starts it again only if it failed. One that finished comes back only when
    /// the restart of a sibling reaches it.
    Transient,
    /// Never starts it again, also not when a sibling takes it down.
    Temporary,
}

impl Restart {
    /// Returns whether such a child comes back after this end.
    pub(crate) const fn follows(self, exit: Exit) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => matches!(exit, Exit::Failed),
            Self::Temporary => false,
        }
    }
}

/// Writes OTP's name for it.
impl std::fmt::Display for Restart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        })
    }
}

/// How a child ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It finished, and meant to.
    Normal,
    /// It crashed, or it could not be started.
    Failed,
}
