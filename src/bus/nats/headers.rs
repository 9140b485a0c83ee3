//! Our headers as the client's, and back.

use crate::message::{Headers, headers};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// All names the engine knows, in the order in which it writes them: received
/// headers are put back into this order, because the client's map has none.
const KNOWN: [&str; 28] = [
    headers::CE_SPECVERSION,
    headers::CE_ID,
    headers::CE_TYPE,
    headers::CE_SOURCE,
    headers::CONTENT_TYPE,
    headers::MSG_ID,
    headers::CE_SUBJECT,
    headers::CE_TIME,
    headers::CE_DATASCHEMA,
    headers::CE_CORRELATION,
    headers::CE_CAUSATION,
    headers::CB_ID,
    headers::CB_DEADLINE,
    headers::CB_CALLER,
    headers::CB_CORRELATION,
    headers::CB_CAUSATION,
    headers::CB_ATTEMPT,
    headers::CB_DUE,
    headers::CB_CRON,
    headers::TRACEPARENT,
    headers::TRACESTATE,
    headers::SERVICE_ERROR,
    headers::SERVICE_ERROR_CODE,
    headers::CB_DEAD_REASON,
    headers::CB_DEAD_SUBJECT,
    headers::CB_DEAD_STREAM,
    headers::CB_DEAD_SEQUENCE,
    headers::CB_DEAD_ATTEMPTS,
];

/// Converts headers to send.
pub(super) fn outbound(ours: Headers) -> HeaderMap {
    ours.into_iter()
        .filter_map(|(name, value)| {
            let name = match name {
                Cow::Borrowed(name) => HeaderName::from_static(name),
                Cow::Owned(name) => name.parse().ok()?,
            };
            Some((name, value_of(value)))
        })
        .collect()
}

/// Converts received headers. What the server itself added is left out.
pub(super) fn inbound(theirs: &HeaderMap) -> Headers {
    let mut found: Vec<(usize, Cow<'static, str>, &str)> = theirs
        .iter()
        .filter_map(|(name, values)| {
            let name: &str = name.as_ref();
            let value = values.last()?.as_str();
            match KNOWN.iter().position(|known| *known == name) {
                Some(rank) => Some((rank, Cow::Borrowed(KNOWN[rank]), value)),
                None if is_servers(name) => None,
                None => Some((KNOWN.len(), Cow::Owned(name.to_owned()), value)),
            }
        })
        .collect();
    found.sort_unstable_by(|(rank, name, _), (other_rank, other, _)| {
        (rank, name).cmp(&(other_rank, other))
    });
    let mut ours = Headers::with_capacity(found.len());
    for (_, name, value) in found {
        ours.add(name, value);
    }
    ours
}

/// Converts a value; the client panics on a line break, so none may reach it.
fn value_of(value: String) -> HeaderValue {
    if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return HeaderValue::from(value.replace(['\r', '\n'], " "));
    }
    HeaderValue::from(value)
}

/// Whether the carrier put this header there, and not the sender.
fn is_servers(name: &str) -> bool {
    matches!(
        name,
        "Nats-Expected-Last-Subject-Sequence"
            | "Nats-Pin-Id"
            | "Nats-Expected-Stream"
            | "Nats-Rollup"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_in_their_order() {
        let mut ours = Headers::new();
        for name in KNOWN {
            ours.put(name, format!("value of {name}"));
        }
        ours.put("x-a".to_owned(), "1");
        ours.put("x-b".to_owned(), "2");
        assert_eq!(inbound(&outbound(ours.clone())), ours);
    }

    #[test]
    fn a_line_break_that_slipped_in_becomes_a_space() {
        assert_eq!(value_of("a\r\nb".to_owned()).as_str(), "a  b");
    }
}
