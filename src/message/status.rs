use super::headers::{Headers, SERVICE_ERROR, SERVICE_ERROR_CODE};
use std::{fmt, num::NonZeroU16};

/// The longest reason that a reply carries, in bytes.
const MAX_REASON: usize = 1024;

/// Why a command got no reply, as the number NATS services use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// 202: what was asked for goes on, and its answer is not there yet.
    StillRunning,
    /// 400: the payload or a header does not decode.
    Malformed,
    /// 404: the domain has no such command.
    NotFound,
    /// 408: the deadline passed before the command was run.
    DeadlinePassed,
    /// 409: what is there under the same key is another.
    Conflict,
    /// 422: the domain says no; the payload is the typed rejection.
    Rejected,
    /// 429: too many requests of this caller.
    Limited,
    /// 500: the handler failed.
    Failed,
    /// 503: overloaded, stopping, or behind an open breaker.
    Unavailable,
    /// A code of another service.
    Other(NonZeroU16),
}

impl Status {
    /// Returns the number on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::StillRunning => 202,
            Self::Malformed => 400,
            Self::NotFound => 404,
            Self::DeadlinePassed => 408,
            Self::Conflict => 409,
            Self::Rejected => 422,
            Self::Limited => 429,
            Self::Failed => 500,
            Self::Unavailable => 503,
            Self::Other(code) => code.get(),
        }
    }

    /// Returns the status of a number; nothing for 0.
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            202 => Self::StillRunning,
            400 => Self::Malformed,
            404 => Self::NotFound,
            408 => Self::DeadlinePassed,
            409 => Self::Conflict,
            422 => Self::Rejected,
            429 => Self::Limited,
            500 => Self::Failed,
            503 => Self::Unavailable,
            other => match NonZeroU16::new(other) {
                Some(code) => Self::Other(code),
                None => return None,
            },
        })
    }

    /// Returns the headers of a reply that is no answer.
    pub fn headers(self, reason: &str) -> Headers {
        let mut headers = Headers::with_capacity(2);
        headers.put(SERVICE_ERROR, one_line(reason));
        headers.put(SERVICE_ERROR_CODE, self.code().to_string());
        headers
    }

    /// Reads the status and reason of a reply; nothing if it is an answer.
    pub fn read(headers: &Headers) -> Option<(Self, &str)> {
        let code = headers.get(SERVICE_ERROR_CODE);
        let reason = headers.get(SERVICE_ERROR);
        if code.is_none() && reason.is_none() {
            return None;
        }
        let status = code
            .and_then(|code| code.parse().ok())
            .and_then(Self::from_code);
        Some((status.unwrap_or(Self::Failed), reason.unwrap_or_default()))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().fmt(f)
    }
}

/// Makes any text fit for a header value: one line, at most 1 KiB.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.len() > MAX_REASON {
        let cut = (0..=MAX_REASON)
            .rev()
            .find(|&at| line.is_char_boundary(at))
            .unwrap_or(0);
        line.truncate(cut);
    }
    line
}
