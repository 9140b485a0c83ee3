use super::{core::SEND_WAIT, link::Link};
use crate::bus::{AckError, Stored, consumer::Ack};
use async_nats::{Request, RequestErrorKind, Subject};
use bytes::Bytes;
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// How long the stream may take to confirm an acknowledgement.
const CONFIRM_WAIT: Duration = Duration::from_secs(5);

/// Says what became of one delivery.
pub(in crate::bus) struct Acker {
    link: Link,
    reply: Subject,
}

impl Acker {
    pub(super) const fn new(link: Link, reply: Subject) -> Self {
        Self { link, reply }
    }

    pub(in crate::bus) async fn say(&self, message: &Stored, ack: Ack) -> Result<(), AckError> {
        if !self.link.is_connected() {
            return Err(failed(message, "no connection"));
        }
        let saying = self.link.client().publish(self.reply.clone(), word(ack));
        match timeout(SEND_WAIT, saying).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(message, error)),
            Err(_) => Err(failed(message, "the client's buffer is full")),
        }
    }

    /// Starts the ack wait anew; returns whether the server says that it did.
    pub(in crate::bus) fn confirm_progress(&self) -> impl Future<Output = bool> + Send + use<> {
        let (link, reply) = (self.link.clone(), self.reply.clone());
        async move {
            let request = Request::new().payload(word(Ack::Working)).timeout(None);
            let asking = link.client().send_request(reply, request);
            link.is_connected()
                && matches!(timeout(CONFIRM_WAIT, asking).await, Ok(Ok(answer)) if answer.status.is_none())
        }
    }

    pub(in crate::bus) async fn confirm(&self, message: &Stored) -> Result<(), AckError> {
        if !self.link.is_connected() {
            return Err(failed(message, "no connection"));
        }
        let request = Request::new().payload(word(Ack::Done)).timeout(None);
        let asking = self.link.client().send_request(self.reply.clone(), request);
        match timeout(CONFIRM_WAIT, asking).await {
            // Any status is a refusal: the stream confirms with an empty message.
            Ok(Ok(answer)) => match answer.status {
                None => Ok(()),
                Some(status) => Err(failed(message, status)),
            },
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Err(failed(message, "its consumer is gone"))
            }
            Ok(Err(error)) => Err(failed(message, error)),
            Err(_) => Err(failed(message, "no confirmation within 5 s")),
        }
    }
}

impl fmt::Debug for Acker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acker").field(&self.reply.as_str()).finish()
    }
}

/// Returns what the protocol says for it.
pub(super) fn word(ack: Ack) -> Bytes {
    match ack {
        Ack::Done => Bytes::from_static(b"+ACK"),
        Ack::Working => Bytes::from_static(b"+WPI"),
        Ack::Never => Bytes::from_static(b"+TERM"),
        // A delay, even of zero, is a timer, which newer messages would pass.
        Ack::Again(Duration::ZERO) => Bytes::from_static(b"-NAK"),
        Ack::Again(delay) => format!("-NAK {{\"delay\":{}}}", delay.as_nanos()).into(),
    }
}

fn failed(message: &Stored, reason: impl fmt::Display) -> AckError {
    AckError {
        subject: message.subject.clone(),
        sequence: message.sequence,
        reason: reason.to_string(),
    }
}
