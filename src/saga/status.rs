//! A saga as people look at it.

use super::{
    Abort,
    book::{Book, LAST_WORD, State as StepState, Trouble},
    page::{Act, Ending, Move, Page},
};
use crate::{bus::Stored, time::from_unix_ms};
use std::{collections::HashMap, fmt, time::SystemTime};

/// What is known of one saga.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SagaStatus {
    /// The saga's id.
    pub id: String,
    /// How far it is.
    pub state: SagaState,
    /// When it began.
    pub began: SystemTime,
    /// When its journal was last written.
    pub changed: SystemTime,
    /// Until when it must be past its pivot, or over, if there is a limit.
    pub deadline: Option<SystemTime>,
    /// Whether it is past its deadline, and so turns back once it can.
    pub is_late: bool,
    /// Why it is called off, if the operator said so.
    pub called_off: Option<String>,
    /// Where there was no way back any more, if it came so far.
    pub pivot: Option<PivotStatus>,
    /// Its steps, in the order in which they were begun.
    pub steps: Vec<StepStatus>,
    /// How many messages its journal has.
    pub messages: usize,
    /// What stands in the way of what is said once all is undone.
    pub trouble: Option<StepTrouble>,
}

/// How far a saga is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SagaState {
    /// It goes forward.
    Running,
    /// It undoes what was done.
    Compensating(Abort),
    /// A person must look at it: why.
    Parked(String),
    /// All was done.
    Completed,
    /// All that was done is undone.
    Compensated(Abort),
}

/// How far a saga is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SagaPhase {
    /// It goes forward.
    Running,
    /// It undoes what was done.
    Compensating,
    /// A person must look at it.
    Parked,
    /// All was done.
    Completed,
    /// All that was done is undone.
    Compensated,
}

/// Where a saga passed its pivot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PivotStatus {
    /// The step that was begun last before it, if there was one.
    pub after: Option<String>,
    /// When that was written down.
    pub passed: SystemTime,
}

/// What is known of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepStatus {
    /// Its name.
    pub name: String,
    /// What it does: `call`, `send`, `publish`, `sleep` or `wait`.
    pub kind: &'static str,
    /// How far it is.
    pub state: &'static str,
    /// The command that undoes it, or did, if it has one.
    pub undo: Option<String>,
    /// How many attempts its outcome, or undoing it, took.
    pub attempts: u32,
    /// When it was written down that it may be taken.
    pub intended: SystemTime,
    /// When its outcome was written down.
    pub settled: Option<SystemTime>,
    /// What it waits for, or why it was not taken.
    pub note: Option<String>,
    /// What stands in its way, or in the way of undoing it.
    pub trouble: Option<StepTrouble>,
}

/// What stands in the way of a step that is tried again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepTrouble {
    /// How many attempts there were, of all runners.
    pub attempts: u32,
    /// What the last one came to.
    pub reason: String,
    /// When the next is made; nothing if at once.
    pub next: Option<SystemTime>,
}

impl StepTrouble {
    fn of(trouble: &Trouble) -> Self {
        let Trouble { attempts, reason, again } = trouble;
        let next = (*again > 0).then(|| from_unix_ms(*again));
        Self { attempts: *attempts, reason: reason.clone(), next }
    }
}

/// Writes it as a sentence.
impl fmt::Display for StepTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, reason, next } = self;
        write!(f, "{attempts} attempts, the last: {reason}; the next ")?;
        match next {
            Some(next) => write!(f, "at {}", humantime::format_rfc3339_seconds(*next)),
            None => f.write_str("is due"),
        }
    }
}

impl SagaStatus {
    /// Reads a journal as it is to be understood now; nothing if it is empty.
    pub(super) fn of(id: String, pages: &[(Stored, Page)], now: SystemTime) -> Option<Self> {
        let (first, last) = (pages.first()?, pages.last()?);
        let mut book = Book::default();
        let mut times: HashMap<&str, (SystemTime, Option<SystemTime>)> = HashMap::new();
        for (stored, page) in pages {
            book.turn(page.moves.clone(), stored.sequence);
            for step in &page.moves {
                note(&mut times, step, stored.time);
            }
        }
        let steps = book.steps.iter().map(|entry| {
            let (intended, settled) = times
                .get(&*entry.name)
                .copied()
                .unwrap_or((first.0.time, None));
            let (state, note) = shown(&entry.state, &entry.act);
            StepStatus {
                name: entry.name.clone(),
                kind: entry.act.kind(),
                state,
                undo: entry.undo().map(|undo| undo.subject.clone()),
                attempts: entry.attempts,
                intended,
                settled,
                note,
                trouble: entry.trouble.as_ref().map(StepTrouble::of),
            }
        });
        let begin = book.begin.as_ref();
        let state = SagaState::of(&book);
        let pivot = pivot(pages);
        let deadline = begin.and_then(|begin| begin.until).map(from_unix_ms);
        let goes_on = matches!(state, SagaState::Running | SagaState::Parked(_));
        let is_late = goes_on && pivot.is_none() && deadline.is_some_and(|at| at <= now);
        Some(Self {
            id,
            began: first.0.time,
            changed: last.0.time,
            deadline,
            is_late,
            called_off: book.called_off().map(|abort| abort.reason().to_owned()),
            pivot,
            state,
            steps: steps.collect(),
            messages: pages.len(),
            trouble: book.trouble_of(LAST_WORD).map(StepTrouble::of),
        })
    }

    /// Says what it waits for, and what stands in its way.
    pub fn why(&self) -> String {
        let why = self.waits_for();
        if !matches!(self.state, SagaState::Running | SagaState::Compensating(_)) {
            return why;
        }
        let of_step = |step: &StepStatus| {
            let trouble = step.trouble.as_ref()?;
            Some(format!("`{}`: {trouble}", step.name))
        };
        let troubles = self.steps.iter().filter_map(of_step);
        let last_word = self.trouble.iter().map(ToString::to_string);
        let all: Vec<_> = [why].into_iter().chain(troubles).chain(last_word).collect();
        all.join("; ")
    }

    fn waits_for(&self) -> String {
        match &self.state {
            SagaState::Completed => "it completed".to_owned(),
            SagaState::Compensated(abort) => format!("all was undone, because {abort}"),
            SagaState::Parked(reason) => format!("it waits for the operator: {reason}"),
            SagaState::Compensating(abort) => {
                let owed = self.steps.iter().rev();
                let owed = owed.filter(|step| step.state == "done" && step.undo.is_some());
                let names: Vec<_> = owed.map(|step| step.name.as_str()).collect();
                if names.is_empty() {
                    format!("all is undone, and that is still to be said, because {abort}")
                } else {
                    format!("it undoes {}, because {abort}", names.join(", "))
                }
            }
            SagaState::Running => match self.turns_back() {
                Some(why) => format!("{why}, so it turns back; first {}", self.waits()),
                None => self.waits(),
            },
        }
    }

    /// Says why it will turn back, if that is known.
    fn turns_back(&self) -> Option<String> {
        match (&self.called_off, self.deadline) {
            (Some(why), _) => Some(why.clone()),
            (None, Some(deadline)) if self.is_late => {
                let deadline = humantime::format_rfc3339_seconds(deadline);
                Some(format!("its deadline passed at {deadline}"))
            }
            _ => None,
        }
    }

    /// Says what the steps that are not settled wait for.
    fn waits(&self) -> String {
        let open = self.steps.iter().filter(|step| step.state == "intended");
        let open: Vec<_> = open
            .map(|step| match &step.note {
                Some(note) if step.kind == "wait" && note.contains(&step.name) => note.clone(),
                Some(note) if step.kind == "wait" => format!("{note} (`{}`)", step.name),
                Some(note) => format!("for `{}` {note}", step.name),
                None => format!("for the outcome of `{}`", step.name),
            })
            .collect();
        if open.is_empty() {
            "it waits for a runner".to_owned()
        } else {
            format!("it waits {}", open.join(" and "))
        }
    }
}

/// Finds where a journal says that there is no way back any more.
fn pivot(pages: &[(Stored, Page)]) -> Option<PivotStatus> {
    let mut after = None;
    for (stored, page) in pages {
        for step in &page.moves {
            match step {
                Move::Pivoted => {
                    return Some(PivotStatus { after, passed: stored.time });
                }
                Move::Intended { step, .. } => after = Some(step.clone()),
                _ => {}
            }
        }
    }
    None
}

impl SagaState {
    pub(super) fn of(book: &Book) -> Self {
        match (&book.ending, &book.parked, &book.aborted) {
            (Some(Ending::Completed { .. }), ..) => Self::Completed,
            (Some(Ending::Compensated { abort }), ..) => Self::Compensated(abort.clone()),
            (None, Some(reason), _) => Self::Parked(reason.clone()),
            (None, None, Some(abort)) => Self::Compensating(abort.clone()),
            (None, None, None) => Self::Running,
        }
    }

    /// Whether nothing more will happen by itself.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Completed | Self::Compensated(_))
    }

    /// Returns it without its reason.
    pub const fn phase(&self) -> SagaPhase {
        match self {
            Self::Running => SagaPhase::Running,
            Self::Compensating(_) => SagaPhase::Compensating,
            Self::Parked(_) => SagaPhase::Parked,
            Self::Completed => SagaPhase::Completed,
            Self::Compensated(_) => SagaPhase::Compensated,
        }
    }
}

/// Writes it as one word.
impl fmt::Display for SagaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.phase().fmt(f)
    }
}

impl SagaPhase {
    /// All there are, in the order in which a saga may come to them.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Compensating,
        Self::Parked,
        Self::Completed,
        Self::Compensated,
    ];
}

impl fmt::Display for SagaPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Parked => "parked",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
        })
    }
}

fn note<'a>(
    times: &mut HashMap<&'a str, (SystemTime, Option<SystemTime>)>,
    step: &'a Move,
    time: SystemTime,
) {
    match step {
        Move::Intended { step, .. } => {
            times.insert(step, (time, None));
        }
        Move::Done { step, .. } | Move::Failed { step, .. } | Move::Undone { step, .. } => {
            if let Some((_, settled)) = times.get_mut(&**step) {
                *settled = Some(time);
            }
        }
        _ => {}
    }
}

fn shown(state: &StepState, act: &Act) -> (&'static str, Option<String>) {
    match state {
        StepState::Intended => ("intended", waits_for(act)),
        StepState::Settled { .. } => (
            "intended",
            Some("it was done, the operator says".to_owned()),
        ),
        StepState::Done { .. } => ("done", None),
        StepState::Failed { reason, .. } => ("failed", Some(reason.clone())),
        StepState::Undone { .. } => ("undone", None),
    }
}

fn waits_for(act: &Act) -> Option<String> {
    let time = |until: u64| humantime::format_rfc3339_seconds(from_unix_ms(until));
    match act {
        Act::Sleep { until } => Some(format!("until {}", time(*until))),
        Act::Wait { subject, key, until } => {
            Some(format!("for {subject} of `{key}` until {}", time(*until)))
        }
        _ => None,
    }
}
