//! What the store knows beside messages: which streams and consumers there
//! are, and where each consumer stands.

use super::{
    super::cursor::Move,
    bytes::{Body, put_count, put_u32, put_u64},
    declared::{KeptConsumer, KeptStream},
    file::FREE,
    frame::{self, Frame},
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
///
/// A pure machine: what is noted changes it and is written in the same step,
/// so that it can be written anew as a whole at any time.
#[derive(Debug, Default)]
pub(in crate::bus::embedded) struct Image {
    pub(in crate::bus::embedded) streams: BTreeMap<u32, StreamConfig>,
    pub(in crate::bus::embedded) consumers: BTreeMap<(u32, u32), Place>,
}

/// One consumer and where it stands.
#[derive(Clone, Debug)]
pub(in crate::bus::embedded) struct Place {
    pub(in crate::bus::embedded) config: ConsumerConfig,
    /// Up to which sequence messages were delivered at all.
    pub(in crate::bus::embedded) next: u64,
    /// What was delivered and not settled, and how often.
    pub(in crate::bus::embedded) out: BTreeMap<u64, u32>,
}

impl Image {
    /// Notes a stream.
    pub(super) fn stream(
        &mut self,
        buffer: &mut Vec<u8>,
        stream: u32,
        config: &StreamConfig,
    ) -> Result<(), codec::EncodeError> {
        put_stream(buffer, stream, config)?;
        self.streams.insert(stream, config.clone());
        Ok(())
    }

    /// Notes a consumer; one that is known keeps its place.
    pub(super) fn consumer(
        &mut self,
        buffer: &mut Vec<u8>,
        at: (u32, u32),
        config: &ConsumerConfig,
    ) -> Result<(), codec::EncodeError> {
        put_consumer(buffer, at, config)?;
        let fresh = || Place { config: config.clone(), next: 0, out: BTreeMap::new() };
        self.consumers.entry(at).or_insert_with(fresh).config = config.clone();
        Ok(())
    }

    /// Notes what changed for a consumer.
    pub(super) fn advance(&mut self, buffer: &mut Vec<u8>, at: (u32, u32), mut step: Move) {
        let Some(place) = self.consumers.get_mut(&at) else {
            return;
        };
        step.gone.retain(|gone| place.out.remove(gone).is_some());
        put_move(buffer, at, &step);
        place.take(step);
    }

    /// Writes all of it.
    pub(super) fn put(&self, buffer: &mut Vec<u8>) -> Result<(), codec::EncodeError> {
        for (stream, config) in &self.streams {
            put_stream(buffer, *stream, config)?;
        }
        for (at, place) in &self.consumers {
            put_consumer(buffer, *at, &place.config)?;
            let out = place
                .out
                .iter()
                .map(|(sequence, attempt)| (*sequence, *attempt));
            let step = Move { next: place.next, out: out.collect(), gone: Vec::new() };
            put_move(buffer, *at, &step);
        }
        Ok(())
    }

    /// Takes in a frame that was written earlier; nothing if it makes no sense.
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
            MOVE => self.consumers.get_mut(&at)?.take(read_move(body)?),
            _ => return None,
        }
        Some(())
    }

    /// Forgets what lies beyond the end of a stream.
    pub(super) fn clamp(&mut self, stream: u32, last: u64) {
        for (_, place) in self.consumers.range_mut((stream, 0)..=(stream, u32::MAX)) {
            place.next = place.next.min(last);
            place.out.retain(|sequence, _| *sequence <= last);
        }
    }
}

impl Place {
    fn take(&mut self, step: Move) {
        self.next = step.next;
        for gone in step.gone {
            self.out.remove(&gone);
        }
        self.out.extend(step.out);
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    codec::decode(bytes).ok()
}

fn put_stream(
    buffer: &mut Vec<u8>,
    stream: u32,
    config: &StreamConfig,
) -> Result<(), codec::EncodeError> {
    let kept = codec::encode(&KeptStream::from(config))?;
    frame::put(buffer, STREAM, |body| {
        put_u32(body, stream);
        body.extend_from_slice(&kept);
    });
    Ok(())
}

fn put_consumer(
    buffer: &mut Vec<u8>,
    (stream, consumer): (u32, u32),
    config: &ConsumerConfig,
) -> Result<(), codec::EncodeError> {
    let kept = codec::encode(&KeptConsumer::from(config))?;
    frame::put(buffer, CONSUMER, |body| {
        put_u32(body, stream);
        put_u32(body, consumer);
        body.extend_from_slice(&kept);
    });
    Ok(())
}

fn put_move(buffer: &mut Vec<u8>, (stream, consumer): (u32, u32), step: &Move) {
    frame::put(buffer, MOVE, |body| {
        put_u32(body, stream);
        put_u32(body, consumer);
        put_u64(body, step.next);
        put_count(body, step.out.len());
        for (sequence, attempt) in &step.out {
            put_u64(body, *sequence);
            put_u32(body, *attempt);
        }
        put_count(body, step.gone.len());
        for sequence in &step.gone {
            put_u64(body, *sequence);
        }
    });
}

fn read_move(mut body: Body<'_>) -> Option<Move> {
    let next = body.u64()?;
    let out = body.u32()?;
    let out = (0..out)
        .map(|_| Some((body.u64()?, body.u32()?)))
        .collect::<Option<_>>()?;
    let gone = body.u32()?;
    let gone = (0..gone).map(|_| body.u64()).collect::<Option<_>>()?;
    Some(Move { next, out, gone })
}
