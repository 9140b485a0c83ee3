//! The store of an embedded bus that no program has open.

use super::{columns::columns, error::CommandError, json, out::Out};
use crate::bus::{Store, StoreStats, StoredStream};
use clap::{Args as Options, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Options)]
struct Data {
    /// The directory that the bus was opened with.
    #[arg(long, value_name = "DIR", env = "CALLBOARD_DATA")]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Reads everything and says what is wrong; changes no message.
    Check(Data),
    /// Shows what the streams hold and where their consumers stand.
    Stats {
        #[command(flatten)]
        data: Data,
        /// Writes one JSON object per stream and line.
        #[arg(long)]
        json: bool,
    },
    /// Gives free space back; needs as much room again while it works.
    Compact(Data),
}

pub(super) fn run(args: Args, out: &mut Out) -> Result<(), CommandError> {
    match args.act {
        Act::Check(Data { data }) => check(data, out),
        Act::Stats { data: Data { data }, json } => {
            let stats = Store::at(data).stats()?;
            Ok(show(&stats, json, out)?)
        }
        Act::Compact(Data { data }) => {
            let (before, after) = Store::at(data).compact()?;
            Ok(out.line(&format!("{} before, {} now", size(before), size(after)))?)
        }
    }
}

fn check(data: PathBuf, out: &mut Out) -> Result<(), CommandError> {
    let found = Store::at(&*data).check()?;
    for fault in &found.faults {
        out.line(&super::out::plain(fault))?;
    }
    if found.faults.is_empty() {
        return Ok(out.line(&format!("sound, with {} messages", found.messages))?);
    }
    Err(CommandError::Unsound { path: data, count: found.faults.len() })
}

fn show(stats: &StoreStats, as_json: bool, out: &mut Out) -> std::io::Result<()> {
    if as_json {
        return stats
            .streams
            .iter()
            .try_for_each(|stream| out.line(&json::text(&Facts::of(stream))));
    }
    let rows: Vec<_> = stats.streams.iter().map(row).collect();
    let head = [
        "STREAM",
        "MESSAGES",
        "LAST",
        "SUBJECTS",
        "SCHEDULED",
        "SIZE",
        "CONSUMERS",
        "BEHIND",
    ];
    for line in columns(head, &rows) {
        out.line(&line)?;
    }
    let (all, free) = (size(stats.bytes), size(stats.free_bytes));
    out.line(&format!("{all} in all, {free} of them free"))
}

fn row(stream: &StoredStream) -> [String; 8] {
    let furthest = stream.consumers.iter().map(|consumer| {
        stream.last_sequence.saturating_sub(consumer.delivered) + consumer.outstanding
    });
    [
        stream.name.clone(),
        stream.messages.to_string(),
        stream.last_sequence.to_string(),
        stream.subjects.to_string(),
        stream.scheduled.to_string(),
        size(stream.bytes),
        stream.consumers.len().to_string(),
        furthest.max().unwrap_or(0).to_string(),
    ]
}

/// Writes a size as people read it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

#[derive(Serialize)]
struct Facts<'a> {
    stream: &'a str,
    messages: u64,
    last_sequence: u64,
    subjects: u64,
    scheduled: u64,
    bytes: u64,
    consumers: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    consumer: &'a str,
    delivered: u64,
    outstanding: u64,
}

impl<'a> Facts<'a> {
    fn of(stream: &'a StoredStream) -> Self {
        let place = |consumer: &'a crate::bus::StoredConsumer| Place {
            consumer: &consumer.name,
            delivered: consumer.delivered,
            outstanding: consumer.outstanding,
        };
        Self {
            stream: &stream.name,
            messages: stream.messages,
            last_sequence: stream.last_sequence,
            subjects: stream.subjects,
            scheduled: stream.scheduled,
            bytes: stream.bytes,
            consumers: stream.consumers.iter().map(place).collect(),
        }
    }
}
