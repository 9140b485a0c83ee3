//! What a subscription holds that was not taken yet: bounded in messages and in bytes.

use super::{Message, names::size};
use crate::telemetry;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many messages a subscription holds that were not taken yet.
pub(super) const MESSAGES: usize = 65_536;
/// How many bytes a subscription holds that were not taken yet.
const BYTES: usize = 64 * 1024 * 1024;

/// Makes a mailbox for so many messages, and for 64 MiB.
pub(super) fn mailbox(messages: usize) -> (Mailbox, Mail) {
    let (sender, receiver) = channel(messages);
    let held = Arc::new(Held::default());
    let mail = Mail { receiver, held: Arc::clone(&held) };
    (Mailbox { sender, held }, mail)
}

/// The end of a mailbox that messages are put into.
#[derive(Debug)]
pub(super) struct Mailbox {
    sender: Sender<Message>,
    held: Arc<Held>,
}

/// The end of a mailbox that a subscription takes from.
#[derive(Debug)]
pub(super) struct Mail {
    receiver: Receiver<Message>,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: AtomicUsize,
    /// How many messages were dropped since there was room last.
    dropped: AtomicU64,
}

impl Mailbox {
    pub(super) fn has_room(&self) -> bool {
        self.sender.capacity() > 0 && self.held.bytes.load(Relaxed) < BYTES
    }

    /// Puts a message in; without room for it, it is dropped, counted and told.
    pub(super) fn push(&self, message: Message) {
        if self.sender.is_closed() {
            return;
        }
        let bytes = weight(&message);
        let held = self.held.bytes.fetch_add(bytes, Relaxed);
        if held + bytes > BYTES {
            return self.drop_one(&message.subject, bytes);
        }
        if let Err(refused) = self.sender.try_send(message) {
            self.drop_one(&refused.into_inner().subject, bytes);
        }
    }

    fn drop_one(&self, subject: &str, bytes: usize) {
        self.held.bytes.fetch_sub(bytes, Relaxed);
        metrics::counter!(telemetry::DROPPED_TOTAL).increment(1);
        // Told once until there is room again: whoever floods sends many.
        if self.held.dropped.fetch_add(1, Relaxed) == 0 {
            tracing::warn!(
                subject,
                "a subscription is full: it holds {MESSAGES} messages or 64 MiB that nobody took; \
                 what comes on top is dropped"
            );
        }
    }
}

impl Mail {
    /// Waits for the next message; nothing once the mailbox is closed and empty.
    pub(super) async fn take(&mut self) -> Option<Message> {
        let message = self.receiver.recv().await?;
        let bytes = weight(&message);
        let left = self.held.bytes.fetch_sub(bytes, Relaxed) - bytes;
        if self.held.dropped.load(Relaxed) > 0 && self.has_room_again(left) {
            let dropped = self.held.dropped.swap(0, Relaxed);
            tracing::warn!(
                dropped,
                "a subscription that was full has room again; the dropped messages are lost"
            );
        }
        Some(message)
    }

    /// Lets nothing more in.
    pub(super) fn close(&mut self) {
        self.receiver.close();
    }

    /// Whether half of it is free, so that it is not told of each message that comes and goes.
    fn has_room_again(&self, bytes: usize) -> bool {
        bytes <= BYTES / 2 && self.receiver.len() <= self.receiver.max_capacity() / 2
    }
}

/// Returns what a message counts towards a mailbox's bytes.
fn weight(message: &Message) -> usize {
    message.subject.len() + size(&message.headers, &message.payload)
}
