use std::cell::Cell;
use tokio::sync::{Notify, watch};

/// Tells a follower which streams to look at, and others what it has looked at.
pub(super) struct Wake {
    bells: Vec<Bell>,
    asked: Cell<u64>,
    looked: watch::Sender<u64>,
    rung: Notify,
    wanted: Notify,
}

/// Word of one stream's news.
#[derive(Debug)]
struct Bell {
    due: Cell<bool>,
    heard: Cell<u64>,
    found: Cell<u64>,
}

impl Wake {
    /// Makes one bell per stream; all streams are to be looked at.
    pub(super) fn new(streams: usize) -> Self {
        let bell = || Bell { due: Cell::new(true), heard: Cell::default(), found: Cell::default() };
        Self {
            bells: (0..streams).map(|_| bell()).collect(),
            asked: Cell::new(0),
            looked: watch::Sender::new(0),
            rung: Notify::new(),
            wanted: Notify::new(),
        }
    }

    /// Says that a message went to a stream.
    pub(super) fn ring(&self, stream: usize) {
        let bell = &self.bells[stream];
        bell.heard.set(bell.heard.get() + 1);
        bell.due.set(true);
        self.rung.notify_one();
    }

    /// Asks for a look at all streams, and returns its number.
    pub(super) fn ask(&self) -> u64 {
        self.asked.set(self.asked.get() + 1);
        self.look_again();
        self.rung.notify_one();
        self.wanted.notify_one();
        self.asked.get()
    }

    /// Waits until the look of this number is done, or there will be none.
    pub(super) async fn wait(&self, number: u64) {
        let mut looked = self.looked.subscribe();
        // It cannot close: the sender is here.
        looked.wait_for(|done| *done >= number).await.ok();
    }

    /// Returns the number of the last look that was asked for.
    pub(super) const fn asked(&self) -> u64 {
        self.asked.get()
    }

    /// Says that all streams were looked at since this number was asked for.
    pub(super) fn looked(&self, number: u64) {
        self.looked.send_replace(number);
    }

    /// Says that there will be no further look.
    pub(super) fn end(&self) {
        self.looked.send_replace(u64::MAX);
    }

    /// Waits until somebody rings or asks.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Waits until somebody asks, or has asked since this was awaited last.
    pub(super) async fn asked_again(&self) {
        self.wanted.notified().await;
    }

    /// Takes whether a stream is to be looked at.
    pub(super) fn take_due(&self, stream: usize) -> bool {
        self.bells[stream].due.take()
    }

    pub(super) fn set_due(&self, stream: usize) {
        self.bells[stream].due.set(true);
    }

    /// Marks all streams to be looked at.
    pub(super) fn look_again(&self) {
        for bell in &self.bells {
            bell.due.set(true);
        }
    }

    /// Notes how many messages of a stream were found.
    pub(super) fn found(&self, stream: usize, messages: u64) {
        let bell = &self.bells[stream];
        bell.found.set(bell.found.get() + messages);
    }

    /// Marks the streams of which more was heard than found; returns whether
    /// there are any.
    pub(super) fn expects_more(&self) -> bool {
        let mut any = false;
        for bell in &self.bells {
            if bell.heard.get() > bell.found.get() {
                bell.due.set(true);
                any = true;
            }
        }
        any
    }

    /// Begins to compare what is heard with what is found: what was found of the
    /// past was never heard of, and of what was heard one may not be found yet.
    pub(super) fn begin(&self) {
        for bell in &self.bells {
            bell.found.set(bell.heard.get().saturating_sub(1));
        }
    }

    /// Expects nothing more of what was heard so far.
    pub(super) fn settle(&self) {
        for bell in &self.bells {
            bell.found.set(bell.heard.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wake;

    #[test]
    fn what_was_heard_and_not_found_is_expected_until_it_is_settled() {
        let wake = Wake::new(2);
        assert!(wake.take_due(0) && wake.take_due(1) && !wake.take_due(0));
        wake.ring(1);
        wake.ring(1);
        assert!(!wake.take_due(0) && wake.take_due(1));
        wake.found(1, 1);
        assert!(wake.expects_more() && wake.take_due(1));
        wake.settle();
        assert!(!wake.expects_more() && !wake.take_due(1));
    }

    #[test]
    fn what_was_found_of_the_past_hides_nothing_that_was_heard() {
        let wake = Wake::new(2);
        wake.found(0, 1_000);
        wake.ring(0);
        wake.begin();
        assert!(wake.expects_more());
        wake.found(0, 1);
        assert!(!wake.expects_more());
        wake.ring(0);
        assert!(wake.expects_more());
    }

    #[tokio::test]
    async fn a_look_is_awaited_by_its_number() {
        let wake = Wake::new(1);
        assert!(wake.take_due(0));
        let number = wake.ask();
        assert!(wake.take_due(0));
        wake.looked(wake.asked());
        wake.wait(number).await;
        let never = wake.ask();
        wake.end();
        wake.wait(never).await;
    }
}
