//! By hand with the embedded bus itself.

use crate::{
    by_hand::{Hand, Place, Script, Waiting},
    shop::{id, is_declined},
};
use callboard::{
    Client, Command,
    bus::{Append, Consumer, Expect, Message, Stored, Stream},
    message::headers,
};
use std::rc::Rc;
use tokio::task::spawn_local;
use uuid::Uuid;

pub(crate) struct Embedded {
    pub(crate) client: Client,
    pub(crate) journal: Stream,
    pub(crate) errands: Stream,
    pub(crate) script: Script,
    pub(crate) waiting: Waiting,
}

pub(crate) async fn buy_by_hand(raw: &Embedded, at: u64) {
    assert_eq!(raw.order(id(at)).await, !is_declined(at));
}

impl Embedded {
    /// Takes what is queued.
    pub(crate) async fn serve(self: &Rc<Self>, mut queued: Consumer) {
        while let Ok(delivery) = queued.next().await {
            let raw = Rc::clone(self);
            spawn_local(async move {
                let order = delivery.message.subject.rsplit('.').next();
                raw.run(order.unwrap_or_default()).await;
                delivery.ack().await.expect("the bus is there");
            });
        }
    }
}

impl Hand for Embedded {
    fn script(&self) -> &Script {
        &self.script
    }

    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    async fn append(&self, at: Place<'_>, like: &Stored) -> u64 {
        let mut said = like.headers.clone();
        said.insert(headers::MSG_ID, Uuid::now_v7().to_string())
            .expect("it is text");
        let message = Message::new(at.subject(), like.payload.clone()).headers(said);
        let (stream, expect) = match at.after() {
            None => (&self.errands, Expect::Any),
            Some(after) => (&self.journal, Expect::Last(after)),
        };
        match stream.append(message, expect).await {
            Ok(Append::Committed { sequence, .. }) => sequence,
            other => unreachable!("nobody else writes: {other:?}"),
        }
    }

    async fn call<C: Command>(&self, command: C) -> bool {
        self.client.call(command).await.is_ok()
    }
}
