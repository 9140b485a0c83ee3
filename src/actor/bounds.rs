//! What a user wrote runs within bounds: of time, of patience, of panics.

use super::{Context, inbox::Gauge, meter::Meter};
use futures_util::{FutureExt, poll};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// What a handler runs with beside its message.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) ctx: &'a Context,
    pub(super) bounds: Bounds<'a>,
    pub(super) gauge: &'a Arc<Gauge>,
    /// Counts for the handler; nothing for one that no message reaches.
    pub(super) meter: Option<&'a Arc<Meter>>,
}

/// How long something may run, and who may end it before.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) within: Duration,
    pub(super) kill: &'a Notify,
}

/// Why something did not run to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("it panicked: {0}")]
    Panicked(String),
    #[error("it was cut off to stop")]
    Killed,
    #[error("it ran longer than its {}", humantime::format_duration(*.0))]
    Late(Duration),
}

impl Bounds<'_> {
    /// Runs work to its end or its bounds. What is left of work that was cut
    /// off is dropped here, where a panic is caught as well.
    pub(super) async fn run<T>(self, work: impl Future<Output = T>) -> Result<T, Cut> {
        let mut slot = pin!(Some(AssertUnwindSafe(work).catch_unwind()));
        let mut work = slot.as_mut().as_pin_mut().expect("it was just put there");
        let cut = match poll!(&mut work) {
            Poll::Ready(ended) => return ended.map_err(|panic| Cut::of(&*panic)),
            Poll::Pending => tokio::select! {
                biased;
                ended = &mut work => return ended.map_err(|panic| Cut::of(&*panic)),
                () = self.kill.notified() => Cut::Killed,
                () = sleep(self.within) => Cut::Late(self.within),
            },
        };
        if let Err(panic) = caught(|| slot.set(None)) {
            tracing::warn!(%panic, "what was cut off did not end cleanly");
        }
        Err(cut)
    }
}

impl Cut {
    fn of(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("with something that is no text");
        Self::Panicked(text.to_owned())
    }
}

/// Runs what a user wrote without an `async`, such as a `Drop` or a `Deserialize`.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Cut> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Cut::of(&*panic))
}

/// Runs what a user wrote outside the mailbox, and turns a panic into its text.
pub(crate) async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    ended.map_err(|panic| Cut::of(&*panic).to_string())
}
