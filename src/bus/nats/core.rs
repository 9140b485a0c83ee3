//! Messages that nobody keeps: send, subscribe, request.

use super::{
    headers::{inbound, outbound},
    link::Link,
    subscription::Subscription,
};
use crate::{
    bus::{
        Message, RequestError, SendError, SubscribeError,
        names::{is_filter, is_queue, is_subject},
    },
    message::Headers,
};
use async_nats::{Client, PublishErrorKind, Request, RequestErrorKind, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::{runtime::Handle, time::timeout};

/// How long a message may wait for room in the client's buffer.
pub(super) const SEND_WAIT: Duration = Duration::from_secs(2);
/// How long the server may take to confirm a subscription.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(5);

impl Link {
    pub(in crate::bus) async fn send(&self, message: Message) -> Result<(), SendError> {
        let Message { subject, reply, headers, payload } = message;
        self.check(&subject, &headers, &payload)?;
        if let Some(reply) = reply.as_ref().filter(|reply| !is_subject(reply)) {
            return Err(SendError::Subject { subject: reply.clone() });
        }
        let to = Subject::from(subject.as_str());
        let (client, headers) = (self.client(), outbound(headers));
        let sent = match reply {
            Some(reply) => {
                let sending = client.publish_with_reply_and_headers(to, reply, headers, payload);
                timeout(SEND_WAIT, sending).await
            }
            None => timeout(SEND_WAIT, client.publish_with_headers(to, headers, payload)).await,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == PublishErrorKind::InvalidSubject => {
                Err(SendError::Subject { subject })
            }
            _ => Err(SendError::Disconnected { subject }),
        }
    }

    pub(in crate::bus) async fn request(
        &self,
        message: Message,
        wait: Duration,
    ) -> Result<Message, RequestError> {
        let Message { subject, headers, payload, .. } = message;
        self.check(&subject, &headers, &payload)?;
        let refusals = self.events().refusals();
        // The client's own timer would not cover the wait for room in its buffer.
        let request = Request {
            payload: Some(payload),
            headers: (!headers.is_empty()).then(|| outbound(headers)),
            timeout: Some(None),
            inbox: None,
        };
        let asking = self
            .client()
            .send_request(Subject::from(subject.as_str()), request);
        match timeout(wait, asking).await {
            Ok(Ok(reply)) => Ok(message_from(reply)),
            Err(_) => Err(self.unanswered(subject, wait, refusals)),
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders { subject },
                RequestErrorKind::TimedOut => self.unanswered(subject, wait, refusals),
                RequestErrorKind::InvalidSubject => SendError::Subject { subject }.into(),
                // The limit became smaller since it was checked; the next check tells it.
                RequestErrorKind::MaxPayloadExceeded => SendError::Disconnected { subject }.into(),
                // The client died or was closed, perhaps after it had written the request.
                RequestErrorKind::Other => RequestError::Lost { subject },
            }),
        }
    }

    /// Returns how often the server has refused something so far.
    pub(in crate::bus) fn refusals(&self) -> u64 {
        self.events().refusals()
    }

    /// Waits until the server refuses a message on a subject, after so many other refusals.
    pub(in crate::bus) async fn refused(&self, after: u64, subject: &str) -> SendError {
        let reason = self.events().refused(after, &publish_to(subject)).await;
        SendError::Refused { subject: subject.to_owned(), reason }
    }

    /// Says why a request got no reply: the server drops one that it refuses.
    fn unanswered(&self, subject: String, timeout: Duration, refusals: u64) -> RequestError {
        match self.events().refusal(refusals, &publish_to(&subject)) {
            Some(reason) => SendError::Refused { subject, reason }.into(),
            None => RequestError::Timeout { subject, timeout },
        }
    }

    pub(in crate::bus) async fn subscribe(
        &self,
        filter: &str,
        queue: Option<&str>,
    ) -> Result<Subscription, SubscribeError> {
        if !is_filter(filter) || queue.is_some_and(|queue| !is_queue(queue)) {
            return Err(SubscribeError::Filter { filter: filter.into() });
        }
        let unconfirmed =
            |reason: String| SubscribeError::Unconfirmed { filter: filter.into(), reason };
        if !self.is_connected() {
            return Err(unconfirmed("no connection".into()));
        }
        let refusals = self.events().refusals();
        let refused = format!("Subscription to \"{filter}\"");
        let confirmed = async {
            let subscriber = self.listen(filter, queue).await;
            let subscriber = subscriber.map_err(|error| unconfirmed(error.to_string()))?;
            self.round_trip().await.map_err(unconfirmed)?;
            Ok(subscriber)
        };
        let subscriber = tokio::select! {
            biased;
            reason = self.events().refused(refusals, &refused) => Err(unconfirmed(reason)),
            subscriber = timeout(SUBSCRIBE_WAIT, confirmed) => {
                subscriber.unwrap_or_else(|_| Err(unconfirmed("no answer".into())))
            }
        }?;
        match self.events().refusal(refusals, &refused) {
            Some(reason) => Err(unconfirmed(reason)),
            None => Ok(Subscription::new(subscriber, (filter, queue), self)),
        }
    }

    /// Tells the client to listen.
    pub(super) async fn listen(
        &self,
        filter: &str,
        queue: Option<&str>,
    ) -> Result<Subscriber, async_nats::SubscribeError> {
        let filter = filter.to_owned();
        match queue {
            Some(queue) => self.client().queue_subscribe(filter, queue.into()).await,
            None => self.client().subscribe(filter).await,
        }
    }

    /// Sends from where nobody can wait, such as a drop. What is lost of it,
    /// the server's own timers make good.
    pub(super) fn send_later(&self, messages: Vec<(Subject, Bytes)>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if messages.is_empty() || !self.is_connected() {
            return;
        }
        let sending = send_all(self.client().clone(), messages);
        drop(runtime.spawn(timeout(SEND_WAIT, sending)));
    }

    /// Returns once the server has seen all that was sent before: it handles a
    /// connection in order, so an echo of a message to oneself comes after it.
    /// Who else listens there does not matter.
    ///
    /// # Errors
    ///
    /// Returns what the server refused, or that no echo came.
    pub(super) async fn round_trip(&self) -> Result<(), String> {
        let inbox = self.client().new_inbox();
        let refusals = self.events().refusals();
        let echo = async {
            let mut echo = self.client().subscribe(inbox.clone()).await.ok()?;
            echo.unsubscribe_after(1).await.ok()?;
            let to = Subject::from(inbox.as_str());
            self.client().publish(to, Bytes::new()).await.ok()?;
            echo.next().await
        };
        tokio::select! {
            biased;
            reason = self.events().refused(refusals, &inbox) => Err(reason),
            echo = timeout(SUBSCRIBE_WAIT, echo) => match echo {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("the connection closed".into()),
                Err(_) => Err("no answer".into()),
            },
        }
    }
}

/// How the server names a refused publish.
fn publish_to(subject: &str) -> String {
    format!("Publish to \"{subject}\"")
}

/// Sends messages in order, as far as the connection takes them.
pub(super) async fn send_all(client: Client, messages: Vec<(Subject, Bytes)>) {
    for (subject, payload) in messages {
        drop(client.publish(subject, payload).await);
    }
}

pub(super) fn message_from(message: async_nats::Message) -> Message {
    Message {
        subject: message.subject.into_string(),
        reply: message.reply.map(Subject::into_string),
        headers: message.headers.as_ref().map_or_else(Headers::new, inbound),
        payload: message.payload,
    }
}
