//! The names of all headers, and [`Headers`] that holds them.

use super::{EnvelopeError, LONGEST_ID};
use std::borrow::Cow;

/// The CloudEvents version; always `1.0`.
pub const CE_SPECVERSION: &str = "ce-specversion";
/// The event's id.
pub const CE_ID: &str = "ce-id";
/// The event's type, such as `orders.placed`.
pub const CE_TYPE: &str = "ce-type";
/// The event's source, `/{namespace}/{domain}/{node}`.
pub const CE_SOURCE: &str = "ce-source";
/// The entity's key; left out when the subject's last token says it.
pub const CE_SUBJECT: &str = "ce-subject";
/// When it happened, RFC 3339; left out when that is when it was stored.
pub const CE_TIME: &str = "ce-time";
/// The schema's name and version, such as `orders.placed.v2`; left out for version 1.
pub const CE_DATASCHEMA: &str = "ce-dataschema";
/// The id that the whole story shares; left out when it is the message's own.
pub const CE_CORRELATION: &str = "ce-correlationid";
/// The id of the message that caused this one; left out when none did.
pub const CE_CAUSATION: &str = "ce-causationid";
/// The types of a batch's events, separated by commas, so that a reader can
/// pass over it without decoding.
pub const CB_TYPES: &str = "cb-types";
/// The reply of the command that committed an event, MessagePack in Base64, for
/// when the command comes again; left out when the reply is empty.
pub const CB_REPLY: &str = "cb-reply";
/// The media type of the payload.
pub const CONTENT_TYPE: &str = "content-type";
/// The id by which a stream knows a duplicate; equal to [`CE_ID`] for events.
pub const MSG_ID: &str = "Nats-Msg-Id";
/// W3C trace context; only when sampled.
pub const TRACEPARENT: &str = "traceparent";
/// W3C vendor trace state; only beside [`TRACEPARENT`].
pub const TRACESTATE: &str = "tracestate";
/// A command's id; the same on every retry.
pub const CB_ID: &str = "cb-id";
/// A command's deadline in Unix milliseconds.
pub const CB_DEADLINE: &str = "cb-deadline";
/// The domain that sends a command.
pub const CB_CALLER: &str = "cb-caller";
/// A command's correlation id; left out when it is the command's own id.
pub const CB_CORRELATION: &str = "cb-correlation";
/// The id of the message that caused a command.
pub const CB_CAUSATION: &str = "cb-causation";
/// On a command whose id was made up for this one call: its caller will not ask
/// under it again. Left out where the caller named the id.
pub const CB_UNNAMED: &str = "cb-unnamed";
/// Which attempt this is; left out for the first.
pub const CB_ATTEMPT: &str = "cb-attempt";
/// When a message is to be passed on: `@at` and a time; see
/// [`StreamConfig::schedules`](crate::bus::StreamConfig::schedules).
pub const SCHEDULE: &str = "Nats-Schedule";
/// The subject on which a scheduled message is passed on.
pub const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";
/// On a message that was passed on: the subject on which it was scheduled.
pub const SCHEDULER: &str = "Nats-Scheduler";
/// On a message that was passed on: `purge`, for its schedule is gone.
pub const SCHEDULE_NEXT: &str = "Nats-Schedule-Next";
/// When a job that waited was due, in Unix milliseconds.
pub const CB_DUE: &str = "cb-due";
/// What a job repeats: a cron expression, or `@every` and a period.
pub const CB_CRON: &str = "cb-cron";
/// Why a reply is no answer, in words.
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
/// Why a reply is no answer, as a number; see [`Status`](crate::message::Status).
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";
/// On a reply that is no answer: after how many milliseconds it is worth asking
/// again.
pub const CB_RETRY_AFTER: &str = "cb-retry-after";
/// On a reply with 429: how many more calls may be made now.
pub const CB_REMAINING: &str = "cb-remaining";
/// Why a message became a dead letter.
pub const CB_DEAD_REASON: &str = "cb-dead-reason";
/// The subject on which a dead letter was published first.
pub const CB_DEAD_SUBJECT: &str = "cb-dead-subject";
/// The stream in which a dead letter's original stands.
pub const CB_DEAD_STREAM: &str = "cb-dead-stream";
/// The sequence of a dead letter's original in its stream.
pub const CB_DEAD_SEQUENCE: &str = "cb-dead-sequence";
/// How often a dead letter was tried.
pub const CB_DEAD_ATTEMPTS: &str = "cb-dead-attempts";

/// Which event of its message a dead letter is about; left out for the first.
pub const CB_DEAD_INDEX: &str = "cb-dead-index";

/// On a message whose own headers cannot be read: why. Its payload begins with them.
pub const CB_UNREADABLE: &str = "cb-unreadable";
/// On a message whose own headers cannot be read: how many bytes of its payload they are.
pub const CB_RAW_HEADERS: &str = "cb-raw-headers";

/// The names that most events carry: read back, they take no memory.
const USUAL: [&str; 10] = [
    CE_SPECVERSION,
    CE_ID,
    CE_TYPE,
    CE_SOURCE,
    CONTENT_TYPE,
    MSG_ID,
    CE_CORRELATION,
    CE_CAUSATION,
    CE_DATASCHEMA,
    CE_TIME,
];

/// How names begin that say what a message is: nobody else sets them.
const RESERVED: [&str; 6] = ["cb-", "ce-", "nats-", TRACEPARENT, TRACESTATE, CONTENT_TYPE];

/// The headers of a message: few, ordered, names case-sensitive.
///
/// Values hold no line break: [`insert`](Self::insert) refuses them, because a
/// line break would start a header of the sender's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// Returns an empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns an empty set with room for `count` headers.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Sets a header, replacing an earlier value.
    ///
    /// # Errors
    ///
    /// Returns [`HeaderError`] if the name is not a header name, or the value
    /// holds a line break.
    pub fn insert(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Result<(), HeaderError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return Err(HeaderError::Name { name: name.into_owned() });
        }
        if value.contains(['\r', '\n']) {
            return Err(HeaderError::LineBreak { name: name.into_owned() });
        }
        self.put(name, value);
        Ok(())
    }

    /// Sets a header whose name and value are known to be sound.
    pub(crate) fn put(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        debug_assert!(!value.contains(['\r', '\n']), "{name} holds a line break");
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds a header behind the others, which is none of them.
    pub(crate) fn add(&mut self, name: Cow<'static, str>, value: &str) {
        self.0.push((name, value.to_owned()));
    }

    /// Adds a header behind the others, read back from where it was sound.
    /// Returns nothing if the name is no text.
    pub(crate) fn put_back(&mut self, name: &[u8], value: &str) -> Option<()> {
        // Most stand where they usually do.
        let there = USUAL.get(self.0.len()).into_iter();
        let known = there.chain(&USUAL).find(|usual| usual.as_bytes() == name);
        let name = match known {
            Some(usual) => Cow::Borrowed(*usual),
            None => Cow::Owned(str::from_utf8(name).ok()?.to_owned()),
        };
        self.0.push((name, value.to_owned()));
        Some(())
    }

    /// Checks that a name is not one of those which say what a message is.
    ///
    /// # Errors
    ///
    /// Returns [`HeaderError::Reserved`] if it is.
    pub(crate) fn unreserved(name: &str) -> Result<(), HeaderError> {
        let is_meant = |start: &&&str| {
            let begun = name.get(..start.len());
            begun.is_some_and(|begun| begun.eq_ignore_ascii_case(start))
        };
        match RESERVED.iter().find(is_meant) {
            Some(start) => Err(HeaderError::Reserved { name: name.to_owned(), start }),
            None => Ok(()),
        }
    }

    /// Returns a header's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns a header that identifies something; an empty one counts as absent.
    ///
    /// # Errors
    ///
    /// Returns [`EnvelopeError::TooLong`] if it takes more than 256 bytes.
    pub(crate) fn identity(&self, name: &'static str) -> Result<Option<&str>, EnvelopeError> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) if text.len() <= LONGEST_ID => Ok(Some(text)),
            Some(text) => Err(EnvelopeError::TooLong { name, bytes: text.len() }),
        }
    }

    /// Returns all headers in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Returns all headers; a name that is a constant can be told from one that is not.
    #[cfg(feature = "nats")]
    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Cow<'static, str>, String)> {
        self.0.into_iter()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a header was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is empty or holds a colon, white space or non-ASCII.
    #[error("`{}` cannot name a header; use printable ASCII without a colon", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
    /// The name is one of those which say what a message is.
    #[error(
        "`{name}` cannot be set: names that begin with `{start}` are reserved; use another, such as `x-canary`"
    )]
    Reserved {
        /// The name.
        name: String,
        /// How reserved names begin.
        start: &'static str,
    },
    /// The value holds a carriage return or line feed.
    #[error("the value of header `{name}` holds a line break; remove or encode it")]
    LineBreak {
        /// The header's name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::{HeaderError, Headers};

    #[test]
    fn names_that_say_what_a_message_is_are_nobody_elses() {
        for name in [
            "cb-deadline",
            "Nats-Msg-Id",
            "nats-expected",
            "ce-id",
            "traceparent",
        ] {
            let refused = Headers::unreserved(name);
            assert!(
                matches!(refused, Err(HeaderError::Reserved { .. })),
                "{name}"
            );
        }
        for name in ["x-canary", "cb", "user", "\u{e9}-\u{e9}"] {
            assert_eq!(Headers::unreserved(name), Ok(()), "{name}");
        }
    }
}
