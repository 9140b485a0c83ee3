use super::{Decision, commit::Commit, life::Life, plan::Plan, table::Table};
use crate::{
    actor::{Context, Taken, guarded},
    call::Refusal,
    error::Failure,
    message::{Command, Refused, Reply},
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
    working: JoinSet<()>,
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
    pub(super) async fn open(plan: Arc<Plan<S>>) -> Result<Self, Failure> {
        let table = Rc::new(RefCell::new(Table::new(plan.cached)));
        Ok(Self { plan, table, working: JoinSet::new() })
    }

    /// Puts a command into its key's line.
    pub(super) fn take<C: Command + Clone>(&mut self, taken: Taken<C>, decide: Decide<S, C>) {
        self.reap();
        let key = taken.key.clone();
        let commit = Commit { plan: Arc::clone(&self.plan), taken, decide };
        if line_up(&self.table, &key, commit) {
            self.working.spawn_local(work(Rc::clone(&self.table), key));
        }
    }

    /// Does a command's work outside, and puts it into its key's line then.
    pub(super) fn prepare<C: Command + Clone>(&mut self, taken: Taken<C>, how: Prepare<S, C>) {
        self.reap();
        let (plan, table) = (Arc::clone(&self.plan), Rc::clone(&self.table));
        let span = taken.span();
        let work = async move {
            let within = taken.patience();
            taken.begin();
            let outside = guarded(how(&taken.command, &taken.ctx));
            let answer = match timeout(within, outside).await {
                Ok(Ok(Ok(decide))) => {
                    let key = taken.key.clone();
                    if line_up(&table, &key, Commit { plan, taken, decide }) {
                        work(table, key).await;
                    }
                    return;
                }
                Ok(Ok(Err(refusal))) => Ok(Err(refusal)),
                Ok(Err(panic)) => Err(panic),
                Err(_) => Err(format!("what comes before it took longer than {within:?}")),
            };
            taken.answer(answer).await;
        };
        self.working.spawn_local(work.instrument(span));
    }

    /// Lets entities leave memory that nobody asked for.
    pub(super) async fn passivate(&mut self, _: &Context) -> Result<(), Failure> {
        let since = Instant::now().checked_sub(self.plan.idle);
        self.table.borrow_mut().leave_until(since);
        Ok(())
    }

    /// Lets what is in flight end.
    pub(super) async fn close(&mut self, _: &Context) -> Result<(), Failure> {
        while self.working.join_next().await.is_some() {}
        Ok(())
    }

    fn reap(&mut self) {
        while self.working.try_join_next().is_some() {}
    }
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
async fn work<S>(table: Rc<RefCell<Table<S>>>, key: String) {
    let mut life = table.borrow_mut().wake(&key);
    loop {
        let job = table.borrow_mut().next(&key);
        let Some(job) = job else {
            return table.borrow_mut().rest(key, life, Instant::now());
        };
        // A state that panics while it is written down is loaded anew.
        life = guarded(job(life)).await.unwrap_or(None);
    }
}
