use super::{
    Abort, SagaError, SagaFilter, SagaList, SagaPhase, SagaState, SagaStatus,
    book::Book,
    errand::Errands,
    journal::{Journals, Written},
    page::{Begin, Ending, Move, Told},
    roll::Roll,
};
use crate::{
    call::Client,
    message::{Id, Key, codec},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, time::Duration};
use tokio::time::{Instant, sleep};

/// The number of times an operator's word is written when others write in between.
const MAX_WRITE_ATTEMPTS: u32 = 10;

/// The longest that is waited for an outcome, so that its end is a time that clocks can say.
const MAX_WAIT: Duration = Duration::from_hours(365 * 24);

/// How long a waiting look waits before the next, at first and at most.
const GLANCES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// All sagas of one name: to start them, to look at them, to tell them what to do.
///
/// It works from anywhere on the bus; the sagas need not run in this process.
///
/// # Examples
///
/// ```no_run
/// # use callboard::{Client, saga::{SagaError, Sagas}};
/// # async fn look(client: &Client) -> Result<(), SagaError> {
/// let checkouts = Sagas::open(client, "checkout").await?;
/// checkouts.start("o-42", &("o-42", 2_500)).await?;
/// println!("{}", checkouts.status("o-42").await?.why());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sagas {
    journals: Journals,
    errands: Errands,
}

/// How a saga stands, as its starter asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SagaOutcome<T> {
    /// It goes on, or waits for a runner.
    Running,
    /// All was done.
    Completed(T),
    /// All that was done is undone.
    Compensated(Abort),
    /// A person must look at it: why.
    Parked(String),
}

/// What came of telling many sagas to go on.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Retried {
    /// How many go on.
    pub told: usize,
    /// How many stay parked, for their reason is another.
    pub left: usize,
    /// Those that could not be told, and why.
    pub failed: BTreeMap<String, SagaError>,
}

impl Sagas {
    /// Opens the sagas of a name, and makes their streams if they are not there.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError::Stream`] if the streams cannot be opened.
    pub async fn open(client: &Client, saga: &str) -> Result<Self, SagaError> {
        Ok(Self {
            journals: Journals::open(client, saga).await?,
            errands: Errands::open(client, saga).await?,
        })
    }

    /// Opens the sagas of a name if there were any, and makes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError::Stream`] if the streams cannot be opened.
    pub async fn find(client: &Client, saga: &str) -> Result<Option<Self>, SagaError> {
        let name = client.namespace().saga_stream(saga);
        if client.bus().has_stream(&name).await? {
            return Self::open(client, saga).await.map(Some);
        }
        Ok(None)
    }

    /// Returns the names of all sagas that were ever run.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError::Stream`] if the server does not answer.
    pub async fn names(client: &Client) -> Result<Vec<String>, SagaError> {
        let prefix = client.namespace().saga_stream("");
        let streams = client.bus().streams().await?.into_iter();
        let names =
            streams.filter_map(|stream| Some(stream.name.strip_prefix(&prefix)?.to_owned()));
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Starts a saga with what its code takes, unless it was started.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError`] if that could not be stored; starting it again
    /// under the same id is harmless.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not start it.
    pub async fn start<I: Serialize>(&self, id: &str, input: &I) -> Result<(), SagaError> {
        let begin = Begin {
            input: codec::encode(input)?,
            cause: None,
            correlation: None,
            trace: None,
            until: None,
            branches: false,
        };
        self.errands.start(&key(id)?, begin).await?;
        Ok(())
    }

    /// Returns how a saga stands; one that was not started is running, for it
    /// may wait for a runner.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError`] if its journal or its reply cannot be read.
    pub async fn outcome<T: DeserializeOwned>(
        &self,
        id: &str,
    ) -> Result<SagaOutcome<T>, SagaError> {
        let last = self.journals.last(&key(id)?).await?;
        Ok(match last.and_then(|page| page.moves.into_iter().last()) {
            Some(Move::Ended(Ending::Completed { reply })) => {
                SagaOutcome::Completed(codec::decode(&reply)?)
            }
            Some(Move::Ended(Ending::Compensated { abort })) => SagaOutcome::Compensated(abort),
            Some(Move::Parked { reason }) => SagaOutcome::Parked(reason),
            _ => SagaOutcome::Running,
        })
    }

    /// Waits until a saga ended or is parked, at most so long; it may be
    /// [`SagaOutcome::Running`] then.
    ///
    /// # Errors
    ///
    /// As [`outcome`](Self::outcome).
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn wait<T: DeserializeOwned>(
        &self,
        id: &str,
        within: Duration,
    ) -> Result<SagaOutcome<T>, SagaError> {
        let deadline = Instant::now() + within.min(MAX_WAIT);
        let (mut pause, most) = GLANCES;
        loop {
            let outcome = self.outcome(id).await?;
            let left = deadline.duration_since(Instant::now());
            if !matches!(outcome, SagaOutcome::Running) || left.is_zero() {
                return Ok(outcome);
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(most);
        }
    }

    /// Returns what is known of a saga, step by step.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError::NotFound`] if it never began.
    pub async fn status(&self, id: &str) -> Result<SagaStatus, SagaError> {
        let pages = self.journals.pages(&key(id)?).await?;
        let now = self.journals.client.clock().now();
        SagaStatus::of(id.to_owned(), &pages, now).ok_or_else(|| self.not_found(id))
    }

    /// Lists sagas that began, as the filter says.
    ///
    /// Journals are kept as long as their stream is, so it reads all of them: a
    /// second or two for a million messages. It holds in memory those that are
    /// not over and, of the others, no more than the filter's limit.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError`] if the stream cannot be read; a journal that cannot is
    /// [told](SagaList::unreadable) beside the others.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn list(&self, filter: &SagaFilter) -> Result<SagaList, SagaError> {
        let mut roll = Roll::new(filter, self.journals.client.clock().now());
        self.journals
            .each(|token, stored, page| roll.turn(token, stored, page))
            .await?;
        Ok(roll.end())
    }

    /// Lets a parked saga go on where it stood. One that is not parked is woken, which
    /// is harmless: should an earlier try have died half-way, this one completes it.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError`] if it is over, or that could not be stored.
    pub async fn retry(&self, id: &str) -> Result<(), SagaError> {
        self.tell(id, Told::Retry).await
    }

    /// Lets all parked sagas go on whose reason contains a text, or all without one.
    ///
    /// It goes on after one that could not be told; doing it again is harmless.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError`] if the journals cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves some told and some not.
    pub async fn retry_all(&self, reason: Option<&str>) -> Result<Retried, SagaError> {
        let parked = SagaFilter::live().phases([SagaPhase::Parked]);
        let mut retried = Retried::default();
        for saga in self.list(&parked.limit(usize::MAX)).await?.sagas {
            let SagaState::Parked(why) = &saga.state else {
                continue;
            };
            if reason.is_some_and(|wanted| !why.contains(wanted)) {
                retried.left += 1;
                continue;
            }
            match self.retry(&saga.id).await {
                Ok(()) => retried.told += 1,
                // It came to its end in between.
                Err(SagaError::Over { .. }) => {}
                Err(error) => {
                    retried.failed.insert(saga.id, error);
                }
            }
        }
        Ok(retried)
    }

    /// Calls a saga off: what is on its way is settled, then all that was done is
    /// undone.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError::Pivoted`] if there is no way back.
    pub async fn cancel(&self, id: &str) -> Result<(), SagaError> {
        self.tell(id, Told::Cancel).await
    }

    /// Calls a saga off, also past its pivot.
    ///
    /// # Errors
    ///
    /// Returns [`SagaError`] if it is over, or that could not be stored.
    pub async fn compensate(&self, id: &str) -> Result<(), SagaError> {
        self.tell(id, Told::Compensate).await
    }

    async fn tell(&self, id: &str, told: Told) -> Result<(), SagaError> {
        self.say(id, |book| {
            if told == Told::Cancel && book.pivoted {
                return Err(SagaError::Pivoted { id: id.to_owned() });
            }
            // What waits for its next attempt is to be told; all else only woken.
            let is_idle = told == Told::Retry && book.parked.is_none() && !book.is_troubled();
            Ok((!is_idle).then_some(Move::Told(told)))
        })
        .await
    }

    /// Writes the operator's word in the journal of a saga that is not over, and wakes
    /// it; without a word it is only woken.
    pub(super) async fn say(
        &self,
        id: &str,
        word: impl Fn(&Book) -> Result<Option<Move>, SagaError>,
    ) -> Result<(), SagaError> {
        let key = key(id)?;
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let book = self.journals.load(&key).await?;
            if book.last == 0 {
                return Err(self.not_found(id));
            }
            let state = SagaState::of(&book);
            if state.is_over() {
                return Err(SagaError::Over { id: id.to_owned(), state });
            }
            let Some(word) = word(&book)? else {
                return Ok(self.errands.wake(&key, Id::new()).await?);
            };
            match self.journals.write(&key, book.last, &[word]).await? {
                Written::Stored(_) => return Ok(self.errands.wake(&key, Id::new()).await?),
                Written::Conflict => {}
                Written::Unknown(reason) => return Err(SagaError::Unknown { reason }),
                Written::TooLarge => {
                    let reason = "what is said is too large for its journal".to_owned();
                    return Err(SagaError::Journal { reason });
                }
                Written::Crashed => break,
            }
        }
        let reason = format!("its journal changed {MAX_WRITE_ATTEMPTS} times in between");
        Err(SagaError::Unknown { reason })
    }

    fn not_found(&self, id: &str) -> SagaError {
        SagaError::NotFound { saga: self.journals.saga.to_string(), id: id.to_owned() }
    }
}

fn key(id: &str) -> Result<Key, SagaError> {
    Ok(Key::new(id)?)
}

impl fmt::Debug for Sagas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sagas({})", self.journals.saga)
    }
}
