//! Waiting for sagas, with a deadline.

use crate::support::way::until_within;
use callboard::saga::{SagaFilter, SagaStatus, Sagas};
use std::time::Duration;

/// How long many sagas may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until so many sagas at least are as they should be.
pub(crate) async fn so_many(sagas: &Sagas, count: usize, is: impl Fn(&SagaStatus) -> bool) {
    until_within(PATIENCE, "end of the wait for sagas", async || {
        let list = sagas.list(&SagaFilter::all()).await;
        let list = list.map_err(|error| error.to_string())?.sagas;
        let found = list.iter().filter(|saga| is(saga)).count();
        if found >= count {
            return Ok(());
        }
        let other = list.iter().find(|saga| !is(saga));
        let why = other.map(|saga| format!("{}: {}", saga.id, saga.why()));
        Err(format!("{found} of {count}; {}", why.unwrap_or_default()))
    })
    .await;
}
