use super::{
    Decision,
    commit::{Commit, Undecided},
    life::Life,
    past::Shared,
    plan::Plan,
    table::Table,
};
use crate::{
    actor::{Birth, Context, Taken, guarded},
    bus::Subscription,
    call::{Refusal, Skips},
    error::Failure,
    message::{Command, Key, KeyError, Refused, Reply, Status},
};
use futures_util::future::LocalBoxFuture;
use std::{cell::RefCell, rc::Rc, sync::Arc};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::Instrument;

/// The entities of one kind that are worked on or rest in one actor.
///
/// Its mailbox hands commands on at once; each key has a line of its own. What
/// is in the lines counts as the mailbox's.
pub(super) struct Shard<S> {
    plan: Arc<Plan<S>>,
    table: Rc<RefCell<Table<S>>>,
    shared: Shared,
    working: JoinSet<()>,
    /// Listens for what operators leave out; ends with the shard.
    _listening: JoinSet<()>,
}

/// One command's work: takes the entity if it is in memory, and leaves it there.
pub(super) type Job<S> =
    Box<dyn FnOnce(Option<Life<S>>) -> LocalBoxFuture<'static, Option<Life<S>>>>;

pub(super) type Decide<S, C> = Arc<dyn Fn(&S, C) -> Decided<C> + Send + Sync>;

pub(super) type Decided<C> = Result<Decision<Reply<C>>, Refused<C>>;

/// The work outside that comes before a decision; gives the decision to make.
pub(super) type Prepare<S, C> =
    Arc<dyn for<'a> Fn(&'a C, &'a Context) -> LocalBoxFuture<'a, Prepared<S, C>> + Send + Sync>;

pub(super) type Prepared<S, C> = Result<Decide<S, C>, Refusal<Refused<C>>>;

impl<S: 'static> Shard<S> {
    pub(super) async fn open(plan: Arc<Plan<S>>, birth: Birth) -> Result<Self, Failure> {
        let table = Rc::new(RefCell::new(Table::new(plan.cached)));
        let domain = plan.domain.unwrap_or_default();
        let skips = Rc::new(Skips::new(birth.client.clone(), domain));
        let mut listening = JoinSet::new();
        if plan.domain.is_some() {
            let news = birth.client.bus().subscribe(&skips.news(), None).await?;
            listening.spawn_local(listen(news, Rc::clone(&skips), Rc::clone(&table)));
        }
        Ok(Self {
            plan,
            table,
            shared: Shared { keeper: Rc::default(), skips },
            working: JoinSet::new(),
            _listening: listening,
        })
    }

    /// Nothing but the end of the bus has a shard looked at.
    pub(super) async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }

    /// Puts a command into its key's line; one without a sound key is its caller's
    /// mistake.
    pub(super) async fn take<C: Command + Clone>(&mut self, taken: Taken<C>, decide: Decide<S, C>) {
        self.reap();
        if let Err(reason) = Key::new(&taken.key) {
            return refuse(taken, &reason).await;
        }
        let key = taken.key.clone();
        let commit = self.commit(taken, Ok(decide));
        if line_up(&self.table, &key, commit) {
            self.working.spawn_local(work(Rc::clone(&self.table), key));
        }
    }

    fn commit<C: Command>(
        &self,
        taken: Taken<C>,
        decide: Result<Decide<S, C>, Undecided<C>>,
    ) -> Commit<S, C> {
        let (plan, shared) = (Arc::clone(&self.plan), self.shared.clone());
        Commit { plan, shared, taken, decide }
    }

    /// Does a command's work outside, and puts it into its key's line then. A command
    /// that may have been done before goes there also if that work fails: what was
    /// done is told again, whatever the world says now.
    pub(super) fn prepare<C: Command + Clone>(&mut self, taken: Taken<C>, how: Prepare<S, C>) {
        self.reap();
        let (plan, table) = (Arc::clone(&self.plan), Rc::clone(&self.table));
        let shared = self.shared.clone();
        let span = taken.span();
        let work = async move {
            let within = taken.patience();
            taken.begin();
            let outside = guarded(how(&taken.command, &taken.ctx));
            let decide = match timeout(within, outside).await {
                Ok(Ok(Ok(decide))) => Ok(decide),
                Ok(Ok(Err(refusal))) => Err(Ok(Err(refusal))),
                Ok(Err(panic)) => {
                    say_panic(plan.name, &taken, &panic);
                    Err(Err(panic))
                }
                Err(_) => {
                    let reason = format!("what comes before it took longer than {within:?}");
                    return taken.answer(Err(reason)).await;
                }
            };
            // Not before: what comes first may have an answer to a bad key.
            let decide = match (decide, Key::new(&taken.key)) {
                (Ok(_), Err(reason)) => return refuse(taken, &reason).await,
                (Err(answer), key) if key.is_err() || !taken.ctx.is_named() => {
                    return taken.answer(answer).await;
                }
                (decide, _) => decide,
            };
            let key = taken.key.clone();
            if line_up(&table, &key, Commit { plan, shared, taken, decide }) {
                work(table, key).await;
            }
        };
        self.working.spawn_local(work.instrument(span));
    }

    /// Lets entities leave memory that nobody asked for, and looks whether word of
    /// what operators left out got lost.
    pub(super) async fn passivate(&mut self, _: &Context) -> Result<(), Failure> {
        let since = Instant::now().checked_sub(self.plan.idle);
        self.table.borrow_mut().leave_until(since);
        if self.plan.domain.is_some() {
            let (skips, table) = (Rc::clone(&self.shared.skips), Rc::clone(&self.table));
            // Beside the mailbox, which does not wait for the stream.
            self.working
                .spawn_local(async move { outdate(&skips, &table).await });
        }
        Ok(())
    }

    /// Lets what is in flight end.
    pub(super) async fn close(&mut self, _: &Context) -> Result<(), Failure> {
        while self.working.join_next().await.is_some() {}
        self.shared.keeper.close().await;
        Ok(())
    }

    fn reap(&mut self) {
        while self.working.try_join_next().is_some() {}
    }
}

/// Has entities loaded anew whose past an operator changed, until the bus is closed.
async fn listen<S: 'static>(
    mut news: Subscription,
    skips: Rc<Skips>,
    table: Rc<RefCell<Table<S>>>,
) {
    loop {
        outdate(&skips, &table).await;
        if news.next().await.is_none() {
            return;
        }
    }
}

async fn outdate<S: 'static>(skips: &Skips, table: &RefCell<Table<S>>) {
    let changed = match skips.refresh().await {
        Ok(changed) => changed,
        Err(error) => return tracing::warn!(%error, "looking again later"),
    };
    let keys = changed.iter().filter_map(|key| Key::from_token(key).ok());
    for key in keys {
        table.borrow_mut().outdate(&key.decode());
    }
}

/// Refuses a command whose key cannot be: its caller's mistake.
async fn refuse<C: Command>(taken: Taken<C>, reason: &KeyError) {
    let reason = format!("{}: {reason}", C::SUBJECT);
    taken.tell(Status::Malformed, reason, None).await;
}

/// Logs a panic of a decision or of what comes before it.
pub(super) fn say_panic<C: Command>(entity: &'static str, taken: &Taken<C>, panic: &str) {
    tracing::error!(
        entity,
        key = taken.key,
        command = C::SUBJECT.as_str(),
        id = %taken.ctx.id(),
        correlation = %taken.ctx.correlation(),
        panic,
        "a decision failed"
    );
}

/// Adds a commit to its key's line; returns whether somebody must start on it.
fn line_up<S: 'static, C: Command + Clone>(
    table: &RefCell<Table<S>>,
    key: &str,
    commit: Commit<S, C>,
) -> bool {
    let span = commit.taken.span();
    let job: Job<S> = Box::new(move |life| Box::pin(commit.run(life).instrument(span)));
    table.borrow_mut().line_up(key, job)
}

/// Works off one key's line.
async fn work<S: 'static>(table: Rc<RefCell<Table<S>>>, key: String) {
    let mut life = table.borrow_mut().wake(&key);
    loop {
        let job = table.borrow_mut().next(&key);
        let Some(job) = job else {
            return table.borrow_mut().rest(key, life, Instant::now());
        };
        // A state that panics while it is written down is loaded anew.
        life = guarded(job(life)).await.unwrap_or(None);
        if table.borrow_mut().was_outdated(&key) {
            life = None;
        }
    }
}
