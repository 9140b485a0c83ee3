use std::process::ExitCode;

/// How the command ended, as the shell sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// 0: it did what was asked.
    Done,
    /// 1: something failed, here or at the other end.
    Failed,
    /// 2: the arguments or the JSON make no sense.
    Usage,
    /// 3: the domain says no.
    Rejected,
    /// 4: nobody answers, or not now; another attempt may succeed.
    Unavailable,
    /// 5: no answer in time; what was asked may have been done.
    Timeout,
}

impl Exit {
    /// Returns the number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::Unavailable => 4,
            Self::Timeout => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
