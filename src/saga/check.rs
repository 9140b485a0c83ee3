use super::{
    SagaError, Steps,
    book::Book,
    journal::Journals,
    plan::{Over, Plan},
    trip::Trip,
};
use crate::{actor::guarded, call::Client, error::BoxError, message::Key};
use std::{cell::Cell, collections::BTreeMap, rc::Rc, sync::Arc};
use tokio::{sync::watch, time::Instant};

/// Runs the code over the journals of all live sagas as far as they came, and
/// returns those that could not go on with it, and why.
///
/// No step is taken and nothing is written. What turns back already is left
/// out, for that needs no code.
pub(super) async fn strays(
    plan: Arc<Plan>,
    client: Client,
) -> Result<Vec<(String, String)>, BoxError> {
    let stream = client.namespace().saga_stream(plan.name);
    if !client.bus().has_stream(&stream).await? {
        return Ok(Vec::new());
    }
    let journals = Journals::open(&client, plan.name).await?;
    let mut strays = Vec::new();
    let Live { books, unreadable } = live(&journals).await?;
    let unreadable = unreadable
        .into_iter()
        .filter_map(|(token, reason)| Some((Key::from_token(&token).ok()?.decode(), reason)));
    strays.extend(unreadable);
    for (token, book) in books {
        let Ok(id) = Key::from_token(&token) else {
            continue;
        };
        if let Some(reason) = misfit(&plan, &journals, id.clone(), book).await {
            strays.push((id.decode(), reason));
        }
    }
    Ok(strays)
}

/// The journals of those that go forward, and those that this program cannot read.
#[derive(Default)]
struct Live {
    books: BTreeMap<String, Book>,
    unreadable: BTreeMap<String, String>,
}

async fn live(journals: &Journals) -> Result<Live, SagaError> {
    let Live { mut books, mut unreadable } = Live::default();
    journals
        .each(|token, stored, page| {
            let page = match page {
                Ok(page) => page,
                Err(failure) => {
                    unreadable.insert(token.to_owned(), failure.to_string());
                    return;
                }
            };
            let book = books.entry(token.to_owned()).or_default();
            book.turn(page.moves, stored.sequence);
            if book.ending.is_some() {
                books.remove(token);
            }
        })
        .await?;
    books.retain(|token, book| book.aborted.is_none() && !unreadable.contains_key(token));
    Ok(Live { books, unreadable })
}

/// Says why one saga could not go on.
async fn misfit(plan: &Arc<Plan>, journals: &Journals, id: Key, book: Book) -> Option<String> {
    let lease = Rc::new(Cell::new(Instant::now()));
    let pokes = watch::Sender::new(0);
    let place = (Arc::clone(plan), journals.clone());
    let trip = Rc::new(Trip::new(place, id, book, lease, pokes).dry());
    let code = (plan.run)(Steps(Rc::clone(&trip)), trip.input());
    let ended = tokio::select! {
        biased;
        ended = guarded(code) => ended,
        misfit = trip.misfit() => return misfit,
    };
    match ended {
        Ok(Ok(_) | Err(Over::Aborted(_))) => trip.passed_over().await,
        Ok(Err(Over::Unreadable(reason))) => Some(reason),
        Err(panic) => Some(format!("its code cannot go on: {panic}")),
    }
}
