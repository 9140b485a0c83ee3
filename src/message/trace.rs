use super::headers::{Headers, TRACEPARENT, TRACESTATE};

/// W3C trace context, carried as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The `traceparent` header.
    pub parent: String,
    /// The `tracestate` header.
    pub state: Option<String>,
}

impl Trace {
    pub(super) fn read(headers: &Headers) -> Option<Self> {
        let parent = headers.get(TRACEPARENT)?.to_owned();
        Some(Self { parent, state: headers.get(TRACESTATE).map(str::to_owned) })
    }

    pub(super) fn write(&self, headers: &mut Headers) -> Result<(), super::HeaderError> {
        headers.insert(TRACEPARENT, self.parent.as_str())?;
        self.state
            .as_ref()
            .map_or(Ok(()), |state| headers.insert(TRACESTATE, state.as_str()))
    }
}
