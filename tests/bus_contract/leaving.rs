//! Members of a queue leave while it is at work, and take nothing with them.

use crate::scope::{SOON, Scope, Verdict};
use callboard::{
    Bus,
    bus::{Message, Subscription},
};
use futures_util::future::join_all;
use std::{
    error::Error,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use tokio::{sync::watch, task::JoinSet};

/// How many are waited for at once.
const IN_FLIGHT: usize = 256;
const LEAVINGS: usize = 30;

/// Answers on a connection of its own until it leaves, and then what is left.
struct Worker {
    leave: watch::Sender<bool>,
    at_work: JoinSet<Result<(), String>>,
}

impl Worker {
    async fn join(scope: &Scope) -> Result<Self, Box<dyn Error>> {
        let bus = scope.bus.reopen().await?;
        let work = bus.subscribe(&scope.at("work"), Some("crew")).await?;
        let (leave, leaving) = watch::channel(false);
        let mut at_work = JoinSet::new();
        at_work.spawn(async move {
            let worked = answer(&bus, work, leaving).await;
            worked.map_err(|error| error.to_string())
        });
        Ok(Self { leave, at_work })
    }

    async fn leave(mut self) -> Verdict {
        self.leave.send_replace(true);
        Ok(self.at_work.join_next().await.ok_or("at work")???)
    }
}

async fn answer(
    bus: &Bus,
    mut work: Subscription,
    mut leaving: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    loop {
        tokio::select! {
            asked = work.next() => {
                let Some(asked) = asked else { break };
                let reply = asked.reply.ok_or("no reply subject")?;
                bus.send(Message::new(reply, "done")).await?;
            }
            Ok(()) = leaving.changed() => work.drain(),
        }
    }
    // The last answers are on their way.
    bus.close().await;
    Ok(())
}

async fn ask(scope: &Scope, going: &AtomicBool, answered: &AtomicU64) -> Vec<String> {
    let mut lost = Vec::new();
    while going.load(Relaxed) {
        let asked = Message::new(scope.at("work"), "");
        match scope.bus.request(asked, SOON / 5).await {
            Ok(_) => drop(answered.fetch_add(1, Relaxed)),
            Err(error) => lost.push(error.to_string()),
        }
    }
    lost
}

async fn leave_in_turn(scope: Scope, in_flight: usize) -> Verdict {
    let mut crew = Vec::new();
    for _ in 0..3 {
        crew.push(Worker::join(&scope).await?);
    }
    let (going, answered) = (AtomicBool::new(true), AtomicU64::new(0));
    let asking = join_all((0..in_flight).map(|_| ask(&scope, &going, &answered)));
    let leaving = async {
        for _ in 0..LEAVINGS {
            crew.remove(0).leave().await?;
            crew.push(Worker::join(&scope).await?);
        }
        going.store(false, Relaxed);
        Ok::<_, Box<dyn Error>>(())
    };
    let (lost, left) = tokio::join!(asking, leaving);
    left?;
    let lost: Vec<_> = lost.into_iter().flatten().collect();
    assert_eq!(lost, Vec::<String>::new());
    assert!(answered.load(Relaxed) > 0);
    for worker in crew {
        worker.leave().await?;
    }
    Ok(())
}

pub(crate) async fn a_member_that_drains_loses_nothing_of_much(scope: Scope) -> Verdict {
    leave_in_turn(scope, IN_FLIGHT).await
}

pub(crate) async fn a_member_that_drains_loses_nothing_of_little(scope: Scope) -> Verdict {
    leave_in_turn(scope, 1).await
}
