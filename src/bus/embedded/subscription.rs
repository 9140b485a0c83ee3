use super::Broker;
use crate::bus::{Message, mailbox::Mail};
use std::fmt;

/// A live subscription; dropping it ends it.
pub(in crate::bus) struct Subscription {
    pub(super) broker: Broker,
    pub(super) filter: Box<str>,
    pub(super) id: u64,
    pub(super) messages: Mail,
}

impl Subscription {
    pub(in crate::bus) async fn next(&mut self) -> Option<Message> {
        self.messages.take().await
    }

    pub(in crate::bus) fn drain(&mut self) {
        self.broker.unsubscribe(&self.filter, self.id);
        self.messages.close();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.broker.unsubscribe(&self.filter, self.id);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.filter)
    }
}
