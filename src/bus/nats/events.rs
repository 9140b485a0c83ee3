use crate::telemetry;
use async_nats::{ClientError, Event, ServerError};
use metrics::counter;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::{sync::watch, time::Instant};

/// Where one client tells what happens to its connection.
///
/// The client's own task may die without a word: a received header with a bare
/// carriage return makes it panic. It then lets go of its ear.
#[derive(Debug)]
pub(super) struct Ear(Arc<Events>);

impl Ear {
    pub(super) const fn new(events: Arc<Events>) -> Self {
        Self(events)
    }

    pub(super) fn hear(&self, event: Event) {
        self.0.note(event);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // One that never connected was only an attempt.
        if *self.0.connects.borrow() > 0 {
            self.0.end();
        }
    }
}

/// What the client tells about its connection, noted for those who wait for it.
#[derive(Debug)]
pub(super) struct Events {
    server: String,
    connects: watch::Sender<u64>,
    ended: watch::Sender<bool>,
    lost: Mutex<Option<Instant>>,
    told: AtomicBool,
    denied: Mutex<Option<String>>,
}

impl Events {
    pub(super) fn new(server: String) -> Self {
        Self {
            server,
            connects: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            lost: Mutex::new(None),
            told: AtomicBool::new(false),
            denied: Mutex::new(None),
        }
    }

    /// Returns a watch on how often the connection was made.
    pub(super) fn connects(&self) -> watch::Receiver<u64> {
        self.connects.subscribe()
    }

    /// Returns a watch on whether the connection was closed for good.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Returns what the server refused last, if it concerns this subject.
    pub(super) fn denied(&self, subject: &str) -> Option<String> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.clone().filter(|text| text.contains(subject))
    }

    /// Notes that there will be no further connection.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    fn note(&self, event: Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected => self.disconnected(),
            Event::Closed => self.end(),
            Event::SlowConsumer(_) => counter!(telemetry::DROPPED_TOTAL).increment(1),
            Event::ServerError(error) => self.refused(&error),
            Event::ClientError(ClientError::Other(text)) => self.failed(&text),
            Event::LameDuckMode => {
                tracing::warn!(
                    server = self.server,
                    "the NATS server is about to shut down"
                );
            }
            Event::Draining | Event::ClientError(_) => {}
        }
    }

    fn connected(&self) {
        let lost = self
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(lost) = lost {
            let outage = lost.elapsed();
            counter!(telemetry::RECONNECTS_TOTAL).increment(1);
            tracing::info!(server = self.server, ?outage, "the NATS server is back");
        }
        self.told.store(false, Ordering::Relaxed);
        self.connects.send_modify(|count| *count += 1);
    }

    fn disconnected(&self) {
        let now = Instant::now();
        let since = *self
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(now);
        if since == now {
            tracing::warn!(
                server = self.server,
                "the NATS server is lost; connecting again"
            );
        }
    }

    /// Notes a failed attempt to connect: a refusal of the credentials once per
    /// outage, because it will not end by itself.
    fn failed(&self, text: &str) {
        if text.contains("authorization") || text.contains("authentication") {
            if !self.told.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    server = self.server,
                    reason = text,
                    "the NATS server refuses the credentials; still trying"
                );
            }
            return;
        }
        tracing::debug!(server = self.server, reason = text, "no connection yet");
    }

    fn refused(&self, error: &ServerError) {
        let text = error.to_string();
        tracing::error!(
            server = self.server,
            reason = text,
            "the NATS server refuses"
        );
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}
