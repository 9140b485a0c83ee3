//! A message as the database holds it.

use super::{
    super::record::Record,
    database::{count, int, sequence},
};
use crate::message::{Headers, headers};
use bytes::Bytes;
use rusqlite::{Row, types::ValueRef};
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The names that are written as one byte, their place from 1. The order is a
/// part of the format: names are added behind the others, and none is changed.
const NAMES: [&str; 31] = [
    "ce-specversion",
    "ce-id",
    "ce-type",
    "ce-source",
    "content-type",
    "Nats-Msg-Id",
    "ce-correlationid",
    "ce-causationid",
    "ce-dataschema",
    "ce-time",
    "ce-subject",
    "cb-types",
    "cb-reply",
    "traceparent",
    "tracestate",
    "cb-id",
    "cb-deadline",
    "cb-caller",
    "cb-correlation",
    "cb-causation",
    "cb-attempt",
    "Nats-Schedule",
    "Nats-Schedule-Target",
    "Nats-Scheduler",
    "Nats-Schedule-Next",
    "cb-due",
    "cb-cron",
    "cb-dead-reason",
    "cb-dead-subject",
    "cb-dead-stream",
    "cb-dead-sequence",
];
/// Stands before a name that is written out.
const OTHER: u8 = 0;
/// Stands for the message's id where it is that of the event.
const SAME_ID: u8 = 0xFF;

/// The columns of a message that [`record`] reads.
pub(super) const COLUMNS: &str =
    "message.key, subject.name, message.time, message.headers, message.payload, message.checksum";

/// Writes headers as bytes.
pub(super) fn put(headers: &Headers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160);
    let mut event = None;
    for (name, value) in headers.iter() {
        match NAMES.iter().position(|known| *known == name) {
            Some(_) if name == headers::MSG_ID && event == Some(value) => {
                bytes.push(SAME_ID);
                continue;
            }
            Some(at) => bytes.push(u8::try_from(at + 1).unwrap_or(OTHER)),
            None => {
                bytes.push(OTHER);
                put_text(&mut bytes, name);
            }
        }
        if name == headers::CE_ID {
            event = Some(value);
        }
        put_text(&mut bytes, value);
    }
    bytes
}

/// Reads headers back; nothing if the bytes make no sense.
pub(super) fn headers(mut bytes: &[u8]) -> Option<Headers> {
    let mut headers = Headers::with_capacity(8);
    while let Some((code, rest)) = bytes.split_first() {
        bytes = rest;
        match *code {
            OTHER => {
                let name = text(&mut bytes)?.to_owned();
                headers.add(Cow::Owned(name), text(&mut bytes)?);
            }
            SAME_ID => {
                let id = headers.get(headers::CE_ID)?.to_owned();
                headers.add(Cow::Borrowed(headers::MSG_ID), &id);
            }
            known => {
                let name = *NAMES.get(usize::from(known) - 1)?;
                headers.add(Cow::Borrowed(name), text(&mut bytes)?);
            }
        }
    }
    Some(headers)
}

/// Returns the checksum of a message's headers and payload.
pub(super) fn checksum(headers: &[u8], payload: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(headers);
    hasher.update(payload);
    i64::from(hasher.finalize())
}

/// Reads a message from its [`COLUMNS`]; nothing if it is damaged.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Option<Record>> {
    let (ValueRef::Text(subject), ValueRef::Blob(head), ValueRef::Blob(payload)) =
        (row.get_ref(1)?, row.get_ref(3)?, row.get_ref(4)?)
    else {
        return Ok(None);
    };
    if checksum(head, payload) != row.get::<_, i64>(5)? {
        return Ok(None);
    }
    let (Ok(subject), Some(headers)) = (str::from_utf8(subject), headers(head)) else {
        return Ok(None);
    };
    Ok(Some(Record {
        subject: Arc::from(subject),
        headers,
        payload: Bytes::copy_from_slice(payload),
        sequence: sequence(row.get(0)?),
        time: time(row.get(2)?),
    }))
}

/// Returns a time in nanoseconds since 1970, which lasts until 2262.
pub(super) fn nanos(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    int(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Returns the time that is so many nanoseconds after 1970.
pub(super) fn time(nanos: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(count(nanos))
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7F).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap_or_default());
    bytes.extend_from_slice(text.as_bytes());
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in all {
            headers.put((*name).to_owned(), *value);
        }
        headers
    }

    #[test]
    fn headers_are_read_as_they_were_written() {
        let long = "x".repeat(20_000);
        for all in [
            &[][..],
            &[
                ("ce-id", "7"),
                ("ce-type", "a.b"),
                ("Nats-Msg-Id", "7"),
                ("x", ""),
            ],
            &[
                ("Nats-Msg-Id", "8"),
                ("ce-id", "8"),
                ("Ce-Id", "9"),
                ("y", &long),
            ],
        ] {
            let headers = set(all);
            assert_eq!(super::headers(&put(&headers)), Some(headers));
        }
        let same = put(&set(&[
            ("ce-id", "0123456789"),
            ("Nats-Msg-Id", "0123456789"),
        ]));
        assert_eq!(same.len(), 13, "an id is written once");
    }

    #[test]
    fn bytes_that_are_no_headers_are_refused() {
        for bytes in [&[0][..], &[1, 5, b'a'], &[99], &[SAME_ID], &[1, 1, 0xFF]] {
            assert_eq!(headers(bytes), None, "{bytes:?}");
        }
    }
}
