//! How a handle to a consumer lets go, so that another need not wait.

use super::{
    ack::word,
    consume::{Consumer, GROUP},
    core::SEND_WAIT,
    link::Link,
};
use crate::bus::consumer::Ack;
use async_nats::{Client, Subject};
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
        let (replies, unpin) = self.belongings();
        let client = self.link().client().clone();
        let giving_back = give_back(client, replies, unpin);
        timeout(SEND_WAIT, giving_back).await.ok();
    }

    /// Takes what another handle would wait for.
    fn belongings(&mut self) -> (Vec<Subject>, Option<String>) {
        let replies = self.pull().leftovers();
        let pin = self.pull().unpin();
        (replies, pin.map(|_| self.unpin_subject()))
    }
}

/// As [`Consumer::close`], but nobody waits for it.
impl Drop for Consumer {
    fn drop(&mut self) {
        let (replies, unpin) = self.belongings();
        release(self.link(), replies, unpin);
    }
}

/// Gives messages and the pin back in the background.
pub(super) fn release(link: &Link, replies: Vec<Subject>, unpin: Option<String>) {
    if (replies.is_empty() && unpin.is_none()) || !link.is_connected() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let giving_back = give_back(link.client().clone(), replies, unpin);
    // Nobody waits for its end: without it, the same happens by the server's own timers.
    drop(runtime.spawn(timeout(SEND_WAIT, giving_back)));
}

async fn give_back(client: Client, replies: Vec<Subject>, unpin: Option<String>) {
    for reply in replies {
        let again = word(Ack::Again(Duration::ZERO));
        drop(client.publish(reply, again).await);
    }
    if let Some(unpin) = unpin {
        let group = format!(r#"{{"group":"{GROUP}"}}"#);
        drop(client.publish(unpin, group.into()).await);
    }
}
