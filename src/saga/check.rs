use super::{Saga, SagaError, Steps, book::Book, journal::Journals, plan::Over, trip::Trip};
use crate::{actor::guarded, call::Client, message::Key};
use std::{cell::Cell, collections::BTreeMap, rc::Rc, sync::Arc};
use tokio::{sync::watch, time::Instant};

/// A live saga that could not go on with the code at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misfit {
    /// The saga's id.
    pub id: String,
    /// Why it would be parked.
    pub reason: String,
}

impl<I, T> Saga<I, T> {
    /// Runs the code over the journals of all live sagas as far as they came, and
    /// returns those that could not go on with it.
    ///
    /// No step is taken and nothing is written: it is for before a deployment.
    /// What turns back already is left out, for that needs no code. A command
    /// line that has the program's sagas calls this for each.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError`] if the journals cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn check(&self, client: &Client) -> Result<Vec<Misfit>, SagaError> {
        let stream = client.namespace().saga_stream(self.plan.name);
        if !client.bus().has_stream(&stream).await? {
            return Ok(Vec::new());
        }
        let journals = Journals::open(client, self.plan.name).await?;
        let mut books: BTreeMap<String, Book> = BTreeMap::new();
        journals
            .each(|token, stored, page| {
                let book = books.entry(token.to_owned()).or_default();
                book.turn(page.moves, stored.sequence);
                if book.ending.is_some() {
                    books.remove(token);
                }
            })
            .await?;
        let mut misfits = Vec::new();
        for (token, book) in books {
            let Ok(id) = Key::from_token(&token) else {
                continue;
            };
            if book.aborted.is_none()
                && let Some(reason) = self.misfit(&journals, id.clone(), book).await
            {
                misfits.push(Misfit { id: id.decode(), reason });
            }
        }
        Ok(misfits)
    }

    /// Says why one saga could not go on.
    async fn misfit(&self, journals: &Journals, id: Key, book: Book) -> Option<String> {
        let (plan, journals) = (Arc::new(self.plan.clone()), journals.clone());
        let lease = Rc::new(Cell::new(Instant::now()));
        let pokes = watch::Sender::new(0);
        let trip = Rc::new(Trip::new((plan, journals), id, book, lease, pokes).dry());
        let code = (self.plan.run)(Steps(Rc::clone(&trip)), trip.input());
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
}
