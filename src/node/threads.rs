//! The node's threads: one for the node itself, more for groups if wanted.

use super::{
    NodeError,
    operation::{Operation, Setup, operate},
    running::Handles,
    site::Site,
};
use std::{sync::mpsc, thread, time::Duration};
use tokio::sync::oneshot;

/// How long to wait for a thread that a handler blocks.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Runs a node on threads of its own; returns before it is ready.
pub(super) fn launch(
    plan: Setup,
    threads: usize,
    operation: Operation,
    ready: oneshot::Sender<Result<Handles, NodeError>>,
) -> Result<(), NodeError> {
    let main = move || {
        let Operation { stopping, ended } = operation;
        let system = actix_rt::System::with_tokio_rt(runtime);
        let (end, arbiters) = system.block_on(async move {
            // Other threads' arbiters; the node's own hosts every `threads`-th group.
            let arbiters: Vec<_> = (1..threads)
                .map(|_| actix_rt::Arbiter::with_tokio_rt(runtime))
                .collect();
            let mut sites = vec![Site::Here];
            sites.extend(arbiters.iter().map(|arbiter| Site::There(arbiter.handle())));
            (operate(plan, sites, stopping, ready).await, arbiters)
        });
        // Nothing of the node is left, such as its bus, when its end is told.
        join(arbiters);
        drop(system);
        ended.send_replace(end);
    };
    thread::Builder::new()
        .name("callboard-node".to_owned())
        .spawn(main)
        .map(drop)
        .map_err(|error| NodeError::Thread { reason: format!("could not be started: {error}") })
}

/// Ends the other threads; one that a handler blocks is left behind.
fn join(arbiters: Vec<actix_rt::Arbiter>) {
    if arbiters.is_empty() {
        return;
    }
    let (done, joined) = mpsc::channel();
    thread::spawn(move || {
        for arbiter in arbiters {
            arbiter.stop();
            arbiter.join().ok();
        }
        done.send(()).ok();
    });
    if joined.recv_timeout(PATIENCE).is_err() {
        tracing::warn!("a handler blocks its thread; the node ends without it");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives a thread its event queue")
}
