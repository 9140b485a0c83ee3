//! Who waits here for the end of a saga.

use super::{desk::Desk, errand::Start, page::Move};
use crate::message::Key;
use std::{cell::RefCell, collections::HashMap, time::Duration};
use tokio::{sync::watch, time::sleep};

/// How long one who waits waits before it looks at the journal, at first and at most.
const GLANCES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

type Ends = watch::Sender<Option<End>>;

/// How a saga ended, or that it is parked.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) last: Move,
    /// The id of the message that began it, if who tells knows that.
    pub(super) cause: Option<String>,
}

/// The sagas whose end is awaited here.
#[derive(Default)]
pub(super) struct Awaited(RefCell<HashMap<Key, Ends>>);

/// One who waits for the end of a saga; made before it is started, so that no end
/// is missed.
pub(super) struct Awaiting<'a> {
    desk: &'a Desk,
    id: &'a Key,
    end: watch::Receiver<Option<End>>,
}

impl Awaited {
    /// Tells those who wait for a saga how it ended.
    pub(super) fn tell(&self, id: &Key, end: End) {
        if let Some(ends) = self.0.borrow().get(id) {
            ends.send_replace(Some(end));
        }
    }

    /// Whether somebody waits here for a saga.
    pub(super) fn has(&self, id: &Key) -> bool {
        self.0.borrow().contains_key(id)
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
    /// One that ends here tells; of others the journal is looked at now and then, of one
    /// that was started before at once.
    pub(super) async fn outcome(mut self, start: Start) -> End {
        let (mut wait, most) = GLANCES;
        if start == Start::Again
            && let Some(end) = self.look().await
        {
            return end;
        }
        loop {
            tokio::select! {
                biased;
                Ok(end) = self.end.wait_for(Option::is_some) => {
                    if let Some(end) = end.clone() {
                        return end;
                    }
                }
                () = sleep(wait) => wait = (wait * 2).min(most),
            }
            if self.desk.visits(self.id) {
                continue;
            }
            if let Some(end) = self.look().await {
                return end;
            }
        }
    }

    /// Looks at the journal.
    async fn look(&self) -> Option<End> {
        self.desk.end_of(self.id).await
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
