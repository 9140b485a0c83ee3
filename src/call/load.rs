use crate::policy::{Limited, Standing};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// After how long one that was turned away may come again: by then what was in
/// hand is done, or the node is in deeper trouble than a moment's rush.
pub(crate) const COME_AGAIN: Duration = Duration::from_millis(500);

/// How many commands from the bus a node has in hand; shared by all its groups.
///
/// It bounds what comes from outside. What actors ask of others in the same process
/// is a part of what is in hand, and is let through to get that done; what is
/// asked of the node itself is not counted.
#[derive(Clone, Debug)]
pub(crate) struct Load(Arc<Count>);

#[derive(Debug)]
struct Count {
    now: AtomicUsize,
    limit: usize,
    refused: AtomicU64,
}

/// A command's place among those in hand, until the last clone is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Count>);

impl Load {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Count {
            now: AtomicUsize::new(0),
            limit,
            refused: AtomicU64::new(0),
        }))
    }

    /// Takes a place; without one it returns how many there are.
    pub(crate) fn enter(&self) -> Result<Place, usize> {
        let place = Place::of(&self.0);
        let taken = self.0.now.load(Relaxed);
        // Both of two that come at once may find it full; it is never overfull.
        if taken > self.0.limit {
            self.0.refused.fetch_add(1, Relaxed);
            Err(self.0.limit)
        } else {
            Ok(place)
        }
    }

    /// Returns how it stands.
    pub(crate) fn standing(&self) -> Standing {
        // One that is about to be turned away has its place for a moment.
        let now = self.0.now.load(Relaxed).min(self.0.limit);
        Standing::new(Limited::InHand, (now as u64, self.0.limit as u64))
            .refused(self.0.refused.load(Relaxed))
    }
}

impl Place {
    fn of(count: &Arc<Count>) -> Self {
        count.now.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Load;

    #[test]
    fn there_are_so_many_places_and_each_is_free_again_when_it_is_left() {
        let load = Load::new(2);
        let (one, two) = (load.enter(), load.enter());
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(load.enter().map(drop), Err(2));
        drop(one);
        let three = load.enter();
        assert_eq!(load.enter().map(drop), Err(2));
        let standing = load.standing();
        assert_eq!((standing.now, standing.limit, standing.refused), (2, 2, 2));
        drop((two, three));
        assert!(load.enter().is_ok());
        assert_eq!(load.standing().now, 0);
    }
}
