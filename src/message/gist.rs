use super::{
    Envelope, EnvelopeError, Event, EventError, Headers, Id, batch,
    envelope::{no_type, refuse_foreign, version},
    headers::{CE_CAUSATION, CE_DATASCHEMA, CE_TYPE, CONTENT_TYPE},
};

/// An event as far as its own entity needs it: what happened and by what
/// command, not who told it when.
///
/// An entity goes through its events by the thousand when it is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Gist<'a> {
    pub(crate) kind: &'a str,
    pub(crate) causation: Option<Id>,
    version: u32,
    payload: &'a [u8],
}

impl<'a> Gist<'a> {
    /// Reads a message that is one event; nothing if it holds several.
    ///
    /// # Errors
    ///
    /// Returns [`EnvelopeError`] if the headers do not describe an event.
    pub(crate) fn read(
        headers: &'a Headers,
        payload: &'a [u8],
    ) -> Result<Option<Self>, EnvelopeError> {
        if headers.get(CONTENT_TYPE) == Some(batch::BATCH_TYPE) {
            return Ok(None);
        }
        let kind = headers.get(CE_TYPE).ok_or_else(|| no_type(headers))?;
        refuse_foreign(headers)?;
        Ok(Some(Self {
            kind,
            causation: headers.identity(CE_CAUSATION).ok().flatten().map(Id::from),
            version: version(kind, headers.get(CE_DATASCHEMA)),
            payload,
        }))
    }

    /// Decodes the payload as an event, as [`Envelope::event`] does.
    ///
    /// # Errors
    ///
    /// Returns [`EventError`] if it does not decode.
    pub(crate) fn event<E: Event>(&self) -> Result<E, EventError> {
        super::read_event(self.version, self.payload)
    }
}

impl<'a> From<&'a Envelope> for Gist<'a> {
    fn from(event: &'a Envelope) -> Self {
        Self {
            kind: &event.kind,
            causation: event.causation.clone(),
            version: event.version,
            payload: &event.payload,
        }
    }
}
