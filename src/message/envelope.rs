use super::{
    Event, EventError, HeaderError, Headers, Id, Key, LONGEST_ID, Namespace, Trace,
    codec::MEDIA_TYPE,
    headers::{
        CB_UNREADABLE, CE_CAUSATION, CE_CORRELATION, CE_DATASCHEMA, CE_ID, CE_SOURCE,
        CE_SPECVERSION, CE_SUBJECT, CE_TIME, CE_TYPE, CONTENT_TYPE, MSG_ID,
    },
    timestamp,
};
use bytes::Bytes;
use std::{num::NonZeroU32, time::SystemTime};

/// An event with all that is known about it: CloudEvents 1.0 attributes and the payload.
///
/// On the wire an envelope is CloudEvents binary mode, and no header says what
/// a reader can derive. [`read`](Self::read) fills every attribute in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The event's id; a stream keeps one event of an id.
    pub id: Id,
    /// The event's type, such as `orders.placed`.
    pub kind: String,
    /// The version of the payload's schema, from 1.
    pub version: u32,
    /// Who published it: `/{namespace}/{domain}/{node}`.
    pub source: String,
    /// The entity's key, from the subject it was published on.
    pub key: Key,
    /// What it is about; the key, unless the publisher said otherwise.
    pub subject: String,
    /// When it happened; nothing until it is stored means "when it is stored".
    pub time: Option<SystemTime>,
    /// The id that the whole story shares; the event's own at the story's start.
    pub correlation: Id,
    /// The id of the message that caused it.
    pub causation: Option<Id>,
    /// Trace context, when sampled.
    pub trace: Option<Trace>,
    /// The MessagePack payload.
    pub payload: Bytes,
}

/// Where a stored event was found: what its headers leave out is read from here.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The stream it stands in.
    pub stream: &'a str,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The subject it was published on; its last token is the key.
    pub subject: &'a str,
    /// When the stream stored it.
    pub time: SystemTime,
}

impl Origin<'_> {
    /// Returns the entity's key: the subject's last token.
    pub(super) fn key(&self) -> Result<Key, EnvelopeError> {
        let token = self.subject.rsplit('.').next().unwrap_or_default();
        Key::from_token(token).map_err(|error| EnvelopeError::Key { reason: error.to_string() })
    }
}

impl Envelope {
    /// Returns the id from which follow the ids of what is made of it: its own if
    /// its source is of this namespace or not said. Another system's ids are unique
    /// for each source only, so there it follows from source and id.
    pub(crate) fn root(&self, namespace: &Namespace) -> Id {
        let own = |source: &str| {
            let rest = source.strip_prefix('/');
            let rest = rest.and_then(|rest| rest.strip_prefix(namespace.as_str()));
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        if self.source.is_empty() || own(&self.source) {
            self.id.clone()
        } else {
            Id::of_source(&self.source, &self.id.to_string())
        }
    }

    /// Decodes the payload as an event, whatever version it was written in.
    ///
    /// # Errors
    ///
    /// Returns [`EventError`] if it does not decode; whether it is of that type
    /// is for the caller to know, from [`kind`](Self::kind).
    pub fn event<E: Event>(&self) -> Result<E, EventError> {
        super::read_event(self.version, &self.payload)
    }

    /// Writes the attributes that a reader cannot derive, as CloudEvents
    /// binary-mode headers.
    ///
    /// # Errors
    ///
    /// Returns [`HeaderError`] if an attribute holds a line break.
    pub fn headers(&self) -> Result<Headers, HeaderError> {
        let mut headers = Headers::with_capacity(8);
        let id = self.id.to_string();
        headers.put(CE_SPECVERSION, "1.0");
        headers.insert(CE_ID, id.as_str())?;
        headers.insert(CE_TYPE, self.kind.as_str())?;
        headers.insert(CE_SOURCE, self.source.as_str())?;
        headers.put(CONTENT_TYPE, MEDIA_TYPE);
        headers.put(MSG_ID, id);
        if self.version != 1 {
            headers.insert(CE_DATASCHEMA, format!("{}.v{}", self.kind, self.version))?;
        }
        if self.subject != self.key.decode() {
            headers.insert(CE_SUBJECT, self.subject.as_str())?;
        }
        if let Some(time) = self.time {
            headers.insert(CE_TIME, timestamp::write(time))?;
        }
        if self.correlation != self.id {
            headers.insert(CE_CORRELATION, self.correlation.to_string())?;
        }
        if let Some(causation) = &self.causation {
            headers.insert(CE_CAUSATION, causation.to_string())?;
        }
        if let Some(trace) = &self.trace {
            trace.write(&mut headers)?;
        }
        Ok(headers)
    }

    /// Reads an event from its headers, and what they leave out from its origin.
    ///
    /// # Errors
    ///
    /// Returns [`EnvelopeError`] if the headers do not describe an event.
    pub fn read(
        headers: &Headers,
        origin: Origin<'_>,
        payload: Bytes,
    ) -> Result<Self, EnvelopeError> {
        let kind = headers.get(CE_TYPE).ok_or_else(|| no_type(headers))?;
        refuse_foreign(headers)?;
        let key = origin.key()?;
        let id = match (headers.identity(CE_ID)?, headers.identity(MSG_ID)?) {
            (Some(id), _) | (None, Some(id)) => Id::from(id),
            (None, None) => Id::from(format!("{}:{}", origin.stream, origin.sequence).as_str()),
        };
        Ok(Self {
            version: version(kind, headers.get(CE_DATASCHEMA)),
            source: headers.get(CE_SOURCE).unwrap_or_default().to_owned(),
            subject: headers
                .get(CE_SUBJECT)
                .map_or_else(|| key.decode(), str::to_owned),
            time: Some(time(headers)?.unwrap_or(origin.time)),
            correlation: headers
                .identity(CE_CORRELATION)?
                .map_or_else(|| id.clone(), Id::from),
            causation: headers.identity(CE_CAUSATION)?.map(Id::from),
            trace: Trace::read(headers),
            kind: kind.to_owned(),
            id,
            key,
            payload,
        })
    }
}

/// Returns why headers without a type have none.
pub(super) fn no_type(headers: &Headers) -> EnvelopeError {
    match headers.get(CB_UNREADABLE) {
        Some(reason) => EnvelopeError::Unreadable { reason: reason.to_owned() },
        None => EnvelopeError::NoType,
    }
}

pub(super) fn refuse_foreign(headers: &Headers) -> Result<(), EnvelopeError> {
    let spec = headers.get(CE_SPECVERSION).unwrap_or("1.0");
    if spec != "1" && !spec.starts_with("1.") {
        return Err(EnvelopeError::SpecVersion { version: spec.to_owned() });
    }
    match headers.get(CONTENT_TYPE) {
        None | Some(MEDIA_TYPE) => Ok(()),
        Some(other) => Err(EnvelopeError::ContentType { found: other.to_owned() }),
    }
}

fn time(headers: &Headers) -> Result<Option<SystemTime>, EnvelopeError> {
    let Some(text) = headers.get(CE_TIME) else {
        return Ok(None);
    };
    match timestamp::read(text) {
        Some(time) => Ok(Some(time)),
        None => Err(EnvelopeError::Time { found: text.to_owned() }),
    }
}

/// The version in `orders.placed.v2`; 1 for a schema named in another way.
pub(super) fn version(kind: &str, schema: Option<&str>) -> u32 {
    schema
        .and_then(|schema| schema.strip_prefix(kind)?.strip_prefix(".v")?.parse().ok())
        .map_or(1, NonZeroU32::get)
}

/// Why headers do not describe an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// There is no type.
    #[error("has no `{CE_TYPE}` header; name the event's type there, such as `orders.placed`")]
    NoType,
    /// The message has headers that no client can read.
    #[error("cannot be read: {reason}; its payload is shown with its headers in front")]
    Unreadable {
        /// What is wrong with them.
        reason: String,
    },
    /// The CloudEvents version is not 1.x.
    #[error("is CloudEvents {version}; only 1.x is understood")]
    SpecVersion {
        /// The version it claims.
        version: String,
    },
    /// The payload is not MessagePack.
    #[error("carries `{found}`; only `{MEDIA_TYPE}` is understood")]
    ContentType {
        /// The media type it claims.
        found: String,
    },
    /// The time is not RFC 3339.
    #[error("has `{CE_TIME}: {found}`, which is no RFC 3339 time")]
    Time {
        /// The header's value.
        found: String,
    },
    /// The subject's last token is not an encoded key.
    #[error("has a subject that does not end in a key: {reason}")]
    Key {
        /// What is wrong with the token.
        reason: String,
    },
    /// The events of a batch cannot be read.
    #[error("is a batch of events that {reason}")]
    Batch {
        /// What is wrong with it.
        reason: String,
    },
    /// What identifies a message or a trace is too long.
    #[error("has a `{name}` of {bytes} bytes; at most {LONGEST_ID} are allowed")]
    TooLong {
        /// The header's name.
        name: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// A number is not a number.
    #[error("`{name}: {found}` is not a number")]
    Number {
        /// The header's name.
        name: &'static str,
        /// The header's value.
        found: String,
    },
}
