//! One visit of a runner to one saga: as far as it comes now.

use super::{
    Abort, Steps,
    book::Book,
    journal::Journals,
    page::{Begin, Ending, Move, Told},
    plan::{Over, Plan},
    trip::{Stop, Trip},
    undoing,
};
use crate::{
    actor::guarded,
    error::Verdict,
    message::Key,
    telemetry::{SAGA_ORPHANS_TOTAL, SAGA_SPAN, SAGAS_RESUMED_TOTAL},
};
use bytes::Bytes;
use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};
use tracing::Instrument;

/// After how long a saga is visited again when the bus was in trouble.
const LATER: Duration = Duration::from_secs(1);

/// A visit about to begin.
pub(super) struct Visit {
    pub(super) plan: Arc<Plan>,
    pub(super) journals: Journals,
    pub(super) id: Key,
    pub(super) begin: Option<Begin>,
    /// Whether it is likely that nobody visited it before.
    pub(super) is_first: bool,
    pub(super) lease: Rc<Cell<Instant>>,
    pub(super) pokes: watch::Sender<u64>,
}

/// What became of the saga, and so of what asked it to go on.
#[derive(Debug)]
pub(super) enum Leave {
    /// It ended now; nothing is left to do.
    Ended(Ending),
    /// A person must look at it.
    Parked(String),
    /// It was over, or parked, or never began.
    Nothing,
    /// Nothing is to be done before this time, as far as so many pokes tell, and its
    /// journal up to this sequence.
    Away(u64, u64, u64),
    /// This program cannot read its journal: why.
    Unreadable(String),
    /// It must be visited again.
    Later(Duration),
    /// Somebody else visits it.
    Lost,
}

impl Visit {
    pub(super) async fn make(self) -> Leave {
        let saga = self.plan.name;
        let book = if self.is_first {
            // If it did begin, the first write finds out.
            Book::default()
        } else {
            match self.journals.load(&self.id).await {
                Ok(book) => book,
                // That passes with the program, not with time.
                Err(failure) if failure.verdict() == Verdict::Discard => {
                    return Leave::Unreadable(failure.to_string());
                }
                Err(failure) => {
                    tracing::warn!(saga, id = %self.id, %failure, "a journal could not be read");
                    return Leave::Later(LATER);
                }
            }
        };
        if book.ending.is_some() || (book.begin.is_none() && self.begin.is_none()) {
            metrics::counter!(SAGA_ORPHANS_TOTAL, "saga" => saga).increment(1);
            return Leave::Nothing;
        }
        if book.parked.is_some() {
            return Leave::Nothing;
        }
        let is_first = self.is_first;
        let trip = self.trip(book);
        trip.note_retrying(false);
        let span = span(&trip);
        let work = async {
            let ended = proceed(&trip).await;
            leave(&trip, ended).await
        };
        match work.instrument(span).await {
            Leave::Lost if is_first && trip.book.borrow().last == 0 && trip.is_ours() => {
                Leave::Later(Duration::ZERO)
            }
            left => left,
        }
    }

    fn trip(self, mut book: Book) -> Rc<Trip> {
        let Self { plan, journals, id, begin, lease, pokes, .. } = self;
        let saga = plan.name;
        let now = journals.client.clock().unix_ms();
        let limit = plan.deadline.map(|limit| u64::try_from(limit.as_millis()));
        let until = limit.map(|limit| now.saturating_add(limit.unwrap_or(u64::MAX)));
        let begin = begin.filter(|_| book.begin.is_none()).map(|begin| Begin {
            until,
            branches: true,
            ..begin
        });
        // First, for all that it calls belongs to the story of what started it.
        book.begin = begin.clone().or(book.begin);
        let trip = Trip::new((plan, journals), id, book, lease, pokes);
        match begin {
            Some(begin) => trip.push(Move::Started(begin)),
            None => metrics::counter!(SAGAS_RESUMED_TOTAL, "saga" => saga).increment(1),
        }
        Rc::new(trip)
    }
}

/// Returns the span of this run; it names the trace of what started the saga.
fn span(trip: &Trip) -> tracing::Span {
    let trace = trip.cause.trace.as_ref();
    tracing::info_span!(
        SAGA_SPAN,
        saga = trip.plan.name,
        id = %trip.id,
        correlation = %trip.cause.correlation,
        trace = trace.map(|trace| &*trace.parent),
    )
}

/// Goes forward as far as that goes, then back if it must.
async fn proceed(trip: &Rc<Trip>) -> Result<Ending, Stop> {
    if trip.book.borrow().aborted.is_none() {
        let abort = match forward(trip).await {
            Ok(reply) => match complete(trip, reply).await? {
                Ok(ending) => return Ok(ending),
                Err(abort) => abort,
            },
            Err(Stop::Aborted(abort)) => trip.closing().unwrap_or(abort),
            Err(stop) => return Err(stop),
        };
        if let Some(ending) = turn_back(trip, abort).await? {
            return Ok(ending);
        }
    }
    undoing::undo(trip).await
}

/// Stores that all was done, unless it was called off in between: then that counts.
async fn complete(trip: &Trip, reply: Bytes) -> Result<Result<Ending, Abort>, Stop> {
    trip.look_at_deadline();
    if let Some(abort) = trip.closing() {
        return Ok(Err(abort));
    }
    let ending = Ending::Completed { reply };
    trip.store(vec![Move::Ended(ending.clone())]).await?;
    match trip.closing() {
        Some(abort) if trip.book.borrow().ending.is_none() => Ok(Err(abort)),
        _ => Ok(Ok(ending)),
    }
}

/// Runs the saga's code until it ends or can go no further now.
async fn forward(trip: &Rc<Trip>) -> Result<Bytes, Stop> {
    let called_off = trip.book.borrow().called_off();
    if let Some(abort) = called_off {
        trip.close(abort.clone());
        if trip.preview().hanging().next().is_none() {
            return Err(Stop::Aborted(abort));
        }
    }
    let ended = {
        let input = trip.input();
        let code = (trip.plan.run)(Steps(Rc::clone(trip)), input);
        tokio::select! {
            biased;
            ended = guarded(code) => ended,
            stop = trip.keep() => return Err(stop),
        }
    };
    if let Some(step) = given_up(&trip.preview(), matches!(ended, Ok(Ok(_)))) {
        return Err(Stop::Parked(format!(
            "its code gave up on `{step}` before its outcome was known; steps side by side go \
             through `Steps::all` or `Steps::join`"
        )));
    }
    if let Some(reason) = trip.passed_over().await {
        return Err(Stop::Parked(reason));
    }
    match ended {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(Over::Aborted(abort))) => Err(Stop::Aborted(abort)),
        Ok(Err(Over::Unreadable(reason))) => Err(Stop::Parked(reason)),
        Err(panic) => Err(Stop::Parked(format!("its code cannot go on: {panic}"))),
    }
}

/// Returns a step whose outcome nobody asks for any more: one that is undone whatever
/// it is only counts if the code ended well.
fn given_up(book: &Book, has_ended_well: bool) -> Option<String> {
    let step = if has_ended_well {
        book.unsettled().next()
    } else {
        book.hanging().next()
    };
    step.map(|step| step.name.clone())
}

/// Stores that all is to be undone; if there is nothing to undo, that is the end.
async fn turn_back(trip: &Rc<Trip>, abort: Abort) -> Result<Option<Ending>, Stop> {
    let forced = trip.book.borrow().told == Some(Told::Compensate);
    if trip.has_pivoted() && !forced {
        return Err(Stop::Parked(format!(
            "there is no way back, and it goes no further: {abort}"
        )));
    }
    trip.forget_intents();
    let last = match &trip.plan.last_word {
        Some(word) => match guarded(async { word(&trip.input(), &abort) }).await {
            Ok(Ok(order)) => Some(order),
            Ok(Err(reason)) => return Err(Stop::Parked(reason)),
            Err(panic) => {
                let reason = format!("what it says at last cannot be made: {panic}");
                return Err(Stop::Parked(reason));
            }
        },
        None => None,
    };
    let is_over = last.is_none() && trip.preview().owed().is_empty();
    let mut moves = vec![Move::Aborted { abort: abort.clone(), last }];
    let ending = Ending::Compensated { abort };
    if is_over {
        moves.push(Move::Ended(ending.clone()));
    }
    trip.store(moves).await?;
    Ok(is_over.then_some(ending))
}

/// Stores what a visit came to, as far as it must be.
async fn leave(trip: &Trip, ended: Result<Ending, Stop>) -> Leave {
    let (saga, id) = (trip.plan.name, &trip.id);
    let stop = match ended {
        Ok(ending) => return Leave::Ended(ending),
        Err(stop) => stop,
    };
    trip.forget_intents();
    let stored = match &stop {
        Stop::Parked(reason) => {
            trip.store(vec![Move::Parked { reason: reason.clone() }])
                .await
        }
        Stop::Away(..) => trip.store(Vec::new()).await,
        Stop::Lost => {
            undoing::take_back(trip).await;
            Ok(())
        }
        _ => Ok(()),
    };
    if matches!(stored, Err(Stop::Lost)) {
        undoing::take_back(trip).await;
    }
    match (stored, stop) {
        (Err(Stop::Later(reason)), _) | (Ok(()), Stop::Later(reason)) => {
            tracing::warn!(saga, %id, reason, "a saga waits for the bus");
            Leave::Later(LATER)
        }
        (Ok(()), Stop::Parked(reason)) => Leave::Parked(reason),
        (Ok(()), Stop::Away(until, pokes)) => {
            let book = trip.book.borrow();
            trip.note_retrying(book.is_troubled());
            Leave::Away(until, pokes, book.last)
        }
        (Err(_), _) | (Ok(()), Stop::Lost | Stop::Crashed | Stop::Aborted(_)) => Leave::Lost,
    }
}
