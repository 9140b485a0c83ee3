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
    /// Reads it; what is empty or too long is as good as none.
    pub(super) fn read(headers: &Headers) -> Option<Self> {
        let text = |name| headers.identity(name).ok().flatten().map(str::to_owned);
        Some(Self { parent: text(TRACEPARENT)?, state: text(TRACESTATE) })
    }

    pub(super) fn write(&self, headers: &mut Headers) -> Result<(), super::HeaderError> {
        headers.insert(TRACEPARENT, self.parent.as_str())?;
        self.state
            .as_ref()
            .map_or(Ok(()), |state| headers.insert(TRACESTATE, state.as_str()))
    }
}
