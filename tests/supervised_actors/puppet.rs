//! Actors that do what they are told, and a log of what they do.

use crate::support::log::Log;
use callboard::{Actor, Answer, Command, Context, Failure, Infallible, Subject};
use serde::{Deserialize, Serialize};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{sync::Semaphore, task::yield_now};

/// What a puppet shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Say how many messages it saw in this life.
    Count,
    Panic,
    PanicLater,
    Retry,
    Discard,
    Crash,
    /// Leave after this message.
    Stop,
    Hang,
    /// Hang, and panic when it is cut off.
    HangBadly,
    /// Wait until the gate is open.
    Wait,
}

/// An order to one puppet.
pub(crate) trait Order: Command<Outcome = Result<u32, Infallible>> {
    fn act(&self) -> Act;
}

macro_rules! orders {
    ($($name:ident is $subject:literal),+) => {
        $(
            #[derive(Debug, Serialize, Deserialize)]
            pub(crate) struct $name(pub(crate) Act);

            impl Command for $name {
                const SUBJECT: Subject = Subject::new($subject);
                type Outcome = Result<u32, Infallible>;
            }

            impl Order for $name {
                fn act(&self) -> Act {
                    self.0
                }
            }
        )+
    };
}

orders!(A is "team.a", B is "team.b", C is "other.c");

/// What outlives the puppets.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) log: Log,
    pub(crate) gate: Arc<Semaphore>,
    /// How many of the next factories fail, or panic.
    pub(crate) failing: Arc<AtomicU32>,
    pub(crate) panicking: Arc<AtomicU32>,
    /// How many of the next `Drop`s panic.
    pub(crate) dropping: Arc<AtomicU32>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            log: Log::default(),
            gate: Arc::new(Semaphore::new(0)),
            failing: Arc::default(),
            panicking: Arc::default(),
            dropping: Arc::default(),
        }
    }
}

/// Uses one of what is left up; returns whether there was one.
pub(crate) fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

pub(crate) struct Puppet {
    name: &'static str,
    stage: Stage,
    seen: u32,
}

/// Panics when it is dropped while nothing else does.
struct Trap;

impl Drop for Trap {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the trap snaps");
    }
}

impl Puppet {
    pub(crate) async fn open(name: &'static str, stage: Stage) -> Result<Self, Failure> {
        assert!(!take(&stage.panicking), "no start");
        if take(&stage.failing) {
            stage.log.note(format!("fail {name}"));
            return Err(Failure::retry("`the door` is locked"));
        }
        stage.log.note(format!("start {name}"));
        Ok(Self { name, stage, seen: 0 })
    }

    pub(crate) async fn act<O: Order>(&mut self, order: O, ctx: &Context) -> Answer<O> {
        self.seen += 1;
        let act = order.act();
        assert!(act != Act::Panic, "boom");
        match act {
            Act::Count | Act::Panic => {}
            Act::PanicLater => {
                yield_now().await;
                assert!(act != Act::PanicLater, "boom");
            }
            Act::Retry => return Err(Failure::retry("no luck").into()),
            Act::Discard => return Err(Failure::discard("no luck").into()),
            Act::Crash => return Err(Failure::crash("no luck").into()),
            Act::Stop => ctx.stop(),
            Act::Hang => pending().await,
            Act::HangBadly => {
                let _trap = Trap;
                pending::<()>().await;
            }
            Act::Wait => self.pass().await?,
        }
        Ok(self.seen)
    }

    /// Waits at the gate, and leaves it open for the next.
    async fn pass(&self) -> Result<(), Failure> {
        self.stage.log.note(format!("wait {}", self.name));
        let _open = self.stage.gate.acquire().await?;
        Ok(())
    }

    pub(crate) async fn stop(&mut self, _: &Context) -> Result<(), Failure> {
        self.stage.log.note(format!("stop {}", self.name));
        Ok(())
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        assert!(!take(&self.stage.dropping), "no end");
    }
}

/// Describes a puppet that follows one order and notes its starts and stops.
pub(crate) fn puppet<O: Order>(name: &'static str, stage: &Stage) -> Actor<Puppet> {
    let stage = stage.clone();
    Actor::new(name, async move || Puppet::open(name, stage.clone()).await)
        .answer(Puppet::act::<O>)
        .on_stop(Puppet::stop)
}
