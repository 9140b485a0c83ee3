use super::{
    EnvelopeError, HeaderError, Headers, Id, LONGEST_ID, Trace,
    envelope::no_type,
    headers::{
        CB_ATTEMPT, CB_CALLER, CB_CAUSATION, CB_CORRELATION, CB_DEADLINE, CB_ID, CB_UNNAMED,
        CB_UNREADABLE, TRACEPARENT, TRACESTATE,
    },
};
use crate::time::{from_unix_ms, unix_ms};
use std::{sync::Arc, time::SystemTime};

/// How many bytes the name of a caller may have: names are remembered and told on.
const LONGEST_CALLER: usize = 128;

/// What travels with a command beside its payload.
///
/// A caller with a plain NATS client may leave all of it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The command's id; the same on every retry.
    pub id: Id,
    /// Whether its caller named the id, and may ask under it again.
    pub named: bool,
    /// The id that the whole story shares.
    pub correlation: Id,
    /// The id of the message that caused the command.
    pub causation: Option<Id>,
    /// When the caller stops waiting; to the millisecond on the wire.
    pub deadline: Option<SystemTime>,
    /// The domain that sends it; empty if the caller did not say, or said more than
    /// any name takes.
    pub caller: Arc<str>,
    /// Which attempt this is, from 1; what follows from another attempt counts on
    /// from there.
    pub attempt: u32,
    /// Trace context, when sampled.
    pub trace: Option<Trace>,
}

impl Request {
    /// Describes a first attempt of a new command without a cause.
    pub fn new(id: Id) -> Self {
        Self {
            correlation: id.clone(),
            id,
            named: false,
            causation: None,
            deadline: None,
            caller: Arc::default(),
            attempt: 1,
            trace: None,
        }
    }

    /// Writes what a callee cannot derive.
    ///
    /// # Errors
    ///
    /// Returns [`HeaderError`] if a value holds a line break.
    pub fn headers(&self) -> Result<Headers, HeaderError> {
        let mut headers = Headers::with_capacity(4);
        headers.insert(CB_ID, self.id.to_string())?;
        if !self.named {
            headers.put(CB_UNNAMED, "1");
        }
        if let Some(deadline) = self.deadline {
            headers.put(CB_DEADLINE, unix_ms(deadline).to_string());
        }
        if !self.caller.is_empty() {
            headers.insert(CB_CALLER, &*self.caller)?;
        }
        if self.correlation != self.id {
            headers.insert(CB_CORRELATION, self.correlation.to_string())?;
        }
        if let Some(causation) = &self.causation {
            headers.insert(CB_CAUSATION, causation.to_string())?;
        }
        if self.attempt > 1 {
            headers.put(CB_ATTEMPT, self.attempt.to_string());
        }
        if let Some(trace) = &self.trace {
            trace.write(&mut headers)?;
        }
        Ok(headers)
    }

    /// Says what of it takes more bytes than an id may have.
    pub(crate) fn too_long(&self) -> Option<String> {
        let ids = [(CB_ID, &self.id), (CB_CORRELATION, &self.correlation)];
        let mut long = ids.iter().filter(|(_, id)| id.text_len() > LONGEST_ID);
        let (name, id) = long.next()?;
        let bytes = id.text_len();
        Some(EnvelopeError::TooLong { name, bytes }.to_string())
    }

    /// Reads the headers of a command; what is left out, and an empty id, gets a
    /// default.
    ///
    /// # Errors
    ///
    /// Returns [`EnvelopeError::Number`] if the deadline or the attempt is not
    /// a number, and [`EnvelopeError::TooLong`] if an id or a trace header takes
    /// more than 256 bytes.
    pub fn read(headers: &Headers) -> Result<Self, EnvelopeError> {
        let id = headers.identity(CB_ID)?.map(Id::from);
        let named = id.is_some() && headers.get(CB_UNNAMED).is_none();
        if id.is_none() && headers.get(CB_UNREADABLE).is_some() {
            return Err(no_type(headers));
        }
        let id = id.unwrap_or_else(Id::new);
        for name in [TRACEPARENT, TRACESTATE] {
            headers.identity(name)?;
        }
        Ok(Self {
            named,
            correlation: headers
                .identity(CB_CORRELATION)?
                .map_or_else(|| id.clone(), Id::from),
            causation: headers.identity(CB_CAUSATION)?.map(Id::from),
            deadline: number(headers, CB_DEADLINE)?.map(from_unix_ms),
            caller: headers
                .get(CB_CALLER)
                .filter(|caller| caller.len() <= LONGEST_CALLER)
                .map(Arc::from)
                .unwrap_or_default(),
            attempt: number(headers, CB_ATTEMPT)?.unwrap_or(1).max(1),
            trace: Trace::read(headers),
            id,
        })
    }
}

fn number<T: std::str::FromStr>(
    headers: &Headers,
    name: &'static str,
) -> Result<Option<T>, EnvelopeError> {
    let Some(text) = headers.get(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(EnvelopeError::Number { name, found: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::{CB_CALLER, Headers, Request};

    #[test]
    fn a_caller_that_is_no_name_is_nobody() {
        for (length, known) in [(0, 0), (128, 128), (129, 0), (100_000, 0)] {
            let mut headers = Headers::new();
            headers.put(CB_CALLER, "x".repeat(length));
            let read = Request::read(&headers).expect("the rest is left out");
            assert_eq!(read.caller.len(), known);
        }
    }
}
