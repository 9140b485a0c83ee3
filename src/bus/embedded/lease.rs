use super::{kept::Kept, store::Keeper};
use std::{fmt, ops::Deref, sync::Arc};

/// A stream in use: while somebody has one, its store stays open.
#[derive(Clone)]
pub(super) struct Lease {
    kept: Arc<Kept>,
    // Dropped last: it waits until all is written.
    _keeper: Option<Arc<Keeper>>,
}

impl Lease {
    pub(super) const fn new(kept: Arc<Kept>, keeper: Option<Arc<Keeper>>) -> Self {
        Self { kept, _keeper: keeper }
    }
}

impl Deref for Lease {
    type Target = Kept;

    fn deref(&self) -> &Kept {
        &self.kept
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.fmt(f)
    }
}
