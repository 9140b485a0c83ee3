//! How a handle to a consumer lets go, so that another need not wait.

use super::{
    ack::{Acker, word},
    consume::Consumer,
    core::{SEND_WAIT, send_all},
    durable::GROUP,
};
use crate::bus::consumer::Ack;
use async_nats::{Request, Subject};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

impl Consumer {
    /// Lets nothing more come to this handle, and takes in what was on its way.
    pub(in crate::bus) async fn retire(&mut self) {
        // Without the server's word, what was on its way comes again after its ack wait.
        timeout(SEND_WAIT, self.pull().drain()).await.ok();
    }

    /// Gives back these messages, what was not returned, and the pin.
    pub(in crate::bus) async fn close(mut self, held: Vec<Acker>) {
        let mut replies: Vec<_> = held.into_iter().map(Acker::into_reply).collect();
        replies.extend(self.pull().leftovers());
        let client = self.link().client().clone();
        let giving_back = async {
            let last = replies.pop();
            send_all(client.clone(), again(replies)).await;
            if let Some(last) = last {
                // The server takes the pin back past its queue of acknowledgements:
                // unless it has seen them all, another handle gets newer messages first.
                let word = word(Ack::Again(Duration::ZERO));
                let request = Request::new().payload(word).timeout(None);
                drop(client.send_request(last, request).await);
            }
            send_all(client, self.belongings()).await;
        };
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
