//! Undoing what was done: from the journal alone.

use super::{
    book::State,
    keeping::SHORT,
    page::{Ending, Move, Order},
    trip::{Stop, Trip},
};
use crate::{
    call::{Named, ask_named},
    message::{Request, Status},
    telemetry::{SAGA_ATTEMPTS_TOTAL, SAGA_UNDONE_TOTAL, UNDO_SPAN},
};
use tokio::time::sleep;
use tracing::Instrument;

/// Why what undoes a step was not done.
pub(super) enum Undone {
    /// The domain says no: trying again does not help.
    Refused(String),
    Trouble(String),
}

/// Undoes what was done, what was done last first.
///
/// That a step is undone is stored with the end, or before a wait: the ids of
/// what undoes are the same at every attempt.
pub(super) async fn undo(trip: &Trip) -> Result<Ending, Stop> {
    let (owed, abort) = {
        let book = trip.book.borrow();
        (book.owed(), book.aborted.clone())
    };
    for (step, order) in owed {
        let attempts = undo_one(trip, &step, &order).await?;
        trip.push(Move::Undone { step, attempts });
    }
    let abort = abort.ok_or_else(|| Stop::Parked("it was not aborted".to_owned()))?;
    let ending = Ending::Compensated { abort };
    trip.store(vec![Move::Ended(ending.clone())]).await?;
    Ok(ending)
}

/// Undoes one step; returns how many attempts that took, of all runners.
async fn undo_one(trip: &Trip, step: &str, order: &Order) -> Result<u32, Stop> {
    let (mut attempts, again) = trip.tried(step);
    pause(trip, again).await?;
    loop {
        if !trip.is_ours() {
            return Err(Stop::Lost);
        }
        attempts += 1;
        let undo = &order.subject;
        let (reason, wait) = match counted(trip, (step, attempts), order).await {
            Ok(()) => return Ok(attempts),
            Err(Undone::Refused(reason)) => (reason, None),
            Err(Undone::Trouble(reason)) => {
                let (limit, jitter) = (trip.plan.undo_retry, fastrand::f64());
                let unending = || Some(trip.plan.undoing().unending(attempts, jitter));
                let wait = limit.map_or_else(unending, |limit| limit.after(attempts, jitter));
                (reason, wait)
            }
        };
        let Some(wait) = wait else {
            return Err(Stop::Parked(format!(
                "`{undo}`, which undoes `{step}`, did not succeed in {attempts} attempts: {reason}"
            )));
        };
        let reason = format!("`{undo}`, which undoes it, does not succeed: {reason}");
        let again = trip.note_trouble(step, attempts, &reason, wait);
        trip.store(Vec::new()).await?;
        pause(trip, again).await?;
    }
}

/// Waits until a time in Unix milliseconds; if that is long, outside of memory.
async fn pause(trip: &Trip, until: u64) -> Result<(), Stop> {
    let left = trip.left(until);
    if left > SHORT {
        return Err(Stop::Away(until, *trip.pokes.borrow()));
    }
    sleep(left).await;
    Ok(())
}

/// Sends what undoes a step once, and counts what came of it.
async fn counted(trip: &Trip, (step, attempt): (&str, u32), order: &Order) -> Result<(), Undone> {
    let (saga, id) = (trip.plan.name, &trip.id);
    let span = tracing::info_span!(UNDO_SPAN, saga, %id, step, attempt);
    let outcome = ask(trip, (step, attempt), order).instrument(span).await;
    let label = match &outcome {
        Ok(()) => "done",
        Err(Undone::Refused(_)) => "refused",
        Err(Undone::Trouble(_)) => "trouble",
    };
    metrics::counter!(SAGA_ATTEMPTS_TOTAL, "saga" => saga, "kind" => "undo", "outcome" => label)
        .increment(1);
    if outcome.is_ok() {
        let undo = order.subject.clone();
        metrics::counter!(SAGA_UNDONE_TOTAL, "saga" => saga, "undo" => undo).increment(1);
    }
    outcome
}

/// Undoes what this run did, and another runner wrote down as refused.
///
/// Both asked the same step; the other's word stands in the journal, and nothing
/// in it says that there is something to undo.
pub(super) async fn take_back(trip: &Trip) {
    let done = done_in_vain(trip).await;
    for (step, order) in done {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let trouble = match counted(trip, (&step, attempts), &order).await {
                Ok(()) => break,
                Err(Undone::Refused(reason) | Undone::Trouble(reason)) => reason,
            };
            let Some(wait) = trip.plan.undoing().after(attempts, fastrand::f64()) else {
                let (saga, id, undo) = (trip.plan.name, &trip.id, &order.subject);
                tracing::error!(
                    saga,
                    %id,
                    step,
                    undo,
                    trouble,
                    "a step was done here and refused elsewhere, and is not undone: do it by hand"
                );
                break;
            };
            sleep(wait).await;
        }
    }
}

/// Returns the steps that this run did and the journal has as refused, and what
/// undoes them.
async fn done_in_vain(trip: &Trip) -> Vec<(String, Order)> {
    let book = trip.book.borrow().clone();
    let pending = trip.pending.borrow().clone();
    let done = pending.into_iter().filter_map(|noted| match noted {
        Move::Done { step, undo, .. } => {
            let undo = undo.or_else(|| book.step(&step)?.anyway.clone())?;
            Some((step, undo))
        }
        _ => None,
    });
    let done: Vec<_> = done.collect();
    if done.is_empty() {
        return done;
    }
    let (saga, id) = (trip.plan.name, &trip.id);
    let journal = match trip.journals.load(id).await {
        Ok(journal) => journal,
        Err(failure) => {
            tracing::warn!(saga, %id, %failure, "what was done in vain cannot be looked up");
            return Vec::new();
        }
    };
    let is_refused = |step: &str| {
        let entry = journal.step(step);
        entry.is_some_and(|entry| matches!(entry.state, State::Failed { .. }))
    };
    done.into_iter()
        .filter(|(step, _)| is_refused(step))
        .collect()
}

/// Sends what undoes a step, and reads what came of it.
pub(super) async fn ask(
    trip: &Trip,
    (step, attempt): (&str, u32),
    order: &Order,
) -> Result<(), Undone> {
    let client = trip.client();
    let within = trip.plan.timeout;
    let mut request = Request::new(trip.root.derived(step, 1));
    client.domain().clone_into(&mut request.caller);
    request.correlation = trip.cause.correlation.clone();
    request.causation = Some(trip.root.clone());
    request.attempt = attempt;
    request.trace.clone_from(&trip.cause.trace);
    request.deadline = Some(client.clock().now() + within);
    let headers = request
        .headers()
        .map_err(|error| Undone::Refused(error.to_string()))?;
    let Order { subject, key, payload } = order;
    let named = Named { subject, key, headers, payload: payload.clone() };
    let reply = ask_named(client, named, within).await;
    let reply = reply.map_err(|error| Undone::Trouble(error.to_string()))?;
    match Status::read(&reply.headers) {
        None => Ok(()),
        Some((Status::Rejected | Status::Malformed, reason)) => {
            Err(Undone::Refused(reason.to_owned()))
        }
        Some((_, reason)) => Err(Undone::Trouble(reason.to_owned())),
    }
}
