//! One run of one saga: its steps on one side, its journal on the other.

use super::{
    Abort,
    book::{Book, Entry},
    journal::{Journals, Written},
    page::{Act, Begin, Move},
    plan::Plan,
};
use crate::{
    call::{Cause, Client},
    message::{Id, Key},
};
use bytes::Bytes;
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    convert::Infallible,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::yield_now,
    time::{Instant, sleep},
};

/// A wait that is shorter is waited for in memory.
pub(super) const SHORT: Duration = Duration::from_secs(2);

/// How often the code may yield before a step that it did not come to counts as gone.
const LOOKS: u32 = 8;

/// One run of a saga, shared by its steps and by who writes its journal.
pub(super) struct Trip {
    pub(super) plan: Arc<Plan>,
    pub(super) journals: Journals,
    pub(super) id: Key,
    /// What all ids of this saga are derived from.
    pub(super) root: Id,
    pub(super) cause: Cause,
    pub(super) book: RefCell<Book>,
    /// Until when nobody else runs it.
    pub(super) lease: Rc<Cell<Instant>>,
    /// Told when something may have happened elsewhere that it waits for.
    pub(super) pokes: watch::Sender<u64>,
    pending: RefCell<Vec<Move>>,
    pushed: Cell<u64>,
    stored: watch::Sender<u64>,
    look: Notify,
    stop: RefCell<Option<Stop>>,
    closing: RefCell<Option<Abort>>,
    names: RefCell<HashMap<String, u32>>,
    visited: RefCell<HashSet<String>>,
    active: Cell<usize>,
    waits: RefCell<Vec<u64>>,
    /// Whether it only looks how far its code comes, and takes no step.
    is_dry: bool,
}

/// Why a run ends before its code does.
#[derive(Debug)]
pub(super) enum Stop {
    /// There is no way forward.
    Aborted(Abort),
    /// Nothing is to be done before this time, as far as so many pokes tell.
    Away(u64, u64),
    Parked(String),
    /// The bus is in trouble: later.
    Later(String),
    /// Another runner has it.
    Lost,
    /// This is a replay, and the runner dies.
    Crashed,
}

impl Trip {
    pub(super) fn new(
        (plan, journals): (Arc<Plan>, Journals),
        id: Key,
        book: Book,
        lease: Rc<Cell<Instant>>,
        pokes: watch::Sender<u64>,
    ) -> Self {
        let namespace = journals.client.namespace();
        let root = Id::from(&*format!("{namespace}/{}/{id}", plan.name));
        let begin = book.begin.as_ref();
        let correlation = begin.and_then(|begin| begin.correlation.as_deref());
        let correlation = correlation.map_or_else(|| root.clone(), Id::from);
        let cause = Cause::new(root.clone(), correlation, plan.name.into());
        Self {
            plan,
            journals,
            id,
            root,
            cause,
            book: RefCell::new(book),
            lease,
            pokes,
            pending: RefCell::default(),
            pushed: Cell::new(0),
            stored: watch::Sender::new(0),
            look: Notify::new(),
            stop: RefCell::default(),
            closing: RefCell::default(),
            names: RefCell::default(),
            visited: RefCell::default(),
            active: Cell::new(0),
            waits: RefCell::default(),
            is_dry: false,
        }
    }

    /// Takes no step: what was not taken yet is where it ends.
    pub(super) const fn dry(mut self) -> Self {
        self.is_dry = true;
        self
    }

    /// Says why its code cannot go on with its journal, of a run that takes no step.
    pub(super) async fn misfit(&self) -> Option<String> {
        for _ in 0..LOOKS {
            yield_now().await;
        }
        let stop = self.stop.borrow_mut().take();
        match stop {
            Some(Stop::Parked(reason)) => Some(reason),
            _ => self.passed_over().await,
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.journals.client
    }

    /// Notes that it begins.
    pub(super) fn begin(&self, begin: Begin) {
        self.book.borrow_mut().begin = Some(begin.clone());
        self.push(Move::Started(begin));
    }

    /// Returns what it began with.
    pub(super) fn input(&self) -> Bytes {
        let book = self.book.borrow();
        let begin = book.begin.as_ref();
        begin.map_or_else(Bytes::new, |begin| begin.input.clone())
    }

    // ===== what steps ask for =====

    /// Names the next step of a kind by its occurrence.
    pub(super) fn name(&self, kind: &str) -> String {
        let mut names = self.names.borrow_mut();
        let count = names.entry(kind.to_owned()).or_default();
        *count += 1;
        let name = if *count == 1 {
            kind.to_owned()
        } else {
            format!("{kind}#{count}")
        };
        self.visited.borrow_mut().insert(name.clone());
        name
    }

    /// Returns what the journal says of a step.
    pub(super) fn known(&self, step: &str) -> Option<Entry> {
        self.book.borrow().step(step).cloned()
    }

    /// Notes a transition, to be stored with the next that cannot wait.
    pub(super) fn push(&self, step: Move) {
        self.pending.borrow_mut().push(step);
        self.pushed.set(self.pushed.get() + 1);
    }

    /// Stores that a step may be taken from now on; does not return if it may not.
    pub(super) async fn intend(&self, step: &str, act: Act) {
        if self.closing.borrow().is_some() || self.is_dry {
            return std::future::pending().await;
        }
        self.push(Move::Intended { step: step.to_owned(), act });
        let place = self.pushed.get();
        let mut stored = self.stored.subscribe();
        self.look.notify_one();
        let written = stored.wait_for(|&stored| stored >= place).await.is_ok();
        // What was called off in between was not written.
        if !written || self.known(step).is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends the run at this step.
    pub(super) async fn halt(&self, stop: Stop) -> Infallible {
        self.stop.borrow_mut().get_or_insert(stop);
        self.look.notify_one();
        std::future::pending().await
    }

    /// Returns why it is called off, if it is; then nothing new is begun.
    pub(super) fn closing(&self) -> Option<Abort> {
        self.closing.borrow().clone()
    }

    /// Whether it is called off.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.borrow().is_some()
    }

    pub(super) fn has_pivoted(&self) -> bool {
        let noted = |step: &Move| matches!(step, Move::Pivoted);
        self.book.borrow().pivoted || self.pending.borrow().iter().any(noted)
    }

    /// Counts a step as being worked on.
    pub(super) fn active(self: &Rc<Self>) -> Active {
        self.active.set(self.active.get() + 1);
        Active(Rc::clone(self))
    }

    /// Counts a step as waiting for a time, in Unix milliseconds.
    pub(super) fn waiting(self: &Rc<Self>, until: u64) -> Waiting {
        self.active.set(self.active.get() - 1);
        self.waits.borrow_mut().push(until);
        self.look.notify_one();
        Waiting(Rc::clone(self), until)
    }

    /// Returns if it may act for the saga now; ends the run if another may.
    pub(super) async fn clear(&self) {
        if self.is_dry {
            std::future::pending::<()>().await;
        }
        if !self.is_ours() {
            match self.halt(Stop::Lost).await {}
        }
    }

    /// Whether it may still act for the saga: after a pause another runner may.
    pub(super) fn is_ours(&self) -> bool {
        Instant::now() < self.lease.get()
    }

    pub(super) fn step_id(&self, step: &str) -> Id {
        self.root.derived(step, 0)
    }

    // ===== what keeps the journal =====

    /// Calls it off, if there is still a way back.
    pub(super) fn close(&self, abort: Abort) {
        self.closing.borrow_mut().get_or_insert(abort);
        self.look.notify_one();
    }

    /// Keeps the journal until the run must end.
    pub(super) async fn keep(&self) -> Stop {
        let mut pokes = self.pokes.subscribe();
        pokes.mark_unchanged();
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
                    self.close(Abort::new("its deadline passed"));
                }
            }
            match self.turn().await {
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
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
            .for_each(|step| book.apply(step));
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
        let settled = self.book.borrow().unsettled().next().is_none();
        (settled && self.pending.borrow().is_empty()).then_some(abort)
    }

    /// Returns until when nothing is to be done, if that is long.
    fn idle(&self) -> Option<u64> {
        if self.active.get() > 0 {
            return None;
        }
        let until = self.waits.borrow().iter().copied().min()?;
        let deadline = self
            .book
            .borrow()
            .begin
            .as_ref()
            .and_then(|begin| begin.until);
        let deadline = deadline.filter(|_| !self.has_pivoted());
        let until = deadline.map_or(until, |deadline| until.min(deadline));
        (self.left(until) > SHORT).then_some(until)
    }

    /// Says which steps of the journal the code does not come to any more.
    ///
    /// A step is in the journal only if all that comes before it in the code was
    /// done then; so before anything new is begun, the code has come to all of them.
    pub(super) async fn passed_over(&self) -> Option<String> {
        for _ in 0..LOOKS {
            self.missing()?;
            yield_now().await;
        }
        let missing = self.missing()?;
        Some(format!(
            "its code does not come to `{missing}` any more, which its journal has; \
             run it with the code that it began with, or compensate it"
        ))
    }

    fn missing(&self) -> Option<String> {
        let (book, visited) = (self.book.borrow(), self.visited.borrow());
        let mut steps = book.steps.iter();
        let missing = steps.find(|entry| !visited.contains(&entry.name))?;
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
        loop {
            let after = self.book.borrow().last;
            let written = self.journals.write(&self.id, after, moves.clone()).await;
            match written.map_err(|failure| Stop::Later(failure.to_string()))? {
                Written::Stored(sequence) => {
                    self.book.borrow_mut().turn(&moves, sequence);
                    self.stored.send_replace(place);
                    return Ok(());
                }
                Written::Conflict => self.catch_up().await?,
                Written::Unknown(reason) => return Err(Stop::Later(reason)),
                Written::Crashed => return Err(Stop::Crashed),
            }
        }
    }

    /// Reads what others wrote: the operator may, another runner means that this
    /// one is out.
    async fn catch_up(&self) -> Result<(), Stop> {
        let from = self.book.borrow().last + 1;
        let news = self.journals.since(&self.id, from).await;
        for (sequence, page) in news.map_err(|failure| Stop::Later(failure.to_string()))? {
            if !page.moves.iter().all(|step| matches!(step, Move::Told(_))) {
                return Err(Stop::Lost);
            }
            self.book.borrow_mut().turn(&page.moves, sequence);
        }
        let called_off = self.book.borrow().called_off();
        if let Some(abort) = called_off {
            self.close(abort);
        }
        Ok(())
    }
}

/// A step that is being worked on.
pub(super) struct Active(Rc<Trip>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
        self.0.look.notify_one();
    }
}

/// A step that waits for a time.
pub(super) struct Waiting(Rc<Trip>, u64);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() + 1);
        let mut waits = self.0.waits.borrow_mut();
        if let Some(at) = waits.iter().position(|&until| until == self.1) {
            waits.swap_remove(at);
        }
    }
}
