//! One run of one saga: its steps on one side, its journal on the other.

use super::{
    Abort,
    book::{Book, Entry},
    journal::Journals,
    page::{Act, Move, Order},
    plan::Plan,
    scope::{Awaited, Scopes},
};
use crate::{
    call::{Cause, Client},
    message::{Id, Key, Trace},
};
use bytes::Bytes;
use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    convert::Infallible,
    rc::Rc,
    sync::Arc,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

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
    pub(super) pending: RefCell<Vec<Move>>,
    pub(super) pushed: Cell<u64>,
    pub(super) stored: Cell<u64>,
    pub(super) written: Notify,
    pub(super) look: Notify,
    pub(super) stop: RefCell<Option<Stop>>,
    pub(super) closing: RefCell<Option<Abort>>,
    /// Told when the operator said something.
    pub(super) heard: Notify,
    pub(super) scopes: Scopes,
    pub(super) visited: RefCell<HashSet<String>>,
    pub(super) active: Cell<usize>,
    /// How many attempts are on their way.
    pub(super) attempting: Cell<usize>,
    pub(super) waits: RefCell<Vec<u64>>,
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
        let scopes = Scopes::new(begin.is_some_and(|begin| !begin.branches));
        let correlation = begin.and_then(|begin| begin.correlation.as_deref());
        let correlation = correlation.map_or_else(|| root.clone(), Id::from);
        let mut cause = Cause::new(root.clone(), correlation, plan.name.into());
        let trace = begin.and_then(|begin| begin.trace.clone());
        cause.trace = trace.map(|(parent, state)| Trace { parent, state });
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
            stored: Cell::new(0),
            written: Notify::new(),
            look: Notify::new(),
            stop: RefCell::default(),
            closing: RefCell::default(),
            heard: Notify::new(),
            scopes,
            visited: RefCell::default(),
            active: Cell::new(0),
            attempting: Cell::new(0),
            waits: RefCell::default(),
            is_dry: false,
        }
    }

    /// Takes no step: what was not taken yet is where it ends.
    pub(super) const fn dry(mut self) -> Self {
        self.is_dry = true;
        self
    }

    pub(super) fn client(&self) -> &Client {
        &self.journals.client
    }

    /// Returns what it began with.
    pub(super) fn input(&self) -> Bytes {
        let book = self.book.borrow();
        let begin = book.begin.as_ref();
        begin.map_or_else(Bytes::new, |begin| begin.input.clone())
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
    pub(super) async fn intend(&self, step: &str, act: Act, undo: Option<Order>) {
        if self.is_closing() || self.is_dry {
            self.look.notify_one();
            return std::future::pending().await;
        }
        self.push(Move::Intended { step: step.to_owned(), act, undo });
        let place = self.pushed.get();
        self.look.notify_one();
        loop {
            let written = self.written.notified();
            if self.stored.get() >= place {
                break;
            }
            written.await;
        }
        // What was called off in between was not written.
        let is_called_off = self.book.borrow().step(step).is_none();
        if is_called_off {
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
        Active(Rc::clone(self), self.scopes.awaited())
    }

    /// Counts an attempt as being on its way.
    pub(super) fn attempting(self: &Rc<Self>) -> Attempting {
        self.attempting.set(self.attempting.get() + 1);
        Attempting(Rc::clone(self))
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

    /// Tells a replay whether it will try something again.
    pub(super) fn note_retrying(&self, is_retrying: bool) {
        self.client()
            .note_retrying(is_retrying, || format!("{}/{}", self.plan.name, self.id));
    }

    pub(super) fn step_id(&self, step: &str) -> Id {
        self.root.derived(step, 0)
    }
}

/// An attempt at a step that is on its way.
pub(super) struct Attempting(Rc<Trip>);

impl Drop for Attempting {
    fn drop(&mut self) {
        let attempting = self.0.attempting.get().saturating_sub(1);
        self.0.attempting.set(attempting);
        if self.0.is_closing() {
            self.0.look.notify_one();
        }
    }
}

/// A step that is being worked on.
pub(super) struct Active(
    Rc<Trip>,
    #[expect(dead_code, reason = "it is counted as long as it lives")] Awaited,
);

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
