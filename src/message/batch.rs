//! Several events as one message, so that they commit together or not at all.

use super::{
    Envelope, EnvelopeError, HeaderError, Headers, Id, LONGEST_ID, Origin, Trace,
    codec::{self, EncodeError},
    headers::{CB_TYPES, CE_CAUSATION, CE_CORRELATION, CE_ID, CONTENT_TYPE, MSG_ID},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The media type of a message that holds several events.
pub const BATCH_TYPE: &str = "application/cloudevents-batch+msgpack";

/// How many bytes the names of a batch's types may take in their header.
const MAX_TYPES: usize = 32 * 1024;

/// One event of a batch: its attributes by their CloudEvents names, and its
/// payload as MessagePack within MessagePack.
#[derive(Debug, Serialize, Deserialize)]
struct Item {
    specversion: String,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    dataschema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    correlationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    causationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tracestate: Option<String>,
    data: Bytes,
    /// The reply of the command that committed the batch, in its first event, if
    /// it is too large for a header.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    reply: Option<Bytes>,
}

/// Why several events cannot be one message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Together they are too large.
    #[error("the events of one decision: together they {0}")]
    Encode(#[from] EncodeError),
    /// Their types take more room than a header has.
    #[error(
        "the events of one decision: the names of {events} types take {bytes} bytes; at most {MAX_TYPES} are allowed"
    )]
    Types {
        /// How many events there are.
        events: usize,
        /// How many bytes the names take.
        bytes: usize,
    },
    /// An attribute cannot stand in a header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Writes the events of one commit: one as itself, several as a CloudEvents batch,
/// and so one with a reply that is to be kept in the payload.
///
/// # Errors
///
/// Returns [`BatchError`] if they are too large together, or an attribute holds
/// a line break.
pub(crate) fn write(
    events: &[Envelope],
    id: &Id,
    reply: Option<Bytes>,
) -> Result<(Headers, Bytes), BatchError> {
    if let ([only], None) = (events, &reply) {
        return Ok((only.headers()?, only.payload.clone()));
    }
    let mut items: Vec<_> = events.iter().map(Item::of).collect();
    if let Some(first) = items.first_mut() {
        first.reply = reply;
    }
    let types: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let types = types.join(",");
    if types.len() > MAX_TYPES {
        return Err(BatchError::Types { events: events.len(), bytes: types.len() });
    }
    let mut headers = Headers::with_capacity(4);
    headers.put(CONTENT_TYPE, BATCH_TYPE);
    headers.insert(MSG_ID, id.to_string())?;
    headers.insert(CB_TYPES, types)?;
    Ok((headers, codec::encode(&items)?))
}

/// Reads the events of one message, be they one or several.
///
/// # Errors
///
/// Returns [`EnvelopeError`] if the message does not describe events.
pub fn read(
    headers: &Headers,
    origin: Origin<'_>,
    payload: Bytes,
) -> Result<Vec<Envelope>, EnvelopeError> {
    if headers.get(CONTENT_TYPE) != Some(BATCH_TYPE) {
        return Ok(vec![Envelope::read(headers, origin, payload)?]);
    }
    let items: Vec<Item> = codec::decode(&payload)
        .map_err(|error| EnvelopeError::Batch { reason: error.to_string() })?;
    items
        .into_iter()
        .map(|item| item.envelope(origin))
        .collect()
}

impl Item {
    fn of(event: &Envelope) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: event.id.to_string(),
            kind: event.kind.clone(),
            source: event.source.clone(),
            dataschema: (event.version != 1).then(|| format!("{}.v{}", event.kind, event.version)),
            correlationid: (event.correlation != event.id).then(|| event.correlation.to_string()),
            causationid: event.causation.as_ref().map(Id::to_string),
            traceparent: event.trace.as_ref().map(|trace| trace.parent.clone()),
            tracestate: event.trace.as_ref().and_then(|trace| trace.state.clone()),
            data: event.payload.clone(),
            reply: None,
        }
    }

    fn envelope(self, origin: Origin<'_>) -> Result<Envelope, EnvelopeError> {
        let key = origin.key()?;
        for (name, value) in [
            (CE_ID, Some(&self.id)),
            (CE_CORRELATION, self.correlationid.as_ref()),
            (CE_CAUSATION, self.causationid.as_ref()),
        ] {
            if let Some(long) = value.filter(|value| value.len() > LONGEST_ID) {
                return Err(EnvelopeError::TooLong { name, bytes: long.len() });
            }
        }
        let id = Id::from(self.id.as_str());
        let schema = self.dataschema.as_deref();
        Ok(Envelope {
            version: super::envelope::version(&self.kind, schema),
            subject: key.decode(),
            time: Some(origin.time),
            correlation: self
                .correlationid
                .as_deref()
                .map_or_else(|| id.clone(), Id::from),
            causation: self.causationid.as_deref().map(Id::from),
            trace: self
                .traceparent
                .filter(|parent| parent.len() <= LONGEST_ID)
                .map(|parent| Trace {
                    parent,
                    state: self.tracestate.filter(|state| state.len() <= LONGEST_ID),
                }),
            kind: self.kind,
            source: self.source,
            payload: self.data,
            id,
            key,
        })
    }
}

/// Returns the reply that is kept in the payload of a message, if there is one.
pub(crate) fn reply(headers: &Headers, payload: &[u8]) -> Option<Bytes> {
    /// Only what is wanted of an event, and of the first one.
    #[derive(Deserialize)]
    struct Kept {
        #[serde(default)]
        reply: Option<Bytes>,
    }
    if headers.get(CONTENT_TYPE) != Some(BATCH_TYPE) {
        return None;
    }
    let items: Vec<Kept> = codec::decode(payload).ok()?;
    items.into_iter().next()?.reply
}

/// Returns the types of a message's events, without decoding them.
pub fn types(headers: &Headers) -> impl Iterator<Item = &str> {
    let one = headers.get(super::headers::CE_TYPE);
    let several = headers.get(CB_TYPES).unwrap_or_default();
    one.into_iter()
        .chain(several.split(',').filter(|kind| !kind.is_empty()))
}
