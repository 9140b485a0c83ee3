//! The identity of the streams that are in use: a server that comes back empty, or
//! another one at its address, is not taken for the one that was lost.
//!
//! The server says when each stream was made. That is noted when a stream is opened
//! and compared after each reconnect. Until it is the same again, no stream is made:
//! what is gone stays visible, and a restored store is taken up as it is.

use super::{
    api::{ApiError, Nothing},
    link::{Link, WeakLink, too_old},
};
use async_nats::jetstream::{ErrorCode, stream::Info};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

/// How long to wait before streams that were not as known are looked at again.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The streams that were opened over the connections of one bus.
#[derive(Debug)]
pub(super) struct Identities {
    created: Mutex<BTreeMap<String, SystemTime>>,
    /// Why the server is not the one that was lost, if it is not.
    impairment: watch::Sender<Option<String>>,
}

impl Identities {
    pub(super) fn new() -> Self {
        Self { created: Mutex::default(), impairment: watch::Sender::new(None) }
    }

    /// Returns why the server cannot be used, if it is another than before.
    pub(super) fn impairment(&self) -> Option<String> {
        self.impairment.borrow().clone()
    }

    /// Returns whether a stream of this name was opened before.
    pub(super) fn knows(&self, stream: &str) -> bool {
        self.lock().contains_key(stream)
    }

    /// Notes a stream that was opened; one that is known already must be the same.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it.
    pub(super) fn note(&self, info: &Info) -> Result<(), String> {
        let created = SystemTime::from(info.created);
        let known = *self
            .lock()
            .entry(info.config.name.clone())
            .or_insert(created);
        if known == created {
            return Ok(());
        }
        Err(replaced(&info.config.name, known, created))
    }

    fn known(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn set(&self, impairment: Option<String>) {
        let changed = self.impairment.send_if_modified(|before| {
            let changed = *before != impairment;
            before.clone_from(&impairment);
            changed
        });
        match impairment {
            _ if !changed => {}
            Some(reason) => tracing::error!(reason, "the NATS server is not the one that was lost"),
            None => tracing::info!("the NATS server has all streams again"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SystemTime>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Compares the streams after each reconnect, until the connection is closed.
    pub(super) fn watch_identity(&self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        // It must not keep a connection that nobody uses any more.
        let (link, connects) = (self.downgrade(), self.connects());
        drop(runtime.spawn(compare_after_reconnects(link, connects)));
    }

    /// Waits until the streams were compared on the connection that there is now.
    ///
    /// # Errors
    ///
    /// Returns why the server is not the one that was lost.
    pub(super) async fn identified(&self, deadline: Instant) -> Result<(), String> {
        let mut compared = self.compared().subscribe();
        let connects = *self.connects().borrow();
        let known = compared.wait_for(|compared| *compared >= connects);
        if timeout_at(deadline, known).await.is_err() {
            return Err("its streams could not be compared with those before the reconnect".into());
        }
        self.identities().impairment().map_or(Ok(()), Err)
    }

    /// Compares the streams if that is due; returns whether to do it again soon.
    async fn compare_if_due(&self, connects: u64) -> bool {
        let is_new = connects > *self.compared().borrow();
        if (is_new || self.identities().impairment().is_some())
            && let Some(impairment) = self.compare_all().await
        {
            self.identities().set(impairment);
            self.compared().send_replace(connects);
        }
        connects > *self.compared().borrow() || self.identities().impairment().is_some()
    }

    /// Compares all streams with what is known of them; `None` if the server does not say.
    async fn compare_all(&self) -> Option<Option<String>> {
        if let Some(reason) = too_old(self.client()) {
            return Some(Some(reason));
        }
        let mut wrong = Vec::new();
        for name in self.identities().known() {
            let subject = format!("STREAM.INFO.{name}");
            match self.ask_patiently::<Info>(&subject, &Nothing {}).await {
                Ok(info) => wrong.extend(self.identities().note(&info).err()),
                Err(ApiError::Refused(error))
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    wrong.push(gone(&name));
                }
                Err(_) => return None,
            }
        }
        let more = wrong.len().saturating_sub(1);
        Some(wrong.into_iter().next().map(|first| match more {
            0 => first,
            more => format!("{first} ({more} more streams are not as they were)"),
        }))
    }
}

async fn compare_after_reconnects(link: WeakLink, mut connects: watch::Receiver<u64>) {
    loop {
        let count = *connects.borrow_and_update();
        let again = match link.upgrade() {
            Some(link) if !link.is_closed() => link.compare_if_due(count).await,
            _ => return,
        };
        tokio::select! {
            changed = connects.changed() => if changed.is_err() { return },
            () = sleep(RECHECK_INTERVAL), if again => {}
        }
    }
}

/// Says that a stream that was in use is gone, and what can be done.
pub(super) fn gone(stream: &str) -> String {
    format!(
        "stream {stream}, which this process uses, is gone; restore the server's store, or restart \
         the nodes to begin with empty streams"
    )
}

fn replaced(stream: &str, known: SystemTime, found: SystemTime) -> String {
    let at = humantime::format_rfc3339_seconds;
    format!(
        "stream {stream} was made anew at {}, and this process uses the one made at {}; restore the \
         server's store, or restart the nodes to begin with the new one",
        at(found),
        at(known)
    )
}
