//! Jobs that wait, and timers.

use super::{
    error::CommandError,
    input, json,
    line::{nanos, time, word},
    out::{Out, note, plain},
    parked::Data,
    place::Place,
    target::{id, kind, wait},
};
use crate::{
    bus::Bus,
    call::{JobState, NewJob, Operator, WaitingJob},
    message::{Id, Subject, is_name, timestamp},
    time::Clock,
};
use clap::{Args as Options, Subcommand};
use serde::Serialize;
use std::time::{Duration, SystemTime};

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists the timers and the jobs of a domain that are not over.
    List {
        /// The domain, such as `payments`.
        #[arg(value_parser = domain)]
        domain: String,
        /// Writes one JSON object per job and line.
        #[arg(long)]
        json: bool,
        /// Lists so many at most.
        #[arg(long, value_name = "N", default_value_t = 200)]
        limit: usize,
    },
    /// Takes back a timer that waits under a name.
    Cancel {
        /// The command, such as `payments.charge`.
        #[arg(value_parser = kind)]
        command: Subject,
        /// Its key; left out for a command without one.
        #[arg(long, default_value = "")]
        key: String,
        /// Its name, as `list` shows it: the id of one that was not named.
        #[arg(long)]
        name: String,
    },
    /// Sends a command as a job, now or at a time.
    Send {
        /// The command, such as `payments.charge`.
        #[arg(value_parser = kind)]
        command: Subject,
        /// The payload: JSON, `-` for standard input, or `@file`.
        #[arg(allow_negative_numbers = true)]
        json: String,
        /// The command's key; left out for a command without one.
        #[arg(long, default_value = "")]
        key: String,
        /// Waits so long, such as `90s` or `2h`.
        #[arg(long = "in", value_name = "TIME", value_parser = wait, conflicts_with = "at")]
        after: Option<Duration>,
        /// Waits for a time, such as `2027-01-31T08:00:00Z`.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<SystemTime>,
        /// Names it: it replaces what waits under this name.
        #[arg(long)]
        name: Option<String>,
        /// Its id; a new one if it is left out.
        #[arg(long, value_parser = id)]
        id: Option<Id>,
    },
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    // What is wrong with the payload is said before anybody is asked.
    let payload = match &args.act {
        Act::Send { json, .. } => input::payload(json)?,
        _ => bytes::Bytes::new(),
    };
    let bus = connect(place, &args.act).await?;
    let operator = Operator::new(bus.clone(), place.namespace.clone()).source(place.source());
    match args.act {
        Act::List { domain, json, limit } => list(&operator, &domain, (json, limit), out).await?,
        Act::Cancel { command, key, name } => {
            if !operator.cancel_job(command, &key, &name).await? {
                return Err(CommandError::NotFound(format!(
                    "no timer of {command} waits under that key and name; `callboard jobs list {}` shows those that do",
                    command.domain()
                )));
            }
            out.line(&format!(
                "{command} {} {} is cancelled",
                word(&key),
                word(&name)
            ))?;
        }
        Act::Send { command, key, after, at, name, id, .. } => {
            let mut job = NewJob::new(command, payload).key(key);
            if let Some(due) = at.or_else(|| after.map(|after| Clock::system().now() + after)) {
                job = job.at(due);
            }
            if let Some(name) = name {
                job = job.named(name);
            }
            if let Some(id) = id {
                job = job.id(id);
            }
            let sent = operator.send_job(job).await?;
            let again = if sent.duplicate {
                " duplicate: a job of this id was there"
            } else {
                ""
            };
            out.line(&format!(
                "{} due {}{again}",
                plain(&sent.id.to_string()),
                nanos(sent.due)
            ))?;
        }
    }
    bus.close().await;
    Ok(())
}

/// Connects; all but a list say themselves which stream is not there.
async fn connect(place: &Place, act: &Act) -> Result<Bus, CommandError> {
    match act {
        Act::List { .. } => place.connect_used().await,
        _ => Ok(place.connect().await?),
    }
}

async fn list(
    operator: &Operator,
    domain: &str,
    (json, limit): (bool, usize),
    out: &mut Out,
) -> Result<(), CommandError> {
    let found = operator.jobs(domain, limit).await?;
    for job in &found.jobs {
        out.line(&if json {
            json::text(&Facts::of(job))
        } else {
            line(job)
        })?;
    }
    if found.jobs.is_empty() {
        note(&format!("no job and no timer of `{domain}` waits"));
    }
    if found.more {
        note(&format!(
            "there are more than {limit}; `--limit` shows more"
        ));
    }
    let delivered = |job: &&WaitingJob| job.state == JobState::Delivered;
    let delivered = found.jobs.iter().filter(delivered).count();
    if delivered > found.outstanding {
        note(&format!(
            "of those that are delivered, {} are not done yet; only their nodes know which",
            found.outstanding
        ));
    }
    Ok(())
}

fn line(job: &WaitingJob) -> String {
    let when = time(job.due.unwrap_or(job.stored.time));
    let when = match (job.state, job.due) {
        (JobState::Timer, _) => format!("due {when}"),
        (_, Some(_)) => format!("due since {when}"),
        (_, None) => format!("sent {when}"),
    };
    let name = job
        .name
        .as_deref()
        .map_or_else(String::new, |name| format!(" {}", word(name)));
    let repeats = job.repeats.as_deref();
    let repeats = repeats.map_or_else(String::new, |pattern| {
        format!(" repeats {}", plain(pattern))
    });
    format!(
        "{:<9} {when} {:<22} {:<10}{name}{repeats}",
        job.state.as_str(),
        word(&job.command),
        word(&job.key),
    )
}

/// What `--json` says of a job.
#[derive(Serialize)]
struct Facts<'a> {
    state: &'static str,
    command: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<&'a str>,
    sequence: u64,
    stored: String,
    data: Data,
}

impl<'a> Facts<'a> {
    fn of(job: &'a WaitingJob) -> Self {
        Self {
            state: job.state.as_str(),
            command: &job.command,
            key: &job.key,
            name: job.name.as_deref(),
            id: &job.id,
            due: job.due.map(nanos),
            repeats: job.repeats.as_deref(),
            sequence: job.stored.sequence,
            stored: nanos(job.stored.time),
            data: Data::of(&job.stored.payload),
        }
    }
}

fn domain(text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err("a domain is one lowercase token of `a-z 0-9 - _`, as in `payments`".into())
}

fn moment(text: &str) -> Result<SystemTime, String> {
    timestamp::read(text).ok_or_else(|| "write it as `2027-01-31T08:00:00Z`".into())
}
