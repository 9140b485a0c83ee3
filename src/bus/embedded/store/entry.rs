//! A stored message as bytes.

use super::{
    super::record::Record,
    bytes::{Body, put_bytes, put_count, put_u32, put_u64},
};
use crate::message::{Headers, headers};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A message in the log, its headers and payload not yet read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) stream: u32,
    pub(super) sequence: u64,
    pub(super) previous: u64,
    pub(super) time: SystemTime,
    pub(super) subject: &'a str,
    rest: Body<'a>,
}

pub(super) fn put(body: &mut Vec<u8>, stream: u32, record: &Record) {
    put_u32(body, stream);
    put_u64(body, record.sequence);
    put_u64(body, record.previous);
    put_u64(body, nanos(record.time));
    put_bytes(body, record.subject.as_bytes());
    put_count(body, record.headers.len());
    for (name, value) in record.headers.iter() {
        put_bytes(body, name.as_bytes());
        put_bytes(body, value.as_bytes());
    }
    body.extend_from_slice(&record.payload);
}

impl<'a> Entry<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let mut rest = Body(body);
        Some(Self {
            stream: rest.u32()?,
            sequence: rest.u64()?,
            previous: rest.u64()?,
            time: SystemTime::UNIX_EPOCH + Duration::from_nanos(rest.u64()?),
            subject: rest.text()?,
            rest,
        })
    }

    /// Returns the id by which a duplicate is known.
    pub(super) fn id(&self) -> Option<&'a str> {
        self.header(headers::MSG_ID)
    }

    /// Returns a header's value.
    pub(super) fn header(&self, wanted: &str) -> Option<&'a str> {
        let mut rest = self.rest;
        let count = rest.u32()?;
        for _ in 0..count {
            let (name, value) = (rest.bytes()?, rest.bytes()?);
            if name == wanted.as_bytes() {
                return str::from_utf8(value).ok();
            }
        }
        None
    }

    /// Reads the whole message; its subject is shared.
    pub(super) fn record(mut self, subject: Arc<str>) -> Option<Record> {
        let count = self.rest.u32()?;
        let mut headers = Headers::with_capacity(count.min(64) as usize);
        for _ in 0..count {
            let (name, value) = (self.rest.bytes()?, self.rest.text()?);
            headers.put_back(name, value)?;
        }
        Some(Record {
            subject,
            headers,
            payload: Bytes::copy_from_slice(self.rest.0),
            sequence: self.sequence,
            time: self.time,
            previous: self.previous,
        })
    }
}

/// Returns a time in nanoseconds since 1970, which lasts until 2554.
fn nanos(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut headers = Headers::new();
        for (name, value) in [("ce-type", "a.b"), (headers::MSG_ID, "7"), ("x", "")] {
            headers.put(name, value);
        }
        let record = Record {
            subject: "a.b".into(),
            headers,
            payload: Bytes::from_static(&[0, 159]),
            sequence: 3,
            time: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789),
            previous: 2,
        };
        let mut body = Vec::new();
        put(&mut body, 9, &record);
        let read = Entry::read(&body);
        assert_eq!(read.and_then(|entry| entry.id()), Some("7"));
        assert_eq!(
            read.map(|entry| (entry.stream, entry.subject)),
            Some((9, "a.b"))
        );
        let again = read.and_then(|entry| entry.record(Arc::clone(&record.subject)));
        assert_eq!(again, Some(record));
    }
}
