use super::{Cause, Client, PublishError};
use crate::{
    bus::{Append, Expect, Message, Stream},
    message::{Envelope, Event, Id, Key, LONGEST_ID, codec, headers::MSG_ID},
};
use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    time::{Duration, SystemTime},
};
use tokio::time::timeout;

/// How long it may take to look up whether an event is there already.
const FIND_WITHIN: Duration = Duration::from_secs(20);

/// An event about to be published; awaiting it returns once the stream has it.
///
/// What is survived then is what the bus promises: the embedded bus keeps
/// events in memory; a NATS server has written them, and by default syncs them
/// to disk later.
///
/// A handler's event is stored once however often its message comes back: within
/// two minutes by its id, and later, when the message is known to come back, by
/// reading the events of its key since the message was stored.
///
/// # Errors
///
/// Awaiting returns [`PublishError`]. After [`PublishError::Unknown`] the event
/// may be stored; publishing it again with the same id is harmless.
///
/// # Cancel safety
///
/// Dropping the future may or may not publish. Publish again with the same id.
#[must_use = "an event is published when awaited"]
pub struct Publish<'a, E> {
    client: &'a Client,
    event: E,
    cause: Option<&'a Cause>,
    id: Option<Id>,
    expect: Expect,
}

/// What is known of an event once it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The event's id.
    pub id: Id,
    /// Its sequence in the stream of its domain.
    pub sequence: u64,
    /// Whether an earlier attempt had stored it.
    pub duplicate: bool,
}

impl<'a, E: Event> Publish<'a, E> {
    pub(crate) const fn new(client: &'a Client, event: E, cause: Option<&'a Cause>) -> Self {
        Self { client, event, cause, id: None, expect: Expect::Any }
    }

    /// Sets the event's id: an event of an id that is stored is not stored again.
    ///
    /// Without it, an event published by a handler gets an id derived from the
    /// message at hand, any other a new one.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// Demands that the last event of its key has this sequence; 0 for none yet.
    pub const fn after(mut self, sequence: u64) -> Self {
        self.expect = Expect::Last(sequence);
        self
    }

    async fn publish(self) -> Result<Published, PublishError> {
        let subject = E::SUBJECT;
        let (message, id) = self.message()?;
        let stream = self
            .client
            .events(subject.domain())
            .await
            .map_err(|reason| PublishError::Stream { subject, reason })?;
        if let Some(since) = self.cause.and_then(|cause| cause.since) {
            // Boxed, so that the common way does not carry the room this one needs.
            let finding = Box::pin(find(&stream, &message.subject, &message, since));
            let found = finding.await.map_err(|reason| {
                let id = id.clone();
                PublishError::Unknown { subject, id, reason }
            })?;
            if let Some(sequence) = found {
                return Ok(Published { id, sequence, duplicate: true });
            }
        }
        match stream.append(message, self.expect).await {
            Ok(Append::Committed { sequence, duplicate }) => {
                Ok(Published { id, sequence, duplicate })
            }
            Ok(Append::Conflict) => Err(PublishError::Conflict { subject }),
            Ok(Append::Unknown { reason }) => Err(PublishError::Unknown { subject, id, reason }),
            Err(reason) => Err(PublishError::Refused { subject, reason }),
        }
    }

    fn message(&self) -> Result<(Message, Id), PublishError> {
        let subject = E::SUBJECT;
        let text = self.event.key();
        let key = Key::new(&text).map_err(|reason| PublishError::Key { subject, reason })?;
        let payload = codec::encode(&self.event)
            .map_err(|error| PublishError::Codec { subject, reason: error.to_string() })?;
        let id = match (&self.id, self.cause) {
            (Some(id), _) => id.clone(),
            (None, Some(cause)) => cause.next_id(),
            (None, None) => Id::new(),
        };
        if id.text_len() > LONGEST_ID {
            let reason = format!(
                "has an id of {} bytes; at most {LONGEST_ID} are allowed",
                id.text_len()
            );
            return Err(PublishError::Codec { subject, reason });
        }
        let envelope = Envelope {
            correlation: self
                .cause
                .map_or_else(|| id.clone(), |cause| cause.correlation.clone()),
            causation: self.cause.map(|cause| cause.causation().clone()),
            trace: self.cause.and_then(|cause| cause.trace.clone()),
            kind: subject.as_str().to_owned(),
            version: E::VERSION,
            source: self.client.source().to_owned(),
            subject: Cow::into_owned(text),
            time: None,
            id: id.clone(),
            key,
            payload,
        };
        let headers = envelope
            .headers()
            .map_err(|reason| PublishError::Header { subject, reason })?;
        let to = self
            .client
            .namespace()
            .event(subject.domain(), &envelope.key);
        Ok((Message::new(to, envelope.payload).headers(headers), id))
    }
}

/// Returns the place of an event, or a job, on a subject if an earlier attempt at its
/// cause stored it, so long ago that the stream does not know its id any more.
pub(super) async fn find(
    stream: &Stream,
    subject: &str,
    message: &Message,
    since: SystemTime,
) -> Result<Option<u64>, String> {
    let id = message.headers.get(MSG_ID).unwrap_or_default();
    let reason = match timeout(FIND_WITHIN, stream.find(subject, id, since)).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("what came on {subject} since is not looked through in {FIND_WITHIN:?}"),
    };
    Err(format!(
        "an earlier attempt may have stored it, and that cannot be looked up: {reason}"
    ))
}

impl<'a, E: Event> IntoFuture for Publish<'a, E> {
    type Output = Result<Published, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let meters = self.client.meters();
            let published = self.publish().await;
            meters.published::<E>(published.as_ref().err());
            published
        })
    }
}

impl<E: Event> fmt::Debug for Publish<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publish({})", E::SUBJECT)
    }
}
