//! Sagas as people look at them, and what people tell them.

use super::{
    error::CommandError,
    json,
    line::{nanos, time, word},
    out::{Out, plain, warn},
    place::Place,
};
use crate::{
    call::Client,
    saga::{SagaFilter, SagaPhase, SagaState, SagaStatus, Sagas, StepStatus},
};
use clap::{Args as Options, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::Value;

/// Why there is no check here.
const CHECK: &str = "live sagas are checked against the code of a program, and this command has none; \
    run the check of the program that has it, as in `shop check` (in code: `Node::check`)";

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists sagas that are not over, the oldest first.
    List {
        /// The saga's name, such as `checkout`; all without it.
        saga: Option<String>,
        /// Lists those that are over too.
        #[arg(long, conflicts_with = "state")]
        all: bool,
        /// Lists those in this state only; several may be named.
        #[arg(long, value_enum)]
        state: Vec<Phase>,
        /// Lists so many of each name at most: those that began last.
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
        /// Writes one JSON object per saga and line.
        #[arg(long)]
        json: bool,
    },
    /// Shows a saga's steps: times, attempts, what undoes them, how far they are.
    Show {
        #[command(flatten)]
        which: Which,
        /// Writes one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Says what a saga waits for.
    Why {
        #[command(flatten)]
        which: Which,
        /// Writes one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Lets a parked saga go on where it stood, or all parked ones.
    ///
    /// It ends with exit code 1 if one of them could not be told; doing it again is
    /// harmless.
    Retry {
        /// The saga's name, such as `checkout`; with `--all` all without it.
        #[arg(required_unless_present = "all")]
        saga: Option<String>,
        /// Its id, such as `o-1`.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Lets all parked ones go on.
        #[arg(long)]
        all: bool,
        /// Only those whose reason contains this text.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Undoes what was done, if there is still a way back.
    Cancel {
        #[command(flatten)]
        which: Which,
    },
    /// Undoes what was done, also past the saga's pivot.
    Compensate {
        #[command(flatten)]
        which: Which,
    },
    /// Says what came of a step whose outcome is not known.
    ///
    /// The saga goes on with that as if the callee had said so. Of a saga that turns
    /// back, `not-done` says that nothing is left to undo of the step.
    Settle(Settlement),
    /// Says how live sagas are checked against a new program.
    Check,
}

/// What came of a step.
#[derive(Debug, Options)]
struct Settlement {
    #[command(flatten)]
    which: Which,
    /// The step's name, as `callboard saga show` tells it.
    step: String,
    /// What came of it.
    #[arg(value_enum)]
    outcome: Settled,
    /// The reply that it had, in JSON; none without it.
    #[arg(long, value_parser = parsed)]
    reply: Option<Value>,
    /// How that is known; it is kept in the saga's journal.
    #[arg(long)]
    reason: String,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Settled {
    Done,
    NotDone,
}

fn parsed(reply: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(reply)
}

/// How far a saga is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Phase {
    Running,
    Compensating,
    Parked,
    Completed,
    Compensated,
}

impl From<Phase> for SagaPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Running => Self::Running,
            Phase::Compensating => Self::Compensating,
            Phase::Parked => Self::Parked,
            Phase::Completed => Self::Completed,
            Phase::Compensated => Self::Compensated,
        }
    }
}

/// Which saga.
#[derive(Debug, Options)]
struct Which {
    /// The saga's name, such as `checkout`.
    saga: String,
    /// Its id, such as `o-1`.
    id: String,
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    if matches!(args.act, Act::Check) {
        return Err(CommandError::Usage(CHECK));
    }
    let bus = place.connect_used().await?;
    let client = Client::new(bus.clone(), place.namespace.clone());
    let said = act(&client, args.act, out).await;
    bus.close().await;
    said
}

async fn act(client: &Client, act: Act, out: &mut Out) -> Result<(), CommandError> {
    let (which, done) = match act {
        Act::List { saga, all, state, limit, json } => {
            let filter = match (all, state.is_empty()) {
                (true, _) => SagaFilter::all(),
                (false, true) => SagaFilter::live(),
                (false, false) => SagaFilter::all().phases(state.into_iter().map(SagaPhase::from)),
            };
            return list(client, saga, (filter.limit(limit), json), out).await;
        }
        Act::Show { which, json } => {
            let status = find(client, &which).await?.status(&which.id).await?;
            return show(&which.saga, &status, json, out);
        }
        Act::Why { which, json } => {
            let status = find(client, &which).await?.status(&which.id).await?;
            return Ok(out.line(&if json {
                json::text(&Reason::of(&which.saga, &status))
            } else {
                plain(&status.why())
            })?);
        }
        Act::Retry { reason: Some(_), all: false, .. } => {
            return Err(CommandError::Usage("`--reason` goes with `--all`"));
        }
        Act::Retry { saga: Some(saga), id: Some(id), .. } => {
            let which = Which { saga, id };
            find(client, &which).await?.retry(&which.id).await?;
            (which, "goes on")
        }
        Act::Retry { saga, reason, .. } => return retry_all(client, saga, reason, out).await,
        Act::Cancel { which } => {
            let sagas = find(client, &which).await?;
            sagas.cancel(&which.id).await?;
            return called_off(&sagas, which, out).await;
        }
        Act::Settle(settlement) => return settle(client, settlement, out).await,
        Act::Check => return Err(CommandError::Usage(CHECK)),
        Act::Compensate { which } => {
            let sagas = find(client, &which).await?;
            sagas.compensate(&which.id).await?;
            return called_off(&sagas, which, out).await;
        }
    };
    let (saga, id) = (word(&which.saga), word(&which.id));
    Ok(out.line(&format!("{saga} {id} {done}"))?)
}

async fn settle(
    client: &Client,
    settlement: Settlement,
    out: &mut Out,
) -> Result<(), CommandError> {
    let Settlement { which, step, outcome, reply, reason } = settlement;
    let (saga, id) = (word(&which.saga), word(&which.id));
    if outcome == Settled::NotDone && reply.is_some() {
        return Err(CommandError::Usage("what was not done has no reply"));
    }
    let sagas = find(client, &which).await?;
    let said = match outcome {
        Settled::Done => {
            let reply = reply.unwrap_or_default();
            sagas.settle_done(&which.id, &step, &reply, &reason).await?;
            "done"
        }
        Settled::NotDone => {
            sagas.settle_not_done(&which.id, &step, &reason).await?;
            "not done"
        }
    };
    let step = word(&step);
    Ok(out.line(&format!("{saga} {id} goes on: {step} counts as {said}"))?)
}

/// Says that a saga is called off, and what stands between it and its way back.
async fn called_off(sagas: &Sagas, which: Which, out: &mut Out) -> Result<(), CommandError> {
    let status = sagas.status(&which.id).await?;
    let (saga, id) = (word(&which.saga), word(&which.id));
    let why = plain(&status.why());
    Ok(out.line(&format!("{saga} {id} is called off: {why}"))?)
}

async fn find(client: &Client, which: &Which) -> Result<Sagas, CommandError> {
    let found = Sagas::find(client, &which.saga).await?;
    found.ok_or_else(|| no_saga(&which.saga))
}

fn no_saga(saga: &str) -> CommandError {
    CommandError::NotFound(format!(
        "no saga `{saga}` was ever run in this namespace; `callboard saga list` shows those that were"
    ))
}

/// Returns the names of the sagas that are meant.
async fn names(client: &Client, saga: Option<String>) -> Result<Vec<String>, CommandError> {
    match saga {
        Some(saga) => Ok(vec![saga]),
        None => Ok(Sagas::names(client).await?),
    }
}

async fn retry_all(
    client: &Client,
    saga: Option<String>,
    reason: Option<String>,
    out: &mut Out,
) -> Result<(), CommandError> {
    let (mut told, mut failed) = (0, 0);
    for name in names(client, saga).await? {
        let sagas = Sagas::find(client, &name).await?;
        let sagas = sagas.ok_or_else(|| no_saga(&name))?;
        let retried = sagas.retry_all(reason.as_deref()).await?;
        for (id, error) in &retried.failed {
            warn(&format!("`{name}` {id} stays parked: {error}"));
        }
        told += retried.told;
        failed += retried.failed.len();
        if retried.told + retried.left + retried.failed.len() > 0 {
            let (told, left) = (retried.told, retried.left + retried.failed.len());
            out.line(&format!("{} {told} go on, {left} stay parked", word(&name)))?;
        }
    }
    match (told, failed) {
        (_, 1..) => Err(CommandError::NotFound(format!(
            "{failed} could not be told to go on; do it again"
        ))),
        (0, 0) => {
            warn("no parked saga is so");
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn list(
    client: &Client,
    saga: Option<String>,
    (filter, json): (SagaFilter, bool),
    out: &mut Out,
) -> Result<(), CommandError> {
    let mut listed = 0;
    for name in names(client, saga).await? {
        let sagas = Sagas::find(client, &name).await?;
        let sagas = sagas.ok_or_else(|| no_saga(&name))?;
        let found = sagas.list(&filter).await?;
        let left_out = found.matched - found.sagas.len();
        if left_out > 0 {
            warn(&format!(
                "{left_out} older ones of `{name}` are left out; `--limit` lists more"
            ));
        }
        for (id, reason) in &found.unreadable {
            warn(&format!("`{name}` {id} cannot be read: {reason}"));
        }
        listed += found.sagas.len();
        for status in found.sagas {
            out.line(&if json {
                json::text(&Facts::of(&name, &status))
            } else {
                line(&name, &status)
            })?;
        }
    }
    if listed == 0 && !json {
        warn("there are none; `--all` lists those that are over too");
    }
    Ok(())
}

fn line(saga: &str, status: &SagaStatus) -> String {
    format!(
        "{} {:<12} {:<12} {:<12} {}",
        time(status.began),
        word(saga),
        word(&status.id),
        status.state,
        plain(&status.why()),
    )
}

fn show(saga: &str, status: &SagaStatus, json: bool, out: &mut Out) -> Result<(), CommandError> {
    if json {
        return Ok(out.line(&json::text(&Facts::of(saga, status)))?);
    }
    out.line(&line(saga, status))?;
    for step in &status.steps {
        out.line(&step_line(step))?;
    }
    if let Some(pivot) = &status.pivot {
        let after = pivot.after.as_ref();
        let after = after.map_or_else(String::new, |after| format!(", after {}", word(after)));
        out.line(&format!("{} pivot{after}", time(pivot.passed)))?;
    }
    if let Some(deadline) = status.deadline.filter(|_| !status.state.is_over()) {
        let passed = if status.is_late { ", passed" } else { "" };
        out.line(&format!("{} deadline{passed}", time(deadline)))?;
    }
    if let Some(why) = status
        .called_off
        .as_ref()
        .filter(|_| !status.state.is_over())
    {
        out.line(&format!("called off: {}", plain(why)))?;
    }
    if !matches!(status.state, SagaState::Running) {
        out.line(&format!("{} {}", time(status.changed), status.state))?;
    }
    Ok(())
}

fn step_line(step: &StepStatus) -> String {
    let StepStatus { name, kind, state, undo, attempts, note, trouble, .. } = step;
    let took = step.settled.map(|settled| {
        let took = settled.duration_since(step.intended).unwrap_or_default();
        format!(", {} ms", took.as_millis())
    });
    let tried = (*attempts > 1).then(|| format!(", {attempts} attempts"));
    let undo = undo
        .as_ref()
        .map(|undo| format!(", undone by {}", word(undo)));
    let note = note.as_ref().map(|note| format!(": {}", plain(note)));
    let trouble = trouble
        .as_ref()
        .map(|trouble| format!(": {}", plain(&trouble.to_string())));
    let more = [took, tried, undo, note, trouble].into_iter().flatten();
    let more: String = more.collect();
    format!(
        "{}   {state:<9} {kind:<8} {}{more}",
        time(step.intended),
        word(name)
    )
}

/// What `why --json` says of a saga.
#[derive(Serialize)]
struct Reason<'a> {
    saga: &'a str,
    id: &'a str,
    state: String,
    why: String,
}

impl<'a> Reason<'a> {
    fn of(saga: &'a str, status: &'a SagaStatus) -> Self {
        Self { saga, id: &status.id, state: status.state.to_string(), why: status.why() }
    }
}

/// What `--json` says of a saga.
#[derive(Serialize)]
struct Facts<'a> {
    saga: &'a str,
    id: &'a str,
    state: String,
    why: String,
    began: String,
    changed: String,
    deadline: Option<String>,
    is_late: bool,
    called_off: Option<&'a str>,
    pivot: Option<Pivot<'a>>,
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Pivot<'a> {
    after: Option<&'a str>,
    passed: String,
}

#[derive(Serialize)]
struct Step<'a> {
    name: &'a str,
    kind: &'static str,
    state: &'static str,
    attempts: u32,
    intended: String,
    settled: Option<String>,
    undo: Option<&'a str>,
    note: Option<&'a str>,
    trouble: Option<String>,
}

impl<'a> Facts<'a> {
    fn of(saga: &'a str, status: &'a SagaStatus) -> Self {
        let steps = status.steps.iter().map(|step| Step {
            name: &step.name,
            kind: step.kind,
            state: step.state,
            attempts: step.attempts,
            intended: nanos(step.intended),
            settled: step.settled.map(nanos),
            undo: step.undo.as_deref(),
            note: step.note.as_deref(),
            trouble: step.trouble.as_ref().map(ToString::to_string),
        });
        Self {
            saga,
            id: &status.id,
            state: status.state.to_string(),
            why: status.why(),
            began: nanos(status.began),
            changed: nanos(status.changed),
            deadline: status.deadline.map(nanos),
            is_late: status.is_late,
            called_off: status.called_off.as_deref(),
            pivot: status
                .pivot
                .as_ref()
                .map(|pivot| Pivot { after: pivot.after.as_deref(), passed: nanos(pivot.passed) }),
            steps: steps.collect(),
        }
    }
}
