//! The streams of a namespace, and single messages taken out of them.

use super::{columns::columns, error::CommandError, json, line::word, out::Out, place::Place};
use crate::{
    bus::{Bus, Store, StreamInfo},
    call::Operator,
};
use clap::{Args as Options, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Options)]
pub(super) struct Args {
    /// The directory of an embedded bus that no program has open, in place of a server.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists the streams: how much they hold, and whether messages can be deleted.
    List {
        /// Writes one JSON object per stream and line.
        #[arg(long)]
        json: bool,
    },
    /// Deletes one message, and keeps it as a dead letter with who did it and why.
    Drop {
        /// The stream, as `list` shows it.
        stream: String,
        /// The message's sequence there.
        sequence: u64,
        /// Why, in words.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    let bus = match args.data {
        Some(data) => Bus::embedded_at(Store::at(data).existing()?)?,
        None => place.connect_used().await?,
    };
    let operator = Operator::new(bus.clone(), place.namespace.clone()).source(place.source());
    match args.act {
        Act::List { json } => list(&operator.streams().await?, json, out)?,
        Act::Drop { stream, sequence, reason } => {
            let by = Place::operator();
            let dropped = operator.drop_message(&stream, sequence, &by, &reason);
            let number = dropped.await?;
            let stream = word(&stream);
            out.line(&format!(
                "{stream} {sequence} is deleted; `callboard dead show {number}` has it"
            ))?;
        }
    }
    bus.close().await;
    Ok(())
}

fn list(streams: &[StreamInfo], json: bool, out: &mut Out) -> Result<(), CommandError> {
    if json {
        for stream in streams {
            out.line(&json::text(&Facts::of(stream)))?;
        }
        return Ok(());
    }
    let rows: Vec<_> = streams
        .iter()
        .map(|stream| {
            [
                stream.name.clone(),
                stream.messages.to_string(),
                stream.last_sequence.to_string(),
                if stream.immutable { "no" } else { "yes" }.to_owned(),
            ]
        })
        .collect();
    for line in columns(["STREAM", "MESSAGES", "LAST", "DROP"], &rows) {
        out.line(&line)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Facts<'a> {
    stream: &'a str,
    messages: u64,
    last: u64,
    drop: bool,
}

impl<'a> Facts<'a> {
    fn of(stream: &'a StreamInfo) -> Self {
        Self {
            stream: &stream.name,
            messages: stream.messages,
            last: stream.last_sequence,
            drop: !stream.immutable,
        }
    }
}
