use super::{commit::Commit, life::Life, plan::Plan, table::Table};
use crate::{
    actor::{Context, Taken},
    error::Failure,
    message::{Command, Refused, Reply},
};
use futures_util::future::LocalBoxFuture;
use std::{cell::RefCell, rc::Rc, sync::Arc};
use tokio::{sync::Semaphore, task::JoinSet};

/// How many commands one shard works on at once.
const IN_FLIGHT: usize = 1_024;

/// All entities of one type on one instance: each key serial, all keys side by side.
pub(super) struct Shard<S> {
    plan: Arc<Plan<S>>,
    table: Rc<RefCell<Table<S>>>,
    places: Arc<Semaphore>,
    working: JoinSet<()>,
}

/// One command's work on its entity; returns the entity unless it must be loaded anew.
pub(super) type Job<S> =
    Box<dyn FnOnce(Option<Life<S>>) -> LocalBoxFuture<'static, Option<Life<S>>>>;

/// A pure decision: the state, the command, and what follows.
pub(super) type Decide<S, C> =
    Arc<dyn Fn(&S, C) -> Result<super::Decision<Reply<C>>, Refused<C>> + Send + Sync>;

impl<S: 'static> Shard<S> {
    pub(super) async fn open(plan: Arc<Plan<S>>) -> Result<Self, Failure> {
        let table = Rc::new(RefCell::new(Table::new(plan.cached)));
        let places = Arc::new(Semaphore::new(IN_FLIGHT));
        Ok(Self { plan, table, places, working: JoinSet::new() })
    }

    /// Puts a command into its key's line; waits while too many are worked on.
    pub(super) async fn take<C: Command + Clone>(&mut self, taken: Taken<C>, decide: Decide<S, C>) {
        while self.working.try_join_next().is_some() {}
        let place = Arc::clone(&self.places).acquire_owned().await;
        let key = taken.command.key().into_owned();
        let commit = Commit { plan: Arc::clone(&self.plan), taken, decide };
        let job: Job<S> = Box::new(move |life| {
            Box::pin(async move {
                let life = commit.run(life).await;
                drop(place);
                life
            })
        });
        if self.table.borrow_mut().line_up(&key, job) {
            self.working.spawn_local(work(Rc::clone(&self.table), key));
        }
    }

    /// Lets what is in flight end.
    pub(super) async fn close(&mut self, _: &Context) -> Result<(), Failure> {
        while self.working.join_next().await.is_some() {}
        Ok(())
    }
}

/// Works through one key's line until it is empty.
async fn work<S>(table: Rc<RefCell<Table<S>>>, key: String) {
    let mut life = table.borrow_mut().wake(&key);
    loop {
        let job = table.borrow_mut().next(&key);
        let Some(job) = job else {
            return table.borrow_mut().rest(key, life);
        };
        life = job(life).await;
    }
}
