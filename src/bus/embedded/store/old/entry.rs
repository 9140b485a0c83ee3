//! A stored message as bytes.

use super::bytes::Body;
use crate::message::Headers;
use std::time::{Duration, SystemTime};

/// A message in the log, its headers and payload not yet read.
#[derive(Clone, Copy, Debug)]
pub(in crate::bus::embedded::store) struct Entry<'a> {
    pub(in crate::bus::embedded::store) stream: u32,
    pub(in crate::bus::embedded::store) sequence: u64,
    pub(in crate::bus::embedded::store) time: SystemTime,
    pub(in crate::bus::embedded::store) subject: &'a str,
    rest: Body<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let mut rest = Body(body);
        let (stream, sequence) = (rest.u32()?, rest.u64()?);
        let _previous = rest.u64()?;
        Some(Self {
            stream,
            sequence,
            time: SystemTime::UNIX_EPOCH + Duration::from_nanos(rest.u64()?),
            subject: rest.text()?,
            rest,
        })
    }

    /// Reads the headers and the payload.
    pub(in crate::bus::embedded::store) fn content(mut self) -> Option<(Headers, &'a [u8])> {
        let count = self.rest.u32()?;
        let mut headers = Headers::with_capacity(count.min(64) as usize);
        for _ in 0..count {
            let (name, value) = (self.rest.bytes()?, self.rest.text()?);
            headers.put_back(name, value)?;
        }
        Some((headers, self.rest.0))
    }
}
