//! Who waits here for the end of a saga.

use super::{desk::Desk, page::Move};
use crate::message::Key;
use std::{cell::RefCell, collections::HashMap, time::Duration};
use tokio::{sync::watch, time::sleep};

/// How long one who waits waits before it looks at the journal, at first and at most.
const GLANCES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

type Ends = watch::Sender<Option<Move>>;

/// The sagas whose end is awaited here.
#[derive(Default)]
pub(super) struct Awaited(RefCell<HashMap<Key, Ends>>);

/// One who waits for the end of a saga; made before it is started, so that no end
/// is missed.
pub(super) struct Awaiting<'a> {
    desk: &'a Desk,
    id: &'a Key,
    end: watch::Receiver<Option<Move>>,
}

impl Awaited {
    /// Tells those who wait for a saga how it ended.
    pub(super) fn tell(&self, id: &Key, last: Move) {
        if let Some(end) = self.0.borrow().get(id) {
            end.send_replace(Some(last));
        }
    }
}

impl<'a> Awaiting<'a> {
    pub(super) fn new(desk: &'a Desk, id: &'a Key) -> Self {
        let mut awaited = desk.awaited.0.borrow_mut();
        let end = awaited.entry(id.clone()).or_default().subscribe();
        drop(awaited);
        Self { desk, id, end }
    }

    /// Waits until the saga ended or is parked; gives the last transition then.
    ///
    /// One that ends here tells; of others the journal is looked at now and then.
    pub(super) async fn outcome(mut self) -> Move {
        let (mut wait, most) = GLANCES;
        loop {
            tokio::select! {
                biased;
                Ok(end) = self.end.wait_for(Option::is_some) => {
                    if let Some(last) = end.clone() {
                        return last;
                    }
                }
                () = sleep(wait) => wait = (wait * 2).min(most),
            }
            if self.desk.visits(self.id) {
                continue;
            }
            let last = self.desk.journals.last(self.id).await.ok().flatten();
            let last = last.and_then(|page| page.moves.into_iter().last());
            if let Some(last @ (Move::Ended(_) | Move::Parked { .. })) = last {
                return last;
            }
        }
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        let mut awaited = self.desk.awaited.0.borrow_mut();
        // This one still counts.
        if awaited
            .get(self.id)
            .is_some_and(|end| end.receiver_count() <= 1)
        {
            awaited.remove(self.id);
        }
    }
}
