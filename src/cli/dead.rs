//! Messages that were given up.

use super::{
    error::CommandError,
    json,
    line::{nanos, time, word},
    out::{Out, note, plain, warn},
    parked::Data,
    place::Place,
};
use crate::{
    call::{Letter, LetterState, Operator, OperatorError},
    message::{Key, Origin, batch},
};
use bytes::Bytes;
use clap::{Args as Options, Subcommand};
use serde::Serialize;

/// How many letters are read at once.
const PAGE: usize = 256;

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists what was given up and not handled since.
    List {
        /// Writes one JSON object per letter and line.
        #[arg(long)]
        json: bool,
        /// Lists also what was handled after all.
        #[arg(long)]
        all: bool,
        /// Begins at this number.
        #[arg(long, value_name = "N", default_value_t = 1)]
        from: u64,
    },
    /// Shows one letter with its payload.
    Show {
        /// The letter's number, as `list` shows it.
        number: u64,
        /// Writes one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Hands an event again to the actor that gave it up, and to no other; stores a
    /// job again.
    Redrive {
        /// The letter's number, as `list` shows it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        number: Option<u64>,
        /// Hands over all that were not handled since.
        #[arg(long)]
        all: bool,
        /// Of all, hands over those whose reason has this text in it.
        #[arg(long, value_name = "TEXT", conflicts_with = "number")]
        reason: Option<String>,
    },
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    let bus = place.connect_used().await?;
    let operator = Operator::new(bus.clone(), place.namespace.clone()).source(place.source());
    match args.act {
        Act::List { json, all, from } => {
            let (mut pages, mut is_empty) = (Pages { operator: &operator, next: from }, true);
            while let Some(letters) = pages.next().await? {
                for letter in letters.iter().filter(|letter| all || is_open(letter)) {
                    is_empty = false;
                    out.line(&if json {
                        json::text(&Facts::of(letter, None))
                    } else {
                        line(letter)
                    })?;
                }
            }
            if is_empty {
                note("there are no dead letters");
            }
        }
        Act::Show { number, json } => {
            let letter = find(&operator, number).await?;
            show(&letter, json, out)?;
        }
        Act::Redrive { number: Some(number), .. } => {
            let letter = find(&operator, number).await?;
            operator.redrive(&letter).await?;
            redriven(&letter, out)?;
        }
        Act::Redrive { reason, .. } => {
            redrive_all(&operator, reason.as_deref(), out).await?;
        }
    }
    bus.close().await;
    Ok(())
}

/// The letters, page by page.
struct Pages<'a> {
    operator: &'a Operator,
    next: u64,
}

impl Pages<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Letter>>, CommandError> {
        let letters = self.operator.dead(self.next, PAGE).await?;
        let Some(last) = letters.last() else {
            return Ok(None);
        };
        self.next = last.number + 1;
        Ok(Some(letters))
    }
}

async fn find(operator: &Operator, number: u64) -> Result<Letter, CommandError> {
    let found = operator.dead(number, 1).await?.pop();
    found
        .filter(|letter| letter.number == number)
        .ok_or_else(|| {
            CommandError::NotFound(format!(
                "there is no dead letter {number}; `callboard dead list` shows those that are there"
            ))
        })
}

async fn redrive_all(
    operator: &Operator,
    reason: Option<&str>,
    out: &mut Out,
) -> Result<(), CommandError> {
    let wanted = |letter: &Letter| reason.is_none_or(|text| state(letter).1.contains(text));
    let (mut failed, mut is_empty) = (None, true);
    // What fails again meanwhile is a new letter, for another time.
    let mut last = 0;
    let mut pages = Pages { operator, next: 1 };
    while pages.next().await?.is_some() {
        last = pages.next - 1;
    }
    let mut pages = Pages { operator, next: 1 };
    while let Some(letters) = pages.next().await? {
        for letter in letters.iter().filter(|letter| letter.number <= last) {
            if !is_open(letter) || letter.state == LetterState::Redriven || !wanted(letter) {
                continue;
            }
            is_empty = false;
            match operator.redrive(letter).await {
                Ok(()) => redriven(letter, out)?,
                // What is no event is left where it is.
                Err(error @ OperatorError::NoEvent { .. }) => warn(&error.to_string()),
                Err(error) => {
                    warn(&error.to_string());
                    failed = Some(error);
                }
            }
        }
        if pages.next > last {
            break;
        }
    }
    if is_empty {
        note("there is no such dead letter");
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Whether something is left to do about a letter.
const fn is_open(letter: &Letter) -> bool {
    !matches!(letter.state, LetterState::Handled | LetterState::Resent)
}

fn redriven(letter: &Letter, out: &mut Out) -> Result<(), CommandError> {
    let (number, child) = (letter.number, word(&letter.child));
    let goes = if letter.stream.contains("_JOB_") {
        "is stored as a job of"
    } else {
        "goes to"
    };
    out.line(&format!("{number} {goes} {child} again"))?;
    Ok(())
}

fn line(letter: &Letter) -> String {
    let Letter { number, attempts, .. } = letter;
    let kind = if letter.kind.is_empty() {
        "!".to_owned()
    } else {
        word(&letter.kind)
    };
    let (state, reason) = state(letter);
    let state = match state {
        "dead" => String::new(),
        other => format!(" [{other}]"),
    };
    format!(
        "{number:>6} {} {:<20} {kind:<22} {:<10} {attempts} attempts{state}: {}",
        time(letter.stored.time),
        word(&letter.child),
        word(&key(letter)),
        plain(reason),
    )
}

fn state(letter: &Letter) -> (&'static str, &str) {
    match &letter.state {
        LetterState::Dead => ("dead", &letter.reason),
        LetterState::Redriven => ("redriven", &letter.reason),
        LetterState::Failed { reason } => ("failed again", reason),
        LetterState::Handled => ("handled", &letter.reason),
        LetterState::Resent => ("sent again", &letter.reason),
    }
}

fn key(letter: &Letter) -> String {
    let token = letter.subject.rsplit('.').next().unwrap_or_default();
    Key::from_token(token).map_or_else(|_| token.to_owned(), |key| key.decode())
}

/// Returns the payload of the event that the letter is about.
fn payload(letter: &Letter) -> Bytes {
    let stored = &letter.stored;
    let origin = Origin {
        stream: &letter.stream,
        sequence: letter.sequence,
        subject: &letter.subject,
        time: stored.time,
    };
    let events = batch::read(&stored.headers, origin, stored.payload.clone());
    let events = events.unwrap_or_default().into_iter();
    events
        .map(|event| event.payload)
        .nth(letter.index as usize)
        .unwrap_or_else(|| stored.payload.clone())
}

fn show(letter: &Letter, json: bool, out: &mut Out) -> Result<(), CommandError> {
    let data = Data::of(&payload(letter));
    if json {
        out.line(&json::text(&Facts::of(letter, Some(data))))?;
        return Ok(());
    }
    out.line(&line(letter))?;
    let (stream, sequence) = (plain(&letter.stream), letter.sequence);
    out.line(&format!("original {stream} {sequence}"))?;
    for (name, value) in letter.stored.headers.iter() {
        out.line(&format!("header   {}: {}", plain(name), plain(value)))?;
    }
    out.line(&format!("payload  {}", json::text(&data)))?;
    Ok(())
}

/// What `--json` says of a letter.
#[derive(Serialize)]
struct Facts<'a> {
    number: u64,
    child: &'a str,
    r#type: &'a str,
    key: String,
    stream: &'a str,
    sequence: u64,
    index: u32,
    reason: &'a str,
    attempts: u32,
    since: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

impl<'a> Facts<'a> {
    fn of(letter: &'a Letter, data: Option<Data>) -> Self {
        let (state, reason) = state(letter);
        Self {
            number: letter.number,
            child: &letter.child,
            r#type: &letter.kind,
            key: key(letter),
            stream: &letter.stream,
            sequence: letter.sequence,
            index: letter.index,
            reason,
            attempts: letter.attempts,
            since: nanos(letter.stored.time),
            state,
            data,
        }
    }
}
