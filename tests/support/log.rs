//! What happened, in order, for tests that look at it from outside.

use super::way::until;
use std::sync::{Arc, Mutex, PoisonError};

/// A list of lines that any number of actors write; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line.into());
    }

    /// Returns all lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets all lines.
    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|known| *known == line).count()
    }

    /// Waits until there are this many lines, and returns them.
    pub(crate) async fn of(&self, count: usize) -> Vec<String> {
        until(&format!("{count} lines in the log"), async || {
            self.lines().len() >= count
        })
        .await;
        self.lines()
    }
}
