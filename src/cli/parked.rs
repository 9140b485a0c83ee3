//! Keys that wait because an event could not be handled.

use super::{
    error::CommandError,
    input,
    json::{self, Json, base64},
    line::{nanos, time, word},
    out::{Out, plain, warn},
    place::Place,
};
use crate::{
    bus::Stored,
    call::{Operator, Parked, ParkedState},
    message::{Envelope, Origin, batch},
};
use bytes::Bytes;
use clap::{Args as Options, Subcommand};
use serde::Serialize;

/// How many of the events that wait are shown one by one.
const SHOWN: usize = 20;

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    /// Writes one JSON object per key and line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Shows the event of a key, its payload and what waits behind it.
    Show {
        #[command(flatten)]
        which: Which,
        /// Writes one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Tries the event again, then all that waits, in order.
    Retry {
        /// The actor, such as `orders/desk`.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        child: Option<String>,
        /// The key.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        key: Option<String>,
        /// The domain of the events, should the key be parked in several.
        #[arg(long)]
        domain: Option<String>,
        /// Tries all parked keys again.
        #[arg(long)]
        all: bool,
    },
    /// Gives the event up and lets what waits go on.
    Skip {
        #[command(flatten)]
        which: Which,
        /// Why; it is kept.
        #[arg(long)]
        reason: String,
    },
    /// Tries the event again with another payload, then all that waits.
    Amend {
        #[command(flatten)]
        which: Which,
        /// The payload: JSON, `-` for standard input, or `@file`.
        #[arg(allow_negative_numbers = true)]
        json: String,
    },
}

/// Which parked key.
#[derive(Debug, Options)]
struct Which {
    /// The actor, such as `orders/desk`.
    child: String,
    /// The key.
    key: String,
    /// The domain of the events, should the key be parked in several.
    #[arg(long)]
    domain: Option<String>,
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    // What is wrong with the payload is said before anybody is asked.
    let payload = match &args.act {
        Some(Act::Amend { json, .. }) => Some(input::payload(json)?),
        _ => None,
    };
    let bus = place.connect_used().await?;
    let operator = Operator::new(bus.clone(), place.namespace.clone()).source(place.source());
    let said = match args.act {
        None => list(&operator, args.json, out).await,
        Some(Act::Show { which, json }) => {
            let parked = find(&operator, &which).await?;
            show(place, &operator, &parked, (json, out)).await
        }
        Some(Act::Retry { all: true, .. }) => retry_all(&operator, out).await,
        Some(Act::Retry { child, key, domain, .. }) => {
            let (child, key) = (child.unwrap_or_default(), key.unwrap_or_default());
            let parked = find(&operator, &Which { child, key, domain }).await?;
            operator.retry(&parked).await?;
            done(&parked, "will be tried again", out)
        }
        Some(Act::Skip { which, reason }) => {
            let parked = find(&operator, &which).await?;
            operator.skip(&parked, reason).await?;
            done(&parked, "goes on without the event", out)
        }
        Some(Act::Amend { which, .. }) => {
            let parked = find(&operator, &which).await?;
            let payload = payload.unwrap_or_default();
            operator.amend(&parked, payload).await?;
            done(&parked, "will be tried again, amended", out)
        }
    };
    bus.close().await;
    said
}

fn done(parked: &Parked, what: &str, out: &mut Out) -> Result<(), CommandError> {
    let (child, key) = (word(&parked.child), word(&parked.key));
    out.line(&format!("{child} {key} {what}"))?;
    Ok(())
}

/// Finds the parked key that is meant.
async fn find(operator: &Operator, which: &Which) -> Result<Parked, CommandError> {
    let mut found = operator.parked().await?;
    found.retain(|parked| {
        let domain = which.domain.as_ref();
        parked.child == which.child
            && parked.key == which.key
            && domain.is_none_or(|domain| *domain == parked.domain)
    });
    if found.len() > 1 {
        return Err(CommandError::Usage(
            "this key is parked in several domains; say which with `--domain`, as `callboard parked` lists them",
        ));
    }
    found.pop().ok_or_else(|| {
        CommandError::NotFound(format!(
            "no key `{}` of `{}` is parked; `callboard parked` lists those that are",
            which.key, which.child
        ))
    })
}

async fn retry_all(operator: &Operator, out: &mut Out) -> Result<(), CommandError> {
    let mut failed = None;
    for parked in operator.parked().await? {
        if parked.state != ParkedState::Parked {
            continue;
        }
        match operator.retry(&parked).await {
            Ok(()) => done(&parked, "will be tried again", out)?,
            Err(error) => {
                warn(&format!("{} {}: {error}", parked.child, parked.key));
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

async fn list(operator: &Operator, json: bool, out: &mut Out) -> Result<(), CommandError> {
    for parked in operator.parked().await? {
        let (waiting, _) = waiting(operator, &parked).await?;
        if json {
            out.line(&json::text(&Facts::of(&parked, waiting)))?;
        } else {
            out.line(&line(&parked, waiting))?;
        }
    }
    Ok(())
}

/// Counts what waits behind the event of a key; also returns the first of them,
/// the event's own message before.
async fn waiting(operator: &Operator, parked: &Parked) -> Result<(u64, Vec<Stored>), CommandError> {
    let (mut count, mut first) = (0, Vec::new());
    let Some(mut reader) = operator.waiting(parked).await? else {
        return Ok((count, first));
    };
    while let Some(stored) = reader.next().await? {
        count += u64::from(stored.sequence > parked.sequence);
        if first.len() <= SHOWN {
            first.push(stored);
        }
    }
    Ok((count, first))
}

fn line(parked: &Parked, waiting: u64) -> String {
    let Parked { attempts, state, .. } = parked;
    let state = match state {
        ParkedState::Parked => String::new(),
        other => format!(" [{}]", other.as_str()),
    };
    format!(
        "{} {:<20} {:<10} {attempts} attempts, {waiting} waiting{state}, {}: {}",
        time(parked.since),
        word(&parked.child),
        word(&parked.key),
        word(&parked.kind),
        plain(&parked.reason),
    )
}

async fn show(
    place: &Place,
    operator: &Operator,
    parked: &Parked,
    (json, out): (bool, &mut Out),
) -> Result<(), CommandError> {
    let (waiting, messages) = waiting(operator, parked).await?;
    let stream = place.namespace.event_stream(&parked.domain);
    let events = events(&stream, &messages);
    let at = (parked.sequence, parked.index as usize);
    let event = events.iter().find(|(place, _)| *place == at);
    let event = event.map(|(_, event)| event);
    let behind = events.iter().filter(|(place, _)| *place > at);
    let behind =
        behind.map(|((sequence, _), event)| Behind { sequence: *sequence, r#type: &event.kind });
    let shown = Shown {
        facts: Facts::of(parked, waiting),
        id: event.map(|event| event.id.to_string()),
        data: event.map(|event| Data::of(&event.payload)),
        amended: parked.amended.as_ref().map(Data::of),
        behind: behind.collect(),
    };
    if json {
        out.line(&json::text(&shown))?;
        return Ok(());
    }
    out.line(&line(parked, waiting))?;
    for line in shown.lines(&stream) {
        out.line(&line)?;
    }
    Ok(())
}

/// Returns the events of messages, each with its place.
fn events(stream: &str, messages: &[Stored]) -> Vec<((u64, usize), Envelope)> {
    let unpacked = messages.iter().flat_map(|stored| {
        let origin = Origin {
            stream,
            sequence: stored.sequence,
            subject: &stored.subject,
            time: stored.time,
        };
        let events = batch::read(&stored.headers, origin, stored.payload.clone());
        let events = events.unwrap_or_default().into_iter();
        events
            .enumerate()
            .map(|(index, event)| ((stored.sequence, index), event))
    });
    unpacked.collect()
}

/// A payload as JSON, or as Base64 if it is no MessagePack.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Data {
    Json(Json),
    Raw { base64: String, error: String },
}

impl Data {
    pub(super) fn of(payload: &Bytes) -> Self {
        match json::decode(payload) {
            Ok(json) => Self::Json(json),
            Err(error) => Self::Raw { base64: base64(payload), error: error.to_string() },
        }
    }
}

/// What `--json` says of a parked key.
#[derive(Serialize)]
struct Facts<'a> {
    child: &'a str,
    domain: &'a str,
    key: &'a str,
    r#type: &'a str,
    sequence: u64,
    index: u32,
    reason: &'a str,
    attempts: u32,
    since: String,
    state: &'static str,
    waiting: u64,
}

impl<'a> Facts<'a> {
    fn of(parked: &'a Parked, waiting: u64) -> Self {
        Self {
            child: &parked.child,
            domain: &parked.domain,
            key: &parked.key,
            r#type: &parked.kind,
            sequence: parked.sequence,
            index: parked.index,
            reason: &parked.reason,
            attempts: parked.attempts,
            since: nanos(parked.since),
            state: parked.state.as_str(),
            waiting,
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    facts: Facts<'a>,
    id: Option<String>,
    data: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amended: Option<Data>,
    behind: Vec<Behind<'a>>,
}

impl Shown<'_> {
    fn lines(&self, stream: &str) -> Vec<String> {
        let Self { facts, id, data, amended, behind } = self;
        let id = id
            .as_deref()
            .map_or_else(|| "is not there".to_owned(), plain);
        let mut lines = vec![format!("event    {stream} {} {id}", facts.sequence)];
        let payload = |name: &str, data: &Data| format!("{name}  {}", json::text(data));
        lines.extend(data.as_ref().map(|data| payload("payload", data)));
        lines.extend(amended.as_ref().map(|data| payload("amended", data)));
        for Behind { sequence, r#type } in behind {
            lines.push(format!("waiting  {stream} {sequence} {}", word(r#type)));
        }
        let more = facts.waiting.saturating_sub(behind.len() as u64);
        if more > 0 {
            lines.push(format!("waiting  and {more} more"));
        }
        lines
    }
}

#[derive(Serialize)]
struct Behind<'a> {
    sequence: u64,
    r#type: &'a str,
}
