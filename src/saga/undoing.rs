//! Undoing what was done: from the journal alone.

use super::{
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
enum Undone {
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

/// Undoes one step; returns how many attempts that took.
async fn undo_one(trip: &Trip, step: &str, order: &Order) -> Result<u32, Stop> {
    let mut attempts = 0;
    loop {
        if !trip.is_ours() {
            return Err(Stop::Lost);
        }
        attempts += 1;
        let (saga, id) = (trip.plan.name, &trip.id);
        let span = tracing::info_span!(UNDO_SPAN, saga, %id, step, attempt = attempts);
        let outcome = ask(trip, (step, attempts), order).instrument(span).await;
        let label = match &outcome {
            Ok(()) => "done",
            Err(Undone::Refused(_)) => "refused",
            Err(Undone::Trouble(_)) => "trouble",
        };
        metrics::counter!(SAGA_ATTEMPTS_TOTAL, "saga" => saga, "kind" => "undo", "outcome" => label)
            .increment(1);
        let (undo, reason, wait) = match outcome {
            Ok(()) => {
                let undo = order.subject.clone();
                metrics::counter!(SAGA_UNDONE_TOTAL, "saga" => saga, "undo" => undo).increment(1);
                return Ok(attempts);
            }
            Err(Undone::Refused(reason)) => (&order.subject, reason, None),
            Err(Undone::Trouble(reason)) => {
                let wait = trip.plan.undo_retry.after(attempts, fastrand::f64());
                (&order.subject, reason, wait)
            }
        };
        let Some(wait) = wait else {
            return Err(Stop::Parked(format!(
                "`{undo}`, which undoes `{step}`, did not succeed in {attempts} attempts: {reason}"
            )));
        };
        trip.store(Vec::new()).await?;
        sleep(wait).await;
    }
}

/// Sends what undoes a step, and reads what came of it.
async fn ask(trip: &Trip, (step, attempt): (&str, u32), order: &Order) -> Result<(), Undone> {
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
