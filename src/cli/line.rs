//! What `tail` writes for one message.

use super::{
    feed::Found,
    filter::Filter,
    json::{self, Json, base64},
    out::plain,
};
use crate::message::{Envelope, EnvelopeError, Origin, batch, codec::DecodeError};
use bytes::Bytes;
use serde::Serialize;
use std::{sync::Arc, time::SystemTime};

/// One event of a stream, or a message that is none, as far as it can be understood.
pub(super) struct Entry {
    found: Arc<Found>,
    event: Result<Envelope, EnvelopeError>,
    payload: Result<Json, DecodeError>,
    raw: Bytes,
}

impl Entry {
    /// Reads the events of a message that the filter shows; a message that
    /// cannot be read is shown whatever the filter.
    pub(super) fn all(found: Found, filter: &Filter) -> Vec<Self> {
        let stored = &found.stored;
        let origin = Origin {
            stream: &found.stream,
            sequence: stored.sequence,
            subject: &stored.subject,
            time: stored.time,
        };
        let read = batch::read(&stored.headers, origin, stored.payload.clone());
        let found = Arc::new(found);
        match read {
            Ok(events) => events
                .into_iter()
                .filter(|event| filter.shows(&event.kind))
                .map(|event| Self::of(&found, event.payload.clone(), Ok(event)))
                .collect(),
            Err(reason) => vec![Self::of(&found, found.stored.payload.clone(), Err(reason))],
        }
    }

    fn of(found: &Arc<Found>, raw: Bytes, event: Result<Envelope, EnvelopeError>) -> Self {
        Self { found: Arc::clone(found), event, payload: json::decode(&raw), raw }
    }

    /// Writes time, type, key and payload.
    pub(super) fn line(&self) -> String {
        let stored = &self.found.stored;
        let payload = match &self.payload {
            Ok(payload) => json::text(payload),
            Err(reason) => format!("! the payload {reason}"),
        };
        match &self.event {
            Ok(event) => {
                let time = time(event.time.unwrap_or(stored.time));
                let (kind, key) = (word(&event.kind), word(&event.key.decode()));
                format!("{time} {kind:<22} {key:<10} {payload}")
            }
            Err(reason) => {
                let (time, subject) = (time(stored.time), word(&stored.subject));
                let reason = plain(&reason.to_string());
                format!("{time} ! {subject} is no event, it {reason}: {payload}")
            }
        }
    }

    /// Writes all that is known as one JSON object.
    pub(super) fn json(&self) -> String {
        let stored = &self.found.stored;
        json::text(&Facts {
            stream: &self.found.stream,
            sequence: stored.sequence,
            nats_subject: &stored.subject,
            stored: nanos(stored.time),
            event: self.event.as_ref().ok().map(Attributes::of),
            error: self
                .event
                .as_ref()
                .err()
                .map(|reason| format!("is no event, it {reason}")),
            data: self.payload.as_ref().ok(),
            data_base64: self.payload.is_err().then(|| base64(&self.raw)),
            data_error: self.payload.as_ref().err().map(ToString::to_string),
        })
    }
}

/// What `--json` says of a message; CloudEvents' names where it has one.
#[derive(Serialize)]
struct Facts<'a> {
    stream: &'a str,
    sequence: u64,
    nats_subject: &'a str,
    stored: String,
    #[serde(flatten)]
    event: Option<Attributes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_error: Option<String>,
}

#[derive(Serialize)]
struct Attributes<'a> {
    id: String,
    r#type: &'a str,
    schema_version: u32,
    source: &'a str,
    key: String,
    subject: &'a str,
    time: Option<String>,
    correlationid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    fn of(event: &'a Envelope) -> Self {
        let trace = event.trace.as_ref();
        Self {
            id: event.id.to_string(),
            r#type: &event.kind,
            schema_version: event.version,
            source: &event.source,
            key: event.key.decode(),
            subject: &event.subject,
            time: event.time.map(nanos),
            correlationid: event.correlation.to_string(),
            causationid: event.causation.as_ref().map(ToString::to_string),
            traceparent: trace.map(|trace| trace.parent.as_str()),
            tracestate: trace.and_then(|trace| trace.state.as_deref()),
        }
    }
}

/// Writes a text as one word: as it is if it is one, else as JSON.
pub(super) fn word(text: &str) -> String {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '"';
    if text.is_empty() || text.contains(odd) {
        json::text(&text)
    } else {
        plain(text)
    }
}

pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

pub(super) fn nanos(time: SystemTime) -> String {
    humantime::format_rfc3339_nanos(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::Stored,
        message::{
            Headers, codec,
            headers::{CE_ID, CE_TYPE},
        },
    };
    use serde_json::{Map, Value};

    fn found(subject: &str, headers: &[(&'static str, &str)], payload: &[u8]) -> Found {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value).unwrap();
        }
        let stored = Stored {
            subject: subject.into(),
            headers: all,
            payload: payload.to_vec().into(),
            sequence: 7,
            time: crate::time::from_unix_ms(1_767_225_600_123),
        };
        Found { stream: "shop_EVT_orders".into(), stored }
    }

    fn entry(subject: &str, headers: &[(&'static str, &str)], payload: &[u8]) -> Entry {
        let all = Entry::all(found(subject, headers, payload), &Filter::default());
        all.into_iter().next().unwrap()
    }

    #[test]
    fn an_event_is_one_line() {
        let payload = json::encode(r#"{"order":"o-1","total":2500}"#).unwrap();
        let entry = entry(
            "shop.evt.orders.o-1",
            &[(CE_TYPE, "orders.placed")],
            &payload,
        );
        let expected = "2026-01-01T00:00:00.123Z orders.placed          o-1        \
                        {\"order\":\"o-1\",\"total\":2500}";
        assert_eq!(entry.line(), expected);
    }

    #[test]
    fn a_key_with_spaces_is_quoted_and_no_text_breaks_the_line() {
        let payload = codec::encode("a\nb").unwrap();
        let entry = entry(
            "shop.evt.orders.a=20b=0A",
            &[(CE_TYPE, "x.\u{1b}[2J")],
            &payload,
        );
        let line = entry.line();
        assert!(
            line.contains(r#""a b\n""#) && line.ends_with(r#""a\nb""#),
            "{line}"
        );
        assert!(!line.contains(char::is_control), "{line:?}");
    }

    #[test]
    fn what_is_no_event_is_shown_with_the_reason() {
        let entry = entry("shop.evt.orders.o-1", &[], &[0xC1]);
        let line = entry.line();
        assert!(
            line.contains("! shop.evt.orders.o-1 is no event, it has no `ce-type`"),
            "{line}"
        );
        assert!(line.contains("! the payload is not MessagePack"), "{line}");
        let json: Value = serde_json::from_str(&entry.json()).unwrap();
        assert_eq!(json["data_base64"], "wQ==");
        assert!(json["error"].as_str().unwrap().contains("ce-type"));
    }

    #[test]
    fn the_json_has_all_attributes() {
        let headers = [(CE_TYPE, "orders.placed"), (CE_ID, "e-1")];
        let entry = entry("shop.evt.orders.o-1", &headers, &[0x80]);
        let json: Value = serde_json::from_str(&entry.json()).unwrap();
        for (name, expected) in [
            ("stream", "shop_EVT_orders"),
            ("id", "e-1"),
            ("type", "orders.placed"),
            ("key", "o-1"),
            ("subject", "o-1"),
            ("correlationid", "e-1"),
            ("time", "2026-01-01T00:00:00.123000000Z"),
        ] {
            assert_eq!(json[name], expected, "{name}");
        }
        assert_eq!(
            (&json["sequence"], &json["data"]),
            (&7.into(), &Value::Object(Map::new()))
        );
    }

    #[test]
    fn a_filter_leaves_out_other_types_but_no_riddles() {
        let only: Filter = "orders.placed".parse().unwrap();
        let read = |headers: &[(&'static str, &str)]| {
            !Entry::all(found("shop.evt.orders.o-1", headers, &[0xC0]), &only).is_empty()
        };
        assert!(read(&[(CE_TYPE, "orders.placed")]));
        assert!(!read(&[(CE_TYPE, "orders.cancelled")]));
        assert!(read(&[]));
    }
}
