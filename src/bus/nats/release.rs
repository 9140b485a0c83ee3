//! How a handle to a consumer lets go, so that another need not wait.

use super::{
    ack::word,
    consume::Consumer,
    core::{SEND_WAIT, send_all},
    durable::GROUP,
};
use crate::bus::consumer::Ack;
use async_nats::{Request, Subject};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

/// What is given back without waiting comes again only when this handle's
/// requests are gone too; at once, they would swallow it.
pub(super) const AFTER_US: Duration = Duration::from_millis(1);

impl Consumer {
    /// Lets nothing more come to this handle, and takes in what was on its way.
    pub(in crate::bus) async fn retire(&mut self) {
        let patience = self.pull().patience();
        // Without the server's word, what was on its way comes again after its ack wait.
        timeout(patience, self.pull().drain()).await.ok();
    }

    /// Lets go without a word: a word on what another handle may have by now
    /// would bring it there a second time, and the pin may be another's.
    pub(in crate::bus) fn abandon(mut self) {
        self.stale = true;
    }

    /// Gives back what was not returned, then the pin, and waits until that is sent.
    pub(in crate::bus) async fn close(mut self) {
        let giving_back = async {
            let client = self.link().client().clone();
            let messages = again(self.pull().leftovers(), Duration::ZERO);
            send_all(client.clone(), messages).await;
            // Who is pinned next must find what came back, or newer messages come first.
            self.settled().await;
            let unpin = self.unpin();
            // After a while without requests the pin is another's.
            if !unpin.is_empty() && self.progress().await.is_ok_and(|progress| progress.ours) {
                send_all(client, unpin).await;
            }
        };
        timeout(SEND_WAIT, giving_back).await.ok();
    }

    /// Waits until the server has filed what was given back: it handles words on
    /// messages in order, and confirms this last one. That says again what was
    /// said before, because any other, also of progress, would undo it.
    async fn settled(&self) {
        let Some(last) = self.last() else { return };
        let request = Request::new()
            .payload(word(Ack::Again(Duration::ZERO)))
            .timeout(Some(SEND_WAIT));
        let client = self.link().client();
        drop(client.send_request(last.clone(), request).await);
    }

    fn unpin(&mut self) -> Vec<(Subject, Bytes)> {
        let group = || format!(r#"{{"group":"{GROUP}"}}"#).into();
        let pinned = self.pull().unpin().is_some();
        pinned
            .then(|| (self.unpin_subject().into(), group()))
            .into_iter()
            .collect()
    }
}

/// As [`Consumer::close`], but nobody waits for it.
impl Drop for Consumer {
    fn drop(&mut self) {
        if self.stale {
            return;
        }
        let mut messages = again(self.pull().leftovers(), AFTER_US);
        messages.extend(self.unpin());
        self.link().send_later(messages);
    }
}

/// Asks for messages again after a delay.
pub(super) fn again(replies: Vec<Subject>, delay: Duration) -> Vec<(Subject, Bytes)> {
    let again = word(Ack::Again(delay));
    replies
        .into_iter()
        .map(|reply| (reply, again.clone()))
        .collect()
}
