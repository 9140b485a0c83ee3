use crate::bus::Message;
use dashmap::DashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

const PREFIX: &str = "_INBOX.embedded.";

/// The requests that wait for their reply, each by a subject of its own.
#[derive(Debug, Default)]
pub(super) struct Inboxes {
    count: AtomicU64,
    waiting: DashMap<u64, oneshot::Sender<Message>>,
}

impl Inboxes {
    /// Opens an inbox; it closes when it is dropped.
    pub(super) fn open(&self) -> Inbox<'_> {
        let id = self.count.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        self.waiting.insert(id, sender);
        Inbox { inboxes: self, id, reply }
    }

    /// Hands a reply to the request that waits for it, if it still does.
    pub(super) fn offer(&self, message: &Message) {
        let Some(id) = message.subject.strip_prefix(PREFIX) else {
            return;
        };
        let Some(waiting) = id.parse().ok().and_then(|id| self.waiting.remove(&id)) else {
            return;
        };
        // The request may have been given up in this moment.
        drop(waiting.1.send(message.clone()));
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Where one request waits for its reply.
#[derive(Debug)]
pub(super) struct Inbox<'a> {
    inboxes: &'a Inboxes,
    id: u64,
    reply: oneshot::Receiver<Message>,
}

impl Inbox<'_> {
    pub(super) fn subject(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }

    /// Waits for the reply; only a deadline around it ends the wait without one.
    pub(super) async fn reply(&mut self) -> Option<Message> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Inbox<'_> {
    fn drop(&mut self) {
        self.inboxes.waiting.remove(&self.id);
    }
}
