//! The node's threads: one for the node itself, more for groups if wanted.

use super::{
    NodeError,
    operation::{Operation, Plan, operate},
    running::Handles,
    site::Site,
};
use tokio::sync::oneshot;

/// Runs a node on threads of its own; returns before it is ready.
pub(super) fn launch(
    plan: Plan,
    threads: usize,
    operation: Operation,
    ready: oneshot::Sender<Result<Handles, NodeError>>,
) -> Result<(), NodeError> {
    let main = move || {
        let system = actix_rt::System::with_tokio_rt(runtime);
        system.block_on(async move {
            // Other threads' arbiters; the node's own hosts every `threads`-th group.
            let arbiters: Vec<_> = (1..threads)
                .map(|_| actix_rt::Arbiter::with_tokio_rt(runtime))
                .collect();
            let mut sites = vec![Site::Here];
            sites.extend(arbiters.iter().map(|arbiter| Site::There(arbiter.handle())));
            operate(plan, sites, operation, ready).await;
            for arbiter in arbiters {
                arbiter.stop();
            }
        });
    };
    std::thread::Builder::new()
        .name("callboard-node".to_owned())
        .spawn(main)
        .map(drop)
        .map_err(|error| NodeError::Thread { reason: format!("could not be started: {error}") })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives a thread its event queue")
}
