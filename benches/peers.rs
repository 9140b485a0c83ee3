//! The same actor on plain actix, kameo and ractor, and what is asked of all.

use crate::support::{round::Round, runtime};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, future::Future, time::Instant};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, yield_now},
};

pub(crate) const TELLS: u64 = 200_000;
pub(crate) const ASKS: u64 = 60_000;
/// How many are told before the receiver gets its turn, and before it is waited for.
const RUN: u64 = 256;
const LAP: u64 = 1_024;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    Tell,
    Ask,
    Ask64,
}

/// A way to an actor that adds up.
pub(crate) trait Adder: Clone + Send + Sync + 'static {
    fn tell(&self, amount: u64) -> impl Future<Output = ()> + Send;
    fn ask(&self, amount: u64) -> impl Future<Output = u64> + Send;
}

/// Runs a round in tasks of its own: the root of a runtime is woken too slowly.
/// On an arbiter they are local tasks, as its actors are.
pub(crate) async fn spawned<A: Adder>(adder: A, task: Task, local: bool) -> Round {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let mut spawn = |work| {
        if local {
            tasks.spawn_local(work);
        } else {
            tasks.spawn(work);
        }
    };
    let count = match task {
        Task::Tell => {
            spawn(boxed(tell(adder)));
            TELLS
        }
        Task::Ask => {
            spawn(boxed(ask(adder, ASKS)));
            ASKS
        }
        Task::Ask64 => {
            for _ in 0..64 {
                spawn(boxed(ask(adder.clone(), ASKS / 64)));
            }
            ASKS / 64 * 64
        }
    };
    tasks.join_all().await;
    Round::of(count, started.elapsed())
}

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn boxed(work: impl Future<Output = ()> + Send + 'static) -> Work {
    Box::pin(work)
}

async fn tell<A: Adder>(adder: A) {
    for number in 1..=TELLS {
        adder.tell(1).await;
        if number % LAP == 0 {
            adder.ask(1).await;
        } else if number % RUN == 0 {
            yield_now().await;
        }
    }
    adder.ask(1).await;
}

async fn ask<A: Adder>(adder: A, count: u64) {
    for _ in 0..count {
        adder.ask(1).await;
    }
}

/// One thread, or two that share their work.
fn shared(across: bool) -> Runtime {
    if !across {
        return runtime();
    }
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the operating system gives threads")
}

// ===== actix =====

struct Sum(u64);

impl actix::Actor for Sum {
    type Context = actix::Context<Self>;
}

struct Add(u64);

impl actix::Message for Add {
    type Result = u64;
}

impl actix::Handler<Add> for Sum {
    type Result = u64;

    fn handle(&mut self, Add(amount): Add, _: &mut Self::Context) -> u64 {
        self.0 += amount;
        self.0
    }
}

impl Adder for actix::Addr<Sum> {
    #[expect(clippy::disallowed_methods, reason = "it is what a tell is there")]
    async fn tell(&self, amount: u64) {
        self.do_send(Add(amount));
    }

    async fn ask(&self, amount: u64) -> u64 {
        self.send(Add(amount)).await.expect("it lives")
    }
}

pub(crate) fn actix(task: Task, across: bool) -> Round {
    on_a_thread(move || {
        actix_rt::System::with_tokio_rt(runtime).block_on(async move {
            if !across {
                return spawned(actix::Actor::start(Sum(0)), task, true).await;
            }
            let arbiter = actix_rt::Arbiter::with_tokio_rt(runtime);
            let sum = <Sum as actix::Actor>::start_in_arbiter(&arbiter.handle(), |_| Sum(0));
            let round = spawned(sum, task, true).await;
            arbiter.stop();
            round
        })
    })
}

fn on_a_thread(work: impl FnOnce() -> Round + Send + 'static) -> Round {
    std::thread::spawn(work).join().expect("no round panics")
}

// ===== kameo =====

struct KameoSum(u64);

impl kameo::Actor for KameoSum {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(sum: Self, _: kameo::actor::ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(sum)
    }
}

impl kameo::message::Message<Add> for KameoSum {
    type Reply = u64;

    async fn handle(
        &mut self,
        Add(amount): Add,
        _: &mut kameo::message::Context<Self, u64>,
    ) -> u64 {
        self.0 += amount;
        self.0
    }
}

impl Adder for kameo::actor::ActorRef<KameoSum> {
    async fn tell(&self, amount: u64) {
        let told = Self::tell(self, Add(amount)).await;
        assert!(told.is_ok());
    }

    async fn ask(&self, amount: u64) -> u64 {
        Self::ask(self, Add(amount)).await.expect("it lives")
    }
}

pub(crate) fn kameo(task: Task, across: bool) -> Round {
    use kameo::actor::Spawn;
    shared(across).block_on(async {
        let mailbox = kameo::mailbox::unbounded();
        spawned(
            KameoSum::spawn_with_mailbox(KameoSum(0), mailbox),
            task,
            false,
        )
        .await
    })
}

// ===== ractor =====

struct RactorSum;

enum RactorAdd {
    Tell(u64),
    Ask(u64, ractor::RpcReplyPort<u64>),
}

impl ractor::Actor for RactorSum {
    type Msg = RactorAdd;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<RactorAdd>,
        (): (),
    ) -> Result<u64, ractor::ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<RactorAdd>,
        message: RactorAdd,
        sum: &mut u64,
    ) -> Result<(), ractor::ActorProcessingErr> {
        match message {
            RactorAdd::Tell(amount) => *sum += amount,
            RactorAdd::Ask(amount, reply) => {
                *sum += amount;
                reply.send(*sum)?;
            }
        }
        Ok(())
    }
}

impl Adder for ractor::ActorRef<RactorAdd> {
    async fn tell(&self, amount: u64) {
        let told = self.cast(RactorAdd::Tell(amount));
        assert!(told.is_ok());
    }

    async fn ask(&self, amount: u64) -> u64 {
        let answer = self.call(|reply| RactorAdd::Ask(amount, reply), None).await;
        answer.expect("it lives").expect("it answers")
    }
}

pub(crate) fn ractor(task: Task, across: bool) -> Round {
    shared(across).block_on(async {
        let started = <RactorSum as ractor::Actor>::spawn(None, RactorSum, ()).await;
        let (sum, ended) = started.expect("it starts");
        let round = spawned(sum.clone(), task, false).await;
        sum.stop(None);
        ended.await.expect("it ends");
        round
    })
}
