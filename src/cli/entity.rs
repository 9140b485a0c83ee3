//! Messages that are no part of their entity.

use super::{
    error::CommandError,
    json,
    line::{nanos, time, word},
    out::{Out, plain},
    place::Place,
};
use crate::call::{Operator, SkippedMessage};
use clap::{Args as Options, Subcommand};
use serde::Serialize;

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Records that a message is no part of its entity, which goes on without it.
    Skip {
        #[command(flatten)]
        which: Which,
        /// Why; it is kept.
        #[arg(long)]
        reason: String,
    },
    /// Takes a skip back.
    Unskip {
        #[command(flatten)]
        which: Which,
    },
    /// Shows which messages are skipped, by whom and why.
    Skipped {
        /// Writes one JSON object per message and line.
        #[arg(long)]
        json: bool,
    },
}

/// Which message of which entity.
#[derive(Debug, Options)]
struct Which {
    /// The domain of the entity, such as `orders`.
    domain: String,
    /// The entity's key.
    key: String,
    /// The sequence of the message in the stream of the domain's events.
    sequence: u64,
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    let bus = place.connect_used().await?;
    let operator = Operator::new(bus.clone(), place.namespace.clone()).source(place.source());
    let said = match args.act {
        Act::Skip { which, reason } => skip(&operator, &which, reason, out).await,
        Act::Unskip { which } => unskip(&operator, &which, out).await,
        Act::Skipped { json } => list(&operator, json, out).await,
    };
    bus.close().await;
    said
}

async fn skip(
    operator: &Operator,
    which: &Which,
    reason: String,
    out: &mut Out,
) -> Result<(), CommandError> {
    let Which { domain, key, sequence } = which;
    operator
        .skip_message(domain, key, *sequence, reason)
        .await?;
    let (domain, key) = (word(domain), word(key));
    out.line(&format!(
        "{domain} {key} goes on without #{sequence}; a projection that has it already forgets it when it is rebuilt"
    ))?;
    Ok(())
}

async fn unskip(operator: &Operator, which: &Which, out: &mut Out) -> Result<(), CommandError> {
    let Which { domain, key, sequence } = which;
    if !operator.unskip_message(domain, key, *sequence).await? {
        return Err(CommandError::NotFound(format!(
            "#{sequence} of `{key}` in `{domain}` is not skipped; `callboard entity skipped` lists those that are"
        )));
    }
    let (domain, key) = (word(domain), word(key));
    out.line(&format!("{domain} {key} has #{sequence} again"))?;
    Ok(())
}

async fn list(operator: &Operator, json: bool, out: &mut Out) -> Result<(), CommandError> {
    for skipped in operator.skipped_messages().await? {
        if json {
            out.line(&json::text(&Facts::of(&skipped)))?;
            continue;
        }
        let SkippedMessage { domain, key, sequence, reason, by, at, .. } = &skipped;
        out.line(&format!(
            "{} {:<12} {:<12} #{sequence} by {}: {}",
            time(*at),
            word(domain),
            word(key),
            word(by),
            plain(reason),
        ))?;
    }
    Ok(())
}

/// What `--json` says of a skipped message.
#[derive(Serialize)]
struct Facts<'a> {
    domain: &'a str,
    key: &'a str,
    sequence: u64,
    reason: &'a str,
    by: &'a str,
    at: String,
}

impl<'a> Facts<'a> {
    fn of(skipped: &'a SkippedMessage) -> Self {
        let SkippedMessage { domain, key, sequence, reason, by, at, .. } = skipped;
        Self { domain, key, sequence: *sequence, reason, by, at: nanos(*at) }
    }
}
