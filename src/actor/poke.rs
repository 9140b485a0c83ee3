use super::Inbox;
use crate::call::{Parcel, Work};
use std::sync::Arc;

/// Lets tasks of a state have a handler of its actor run.
#[derive(Clone, Debug)]
pub(crate) struct Poke {
    pub(super) inbox: Inbox,
}

impl Poke {
    /// The handler's place in the actor's table: it is listed first.
    pub(super) const ROUTE: usize = 0;

    /// Has the handler run after the messages at hand.
    pub(crate) fn poke(&self) {
        let work = Work::Tick(Arc::new(()));
        let parcel = Parcel { route: Self::ROUTE, work, deadline: None };
        // An actor that has stopped needs no word of its tasks.
        self.inbox.push(parcel).ok();
    }

    /// Runs a task, and has the handler run when it ends, also by a panic.
    pub(crate) async fn at_end_of(self, task: impl Future<Output = ()>) {
        struct End(Poke);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.poke();
            }
        }
        let _end = End(self);
        task.await;
    }
}
