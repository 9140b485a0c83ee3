//! Events travel in `CloudEvents` binary mode, and no header says what a reader can derive.

use crate::strategies;
use bytes::Bytes;
use callboard::message::{
    Envelope, EnvelopeError, HeaderError, Headers, Id, Key, Origin, Trace, headers,
};
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

const STORED: SystemTime = SystemTime::UNIX_EPOCH;

fn origin(subject: &str) -> Origin<'_> {
    Origin { stream: "shop_EVT_orders", sequence: 7, subject, time: STORED }
}

fn plain() -> Envelope {
    let id = Id::from("0198c5b6-6f3e-7c30-8a3e-2f1d5b7c9e01");
    Envelope {
        correlation: id.clone(),
        id,
        kind: "orders.placed".to_owned(),
        version: 1,
        source: "/shop/orders/n1".to_owned(),
        key: Key::new("o-42").expect("a key"),
        subject: "o-42".to_owned(),
        time: None,
        causation: None,
        trace: None,
        payload: Bytes::from_static(&[0x80]),
    }
}

fn read(pairs: &[(&'static str, &str)]) -> Result<Envelope, EnvelopeError> {
    let mut headers = Headers::new();
    for (name, value) in pairs {
        headers.insert(*name, *value).expect("a sound header");
    }
    Envelope::read(&headers, origin("shop.evt.orders.o-42"), Bytes::new())
}

proptest! {
    #[test]
    fn an_envelope_reads_back_from_its_headers(sent in strategies::envelope(), partition in any::<bool>()) {
        let headers = sent.headers().expect("sound headers");
        let partition = if partition { "3." } else { "" };
        let subject = format!("shop.evt.orders.{partition}{}", sent.key);
        let heard = Envelope::read(&headers, origin(&subject), sent.payload.clone());
        let time = Some(sent.time.unwrap_or(STORED));
        prop_assert_eq!(heard, Ok(Envelope { time, ..sent }));
    }

    #[test]
    fn a_header_is_left_out_exactly_if_it_can_be_derived(sent in strategies::envelope()) {
        let written = sent.headers().expect("sound headers");
        let state = sent.trace.as_ref().and_then(|trace| trace.state.as_ref());
        for (name, wanted) in [
            (headers::CE_SPECVERSION, true),
            (headers::CE_ID, true),
            (headers::CE_TYPE, true),
            (headers::CE_SOURCE, true),
            (headers::CONTENT_TYPE, true),
            (headers::MSG_ID, true),
            (headers::CE_DATASCHEMA, sent.version != 1),
            (headers::CE_SUBJECT, sent.subject != sent.key.decode()),
            (headers::CE_TIME, sent.time.is_some()),
            (headers::CE_CORRELATION, sent.correlation != sent.id),
            (headers::CE_CAUSATION, sent.causation.is_some()),
            (headers::TRACEPARENT, sent.trace.is_some()),
            (headers::TRACESTATE, state.is_some()),
        ] {
            prop_assert_eq!(written.get(name).is_some(), wanted, "{}", name);
        }
        let id = sent.id.to_string();
        prop_assert_eq!(written.get(headers::CE_ID), Some(id.as_str()));
        prop_assert_eq!(written.get(headers::MSG_ID), Some(id.as_str()));
    }
}

#[test]
fn a_plain_event_has_six_headers() -> Result<(), HeaderError> {
    let headers = plain().headers()?;
    let written: Vec<_> = headers.iter().collect();
    assert_eq!(
        written,
        [
            ("ce-specversion", "1.0"),
            ("ce-id", "0198c5b6-6f3e-7c30-8a3e-2f1d5b7c9e01"),
            ("ce-type", "orders.placed"),
            ("ce-source", "/shop/orders/n1"),
            ("content-type", "application/msgpack"),
            ("Nats-Msg-Id", "0198c5b6-6f3e-7c30-8a3e-2f1d5b7c9e01"),
        ]
    );
    Ok(())
}

#[test]
fn a_line_break_in_any_attribute_is_refused() {
    for bad in ["a\r\nce-type: evil", "a\n", "\r"] {
        let (text, id) = (bad.to_owned(), Id::from(bad));
        let trace = |parent: &str, state: Option<&str>| {
            Some(Trace { parent: parent.to_owned(), state: state.map(str::to_owned) })
        };
        for (name, envelope) in [
            (headers::CE_ID, Envelope { id: id.clone(), ..plain() }),
            (headers::CE_TYPE, Envelope { kind: text.clone(), ..plain() }),
            (
                headers::CE_SOURCE,
                Envelope { source: text.clone(), ..plain() },
            ),
            (headers::CE_SUBJECT, Envelope { subject: text, ..plain() }),
            (
                headers::CE_CORRELATION,
                Envelope { correlation: id.clone(), ..plain() },
            ),
            (
                headers::CE_CAUSATION,
                Envelope { causation: Some(id), ..plain() },
            ),
            (
                headers::TRACEPARENT,
                Envelope { trace: trace(bad, None), ..plain() },
            ),
            (
                headers::TRACESTATE,
                Envelope { trace: trace("a", Some(bad)), ..plain() },
            ),
        ] {
            let refused = Err(HeaderError::LineBreak { name: name.to_owned() });
            assert_eq!(envelope.headers(), refused);
        }
    }
}

#[test]
fn a_type_is_all_that_a_foreign_publisher_must_say() {
    let heard = read(&[("ce-type", "orders.placed")]).expect("an event");
    assert_eq!(heard.id, Id::from("shop_EVT_orders:7"));
    assert_eq!(heard.correlation, heard.id);
    assert_eq!((heard.version, heard.time), (1, Some(STORED)));
    assert_eq!(
        (heard.subject.as_str(), heard.source.as_str()),
        ("o-42", "")
    );
}

#[test]
fn a_foreign_id_is_kept_as_it_came() {
    for id in [
        "42",
        "order 7",
        "0198C5B6-6F3E-7C30-8A3E-2F1D5B7C9E01",
        "{é}",
    ] {
        let heard = read(&[("ce-type", "t"), ("ce-id", id)]).expect("an event");
        assert_eq!(heard.id.to_string(), id);
        assert_eq!(
            heard.headers().expect("sound").get(headers::CE_ID),
            Some(id)
        );
    }
    let heard = read(&[("ce-type", "t"), ("Nats-Msg-Id", "m-1")]).expect("an event");
    assert_eq!(heard.id, Id::from("m-1"));
    let nameless = read(&[("ce-type", "t"), ("ce-id", ""), ("Nats-Msg-Id", "")]);
    let nameless = nameless.expect("an event");
    assert_eq!(
        nameless.id,
        Id::from("shop_EVT_orders:7"),
        "an empty id is none"
    );
}

#[test]
fn headers_that_describe_no_event_are_refused() {
    assert_eq!(read(&[("ce-id", "1")]), Err(EnvelopeError::NoType));
    for version in ["0.3", "2.0", "10.0", ""] {
        let version = version.to_owned();
        let refused = read(&[("ce-type", "t"), ("ce-specversion", &version)]);
        assert_eq!(refused, Err(EnvelopeError::SpecVersion { version }));
    }
    for found in ["application/json", "text/plain", ""] {
        let refused = read(&[("ce-type", "t"), ("content-type", found)]);
        assert_eq!(
            refused,
            Err(EnvelopeError::ContentType { found: found.to_owned() })
        );
    }
    let mut headers = Headers::new();
    headers.insert("ce-type", "t").expect("a sound header");
    for subject in [
        "",
        "shop.evt.orders.",
        "shop.evt.orders.a b",
        "shop.evt.orders.=2e",
    ] {
        let refused = Envelope::read(&headers, origin(subject), Bytes::new());
        assert!(
            matches!(refused, Err(EnvelopeError::Key { .. })),
            "{subject}"
        );
    }
}

#[test]
fn times_are_read_with_any_offset() {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_hours(20_454 * 24 + 12);
    for text in [
        "2026-01-01T12:00:00Z",
        "2026-01-01t12:00:00z",
        "2026-01-01T12:00:00+00:00",
        "2026-01-01T12:00:00-00:00",
        "2026-01-01T13:00:00.000+01:00",
        "2026-01-01T13:00:00+01:00",
        "2026-01-01T06:30:00.0-05:30",
        "2026-01-02T02:00:00.000000+14:00",
        "2026-01-01 12:00:00",
    ] {
        let heard = read(&[("ce-type", "t"), ("ce-time", text)]);
        assert_eq!(heard.expect("an event").time, Some(noon), "{text}");
    }
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "now",
        "2026-01-01",
        "2026-13-01T12:00:00Z",
        "2026-01-01T12:00:00ZZ",
        "2026-01-01T12:00:00Zabc",
        "2026-01-01T12:00:00.Z",
        "2026-01-01T12:00:00,5Z",
        "2026-01-01T12:00:00+1:00",
        "2026-01-01T12:00:00+0100",
        "2026-01-01T12:00:00+24:00",
        "2026-01-01T12:00:00+00:00Z",
        "2026-01-01T12:00:00.5+éé:0",
        "1767268800",
    ] {
        let refused = Err(EnvelopeError::Time { found: text.to_owned() });
        assert_eq!(read(&[("ce-type", "t"), ("ce-time", text)]), refused);
    }
}

#[test]
fn a_time_that_cannot_be_told_becomes_the_nearest_that_can() {
    let (before, after) = (Duration::from_secs(1), Duration::from_secs(1 << 40));
    for (time, text) in [
        (
            SystemTime::UNIX_EPOCH - before,
            "1970-01-01T00:00:00.000000000Z",
        ),
        (
            SystemTime::UNIX_EPOCH + after,
            "9999-12-31T23:59:59.999999999Z",
        ),
    ] {
        let written = Envelope { time: Some(time), ..plain() }
            .headers()
            .expect("sound headers");
        assert_eq!(written.get(headers::CE_TIME), Some(text));
    }
}

#[test]
fn a_schema_named_in_another_way_is_version_1() {
    for (schema, version) in [
        ("orders.placed.v2", 2),
        ("orders.placed.v1", 1),
        ("orders.placed.v0", 1),
        ("orders.placed.vx", 1),
        ("orders.placed", 1),
        ("payments.taken.v3", 1),
        ("https://example.com/schema.json", 1),
    ] {
        let heard = read(&[("ce-type", "orders.placed"), ("ce-dataschema", schema)]);
        assert_eq!(heard.expect("an event").version, version, "{schema}");
    }
}
