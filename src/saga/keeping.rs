//! How a run keeps its journal, and when it ends before its code does.

use super::{
    Abort,
    book::Book,
    journal::Written,
    news::announce,
    page::Move,
    scope::are_side_by_side,
    trip::{Stop, Trip},
};
use crate::telemetry::SAGAS_STARTED_TOTAL;
use std::time::Duration;
use tokio::{
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};

/// A wait that is shorter is waited for in memory.
pub(super) const SHORT: Duration = Duration::from_secs(2);

/// How often the code may yield before a step that it did not come to counts as gone.
const LOOKS: u32 = 8;

/// Why a saga whose time is over is called off.
const OVERDUE: &str = "its deadline passed";

/// How long code that awaits something of its own may keep a saga from turning back,
/// or a check from its end.
const OWN: Duration = Duration::from_mins(1);

impl Trip {
    /// Says why its code cannot go on with its journal, of a run that takes no step.
    pub(super) async fn misfit(&self) -> Option<String> {
        let late = Instant::now() + OWN;
        for _ in 0..LOOKS {
            yield_now().await;
        }
        while self.scopes.is_elsewhere() && self.stop.borrow().is_none() && Instant::now() < late {
            sleep(Duration::from_millis(1)).await;
        }
        let stop = self.stop.borrow_mut().take();
        match stop {
            Some(Stop::Parked(reason)) => Some(reason),
            _ => self.passed_over().await,
        }
    }

    /// Calls it off: what was not written down is not begun, its pivot neither.
    pub(super) fn close(&self, abort: Abort) {
        self.closing.borrow_mut().get_or_insert(abort);
        self.pending.borrow_mut().retain(|step| !step.is_ahead());
        self.look.notify_one();
    }

    /// Keeps the journal until the run must end.
    pub(super) async fn keep(&self) -> Stop {
        let mut pokes = self.pokes.subscribe();
        pokes.mark_unchanged();
        let mut late = None;
        loop {
            tokio::select! {
                () = self.look.notified() => {}
                changed = pokes.changed() => {
                    if changed.is_err() {
                        return Stop::Lost;
                    }
                    if let Err(stop) = self.catch_up().await {
                        return stop;
                    }
                }
                () = self.deadline() => {
                    self.close(Abort::new(OVERDUE));
                }
                () = until(late) => {}
            }
            match self.turn().await {
                Ok(()) => {}
                Err(stop) => return stop,
            }
            late = match late {
                _ if !self.is_held_up() => None,
                None => Some(Instant::now() + OWN),
                Some(late) if late <= Instant::now() => return Stop::Parked(self.held_up()),
                late => late,
            };
        }
    }

    /// Whether it is called off, and its code awaits something of its own before it
    /// comes to a step whose outcome is not known.
    fn is_held_up(&self) -> bool {
        self.is_closing() && self.scopes.is_elsewhere() && self.missing_open().is_some()
    }

    fn held_up(&self) -> String {
        let missing = self.missing_open().unwrap_or_default();
        format!(
            "it is called off, and its code awaits something of its own and did not come to \
             `{missing}`, whose outcome is not known, within {OWN:?}"
        )
    }

    async fn turn(&self) -> Result<(), Stop> {
        let stop = self.stop.borrow_mut().take();
        match stop {
            // What is on its way beside it is settled first.
            Some(Stop::Aborted(abort)) => self.close(abort),
            Some(stop) => return Err(stop),
            None => {}
        }
        if self.is_closing() {
            self.forget_intents();
        }
        if self.is_urgent() {
            if let Some(reason) = self.passed_over().await {
                return Err(Stop::Parked(reason));
            }
            self.store(Vec::new()).await?;
        }
        if let Some(abort) = self.closed() {
            return Err(Stop::Aborted(abort));
        }
        match self.idle() {
            // The code was asked just before: it knows of all pokes so far.
            Some(until) => Err(Stop::Away(until, *self.pokes.borrow())),
            None => Ok(()),
        }
    }

    /// Forgets what was to be begun and is not written down.
    pub(super) fn forget_intents(&self) {
        let intended = |step: &Move| matches!(step, Move::Intended { .. });
        self.pending.borrow_mut().retain(|step| !intended(step));
    }

    /// Returns what will be known once all that was noted is stored.
    pub(super) fn preview(&self) -> Book {
        let mut book = self.book.borrow().clone();
        self.pending
            .borrow()
            .iter()
            .for_each(|step| book.apply(step.clone()));
        book
    }

    /// Waits until the saga's deadline, if it has one that counts.
    async fn deadline(&self) {
        let until = self
            .book
            .borrow()
            .begin
            .as_ref()
            .and_then(|begin| begin.until);
        match until {
            Some(until) if !self.has_pivoted() && !self.is_closing() => {
                sleep(self.left(until)).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Calls it off if its deadline passed.
    pub(super) fn look_at_deadline(&self) {
        let until = self
            .book
            .borrow()
            .begin
            .as_ref()
            .and_then(|begin| begin.until);
        if until.is_some_and(|until| self.left(until).is_zero()) && !self.has_pivoted() {
            self.close(Abort::new(OVERDUE));
        }
    }

    /// Returns how long it is until a time in Unix milliseconds.
    pub(super) fn left(&self, until: u64) -> Duration {
        Duration::from_millis(until.saturating_sub(self.client().clock().unix_ms()))
    }

    fn is_urgent(&self) -> bool {
        let intended = |step: &Move| matches!(step, Move::Intended { .. });
        self.is_closing() || self.pending.borrow().iter().any(intended)
    }

    /// Returns why it is called off, once nothing is left that is not settled.
    fn closed(&self) -> Option<Abort> {
        let abort = self.closing.borrow().clone()?;
        let book = self.book.borrow();
        // What can be undone whatever its outcome is has its attempt to itself first.
        let settled = book.hanging().next().is_none()
            && (self.attempting.get() == 0 || book.unsettled().next().is_none());
        (settled && self.pending.borrow().is_empty()).then_some(abort)
    }

    /// Returns until when nothing is to be done, if that is long.
    fn idle(&self) -> Option<u64> {
        if self.active.get() > 0 || self.scopes.is_elsewhere() {
            return None;
        }
        let until = self.waits.borrow().iter().copied().min()?;
        let deadline = self
            .book
            .borrow()
            .begin
            .as_ref()
            .and_then(|begin| begin.until);
        let deadline = deadline.filter(|_| !self.has_pivoted() && !self.is_closing());
        let until = deadline.map_or(until, |deadline| until.min(deadline));
        (self.left(until) > SHORT).then_some(until)
    }

    /// Says which steps of the journal the code does not come to any more.
    ///
    /// A step is in the journal only if all that comes before it in its branch was
    /// done then; so before anything new is begun there, the code has come to all of
    /// them. Of one that is called off, only those count whose outcome is not known.
    pub(super) async fn passed_over(&self) -> Option<String> {
        for _ in 0..LOOKS {
            self.missing()?;
            yield_now().await;
        }
        let missing = self.missing()?;
        let cure = if self.is_closing() {
            "settle that step"
        } else {
            "compensate it"
        };
        Some(format!(
            "its code does not come to `{missing}` any more, which its journal has; \
             run it with the code that it began with, or {cure}"
        ))
    }

    fn missing(&self) -> Option<String> {
        if self.is_closing() {
            return self.missing_open().filter(|_| !self.scopes.is_elsewhere());
        }
        let (book, visited) = (self.book.borrow(), self.visited.borrow());
        let pending = self.pending.borrow();
        let begun: Vec<_> = pending
            .iter()
            .filter_map(|step| match step {
                Move::Intended { step, .. } => Some(step),
                _ => None,
            })
            .collect();
        // What is beside all that is begun may still be on its way.
        let counts =
            |name: &str| begun.is_empty() || begun.iter().any(|step| !are_side_by_side(step, name));
        let mut steps = book.steps.iter();
        let missing = steps.find(|entry| !visited.contains(&entry.name) && counts(&entry.name))?;
        Some(missing.name.clone())
    }

    /// Returns a step whose outcome must be known, and that the code did not come to.
    fn missing_open(&self) -> Option<String> {
        let (book, visited) = (self.book.borrow(), self.visited.borrow());
        let missing = book
            .hanging()
            .find(|entry| !visited.contains(&entry.name))?;
        Some(missing.name.clone())
    }

    /// Stores all that was noted, and these.
    pub(super) async fn store(&self, more: Vec<Move>) -> Result<(), Stop> {
        let mut moves = std::mem::take(&mut *self.pending.borrow_mut());
        let place = self.pushed.get();
        moves.extend(more);
        if moves.is_empty() {
            return Ok(());
        }
        let is_first = matches!(moves.first(), Some(Move::Started(_)));
        if let Err(stop) = self.write(&mut moves).await {
            let mut pending = self.pending.borrow_mut();
            moves.append(&mut pending);
            *pending = moves;
            return Err(stop);
        }
        self.stored.set(place);
        self.written.notify_waiters();
        if is_first {
            self.has_begun().await;
        }
        Ok(())
    }

    /// Writes in the journal what is still true, in one message if it fits; leaves
    /// what it could not write.
    async fn write(&self, moves: &mut Vec<Move>) -> Result<(), Stop> {
        let mut size = moves.len();
        while !moves.is_empty() {
            size = size.min(moves.len());
            let after = self.book.borrow().last;
            let written = self.journals.write(&self.id, after, &moves[..size]).await;
            match written.map_err(|failure| Stop::Later(failure.to_string()))? {
                Written::Stored(sequence) => {
                    let stored = moves.drain(..size).collect();
                    self.book.borrow_mut().turn(stored, sequence);
                    size = moves.len();
                }
                Written::TooLarge => size /= 2,
                Written::Conflict => {
                    self.catch_up().await?;
                    if self.book.borrow().last == after {
                        let reason = "its journal has news that cannot be read yet".to_owned();
                        return Err(Stop::Later(reason));
                    }
                    if self.is_closing() {
                        moves.retain(|step| !step.is_ahead());
                        size = moves.len();
                    }
                }
                Written::Unknown(reason) => return Err(Stop::Later(reason)),
                Written::Crashed => return Err(Stop::Crashed),
            }
        }
        Ok(())
    }

    /// Counts and announces the saga, which began here and now.
    async fn has_begun(&self) {
        let saga = self.plan.name;
        metrics::counter!(SAGAS_STARTED_TOTAL, "saga" => saga).increment(1);
        announce(self.client(), (saga, &self.id), "started", None).await;
    }

    /// Reads what others wrote: the operator may, another runner means that this
    /// one is out.
    async fn catch_up(&self) -> Result<(), Stop> {
        let from = self.book.borrow().last + 1;
        let news = self.journals.since(&self.id, from).await;
        let news = news.map_err(|failure| Stop::Later(failure.to_string()))?;
        let has_news = !news.is_empty();
        for (sequence, page) in news {
            if !page.moves.iter().all(Move::is_operators) {
                return Err(Stop::Lost);
            }
            self.book.borrow_mut().turn(page.moves, sequence);
        }
        if has_news {
            self.heard.notify_waiters();
        }
        let called_off = self.book.borrow().called_off();
        if let Some(abort) = called_off {
            self.close(abort);
        }
        Ok(())
    }
}

/// Waits until a time, if there is one.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
