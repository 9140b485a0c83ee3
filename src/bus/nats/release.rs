//! How a handle to a consumer lets go, so that another need not wait.

use super::{
    ack::word,
    consume::Consumer,
    core::{SEND_WAIT, send_all},
    durable::GROUP,
};
use crate::bus::consumer::Ack;
use async_nats::Subject;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

impl Consumer {
    /// Lets nothing more come to this handle, and takes in what was on its way.
    pub(in crate::bus) async fn retire(&mut self) {
        // Without the server's word, what was on its way comes again after its ack wait.
        timeout(SEND_WAIT, self.pull().drain()).await.ok();
    }

    /// Gives back what was not returned, and the pin, and waits until that is sent.
    pub(in crate::bus) async fn close(mut self) {
        let giving_back = send_all(self.link().client().clone(), self.belongings());
        timeout(SEND_WAIT, giving_back).await.ok();
    }

    /// Takes what another handle would wait for, as messages that give it back.
    fn belongings(&mut self) -> Vec<(Subject, Bytes)> {
        let mut messages = again(self.pull().leftovers());
        if self.pull().unpin().is_some() {
            let group = format!(r#"{{"group":"{GROUP}"}}"#);
            messages.push((self.unpin_subject().into(), group.into()));
        }
        messages
    }
}

/// As [`Consumer::close`], but nobody waits for it.
impl Drop for Consumer {
    fn drop(&mut self) {
        let belongings = self.belongings();
        self.link().send_later(belongings);
    }
}

/// Asks for messages again at once.
pub(super) fn again(replies: Vec<Subject>) -> Vec<(Subject, Bytes)> {
    let again = word(Ack::Again(Duration::ZERO));
    replies
        .into_iter()
        .map(|reply| (reply, again.clone()))
        .collect()
}
