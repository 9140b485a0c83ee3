//! Which streams and consumers there were, and where each consumer stood.

use super::{
    super::declared::{KeptConsumer, KeptStream},
    bytes::Body,
    file::FREE,
    frame::Frame,
};
use crate::{
    bus::{ConsumerConfig, StreamConfig},
    message::codec,
};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

const STREAM: u8 = FREE;
const CONSUMER: u8 = FREE + 1;
const MOVE: u8 = FREE + 2;

/// All of it, by the numbers of streams and of consumers.
#[derive(Debug, Default)]
pub(in crate::bus::embedded::store) struct Image {
    pub(in crate::bus::embedded::store) streams: BTreeMap<u32, StreamConfig>,
    pub(in crate::bus::embedded::store) consumers: BTreeMap<(u32, u32), Place>,
}

/// One consumer and where it stood.
#[derive(Debug)]
pub(in crate::bus::embedded::store) struct Place {
    pub(in crate::bus::embedded::store) config: ConsumerConfig,
    /// Up to which sequence messages were delivered at all.
    pub(in crate::bus::embedded::store) next: u64,
    /// What was delivered and not settled, and how often.
    pub(in crate::bus::embedded::store) out: BTreeMap<u64, u32>,
}

impl Image {
    /// Takes in a frame; nothing if it makes no sense.
    pub(super) fn read(&mut self, frame: &Frame<'_>) -> Option<()> {
        let mut body = Body(frame.body);
        let stream = body.u32()?;
        if frame.kind == STREAM {
            let kept: KeptStream = read(body.0)?;
            self.streams.insert(stream, kept.into());
            return Some(());
        }
        let at = (stream, body.u32()?);
        match frame.kind {
            CONSUMER => {
                let config = ConsumerConfig::from(read::<KeptConsumer>(body.0)?);
                let fresh = Place { config: config.clone(), next: 0, out: BTreeMap::new() };
                self.consumers.entry(at).or_insert(fresh).config = config;
            }
            MOVE => self.consumers.get_mut(&at)?.read(body)?,
            _ => return None,
        }
        Some(())
    }
}

impl Place {
    fn read(&mut self, mut body: Body<'_>) -> Option<()> {
        self.next = body.u64()?;
        for _ in 0..body.u32()? {
            let (sequence, attempt) = (body.u64()?, body.u32()?);
            self.out.insert(sequence, attempt);
        }
        for _ in 0..body.u32()? {
            self.out.remove(&body.u64()?);
        }
        Some(())
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    codec::decode(bytes).ok()
}
