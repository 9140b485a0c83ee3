use crate::telemetry;
use async_nats::{ClientError, Event, ServerError};
use metrics::counter;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{sync::watch, time::Instant};

/// How many refusals of the server are remembered.
const REFUSALS_KEPT: usize = 64;

/// Where one client tells what happens to its connection.
///
/// The client's own task may die without a word: a received header with a bare
/// carriage return makes it panic. It then lets go of its ear.
#[derive(Debug)]
pub(super) struct Ear {
    events: Arc<Events>,
    /// One that never connected was only an attempt.
    is_connected: AtomicBool,
}

impl Ear {
    pub(super) const fn new(events: Arc<Events>) -> Self {
        Self { events, is_connected: AtomicBool::new(false) }
    }

    pub(super) fn hear(&self, event: Event) {
        if event == Event::Connected {
            self.is_connected.store(true, Ordering::Relaxed);
        }
        self.events.note(event);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if self.is_connected.load(Ordering::Relaxed) {
            self.events.died();
        }
    }
}

/// What becomes of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Its client makes the connection again whenever it is lost.
    Up,
    /// Its client has died; another is made.
    Dead,
    /// It was closed.
    Ended,
}

/// What the client tells about its connection, noted for those who wait for it.
#[derive(Debug)]
pub(super) struct Events {
    server: String,
    connects: watch::Sender<u64>,
    life: watch::Sender<Life>,
    lost: Mutex<Option<Instant>>,
    told: AtomicBool,
    /// How often the server refused something.
    refused: watch::Sender<u64>,
    /// The newest refusals, each with its number.
    refusals: Mutex<VecDeque<(u64, String)>>,
    /// Whether it was said that something comes that cannot be read.
    warned: AtomicBool,
}

impl Events {
    pub(super) fn new(server: String) -> Self {
        Self {
            server,
            connects: watch::Sender::new(0),
            life: watch::Sender::new(Life::Up),
            lost: Mutex::new(None),
            told: AtomicBool::new(false),
            refused: watch::Sender::new(0),
            refusals: Mutex::default(),
            warned: AtomicBool::new(false),
        }
    }

    /// Returns a watch on how often the connection was made.
    pub(super) fn connects(&self) -> watch::Receiver<u64> {
        self.connects.subscribe()
    }

    /// Returns a watch on what becomes of the link.
    pub(super) fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    pub(super) fn is(&self, life: Life) -> bool {
        *self.life.borrow() == life
    }

    /// Returns how often the server has refused something so far.
    pub(super) fn refusals(&self) -> u64 {
        *self.refused.borrow()
    }

    /// Returns the first refusal after that many that names this.
    pub(super) fn refusal(&self, after: u64, what: &str) -> Option<String> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |(number, text): &&(u64, String)| *number > after && text.contains(what);
        refusals.iter().find(named).map(|(_, text)| text.clone())
    }

    /// Waits for a refusal after that many that names this.
    pub(super) async fn refused(&self, after: u64, what: &str) -> String {
        let mut refused = self.refused.subscribe();
        loop {
            refused.borrow_and_update();
            if let Some(text) = self.refusal(after, what) {
                return text;
            }
            if refused.changed().await.is_err() {
                // The sender lives as long as this.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notes that there will be no further connection.
    pub(super) fn end(&self) {
        self.life.send_replace(Life::Ended);
    }

    /// Notes that the client's task has ended, though nobody closed it.
    fn died(&self) {
        self.life.send_if_modified(|life| {
            let is_up = *life == Life::Up;
            if is_up {
                *life = Life::Dead;
            }
            is_up
        });
    }

    /// Tells that another client is made. Nobody makes one for a program that ends and
    /// takes its clients along.
    pub(super) fn reviving(&self) {
        tracing::warn!(
            server = self.server,
            "a message broke the NATS client; it is made anew"
        );
    }

    /// Notes that another client has taken the dead one's place.
    pub(super) fn revived(&self) {
        self.life.send_if_modified(|life| {
            let is_dead = *life == Life::Dead;
            if is_dead {
                *life = Life::Up;
            }
            is_dead
        });
        counter!(telemetry::RECONNECTS_TOTAL).increment(1);
        // Whoever waited for the connection must look again.
        self.connects.send_modify(|count| *count += 1);
    }

    /// Counts and notes a message that the client could not have read: aloud once, because
    /// whoever sends one sends many.
    pub(super) fn unreadable(&self, subject: &str, reason: &str) {
        counter!(telemetry::UNREADABLE_HEADERS_TOTAL).increment(1);
        let subject = subject.escape_debug().to_string();
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(subject, reason, "a message cannot be read");
            return;
        }
        tracing::warn!(
            server = self.server,
            subject,
            reason,
            "a message cannot be read; it is handled as one without headers, and so are all more of them"
        );
    }

    fn note(&self, event: Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected => self.disconnected(),
            Event::Closed => self.end(),
            Event::SlowConsumer(_) => counter!(telemetry::DROPPED_TOTAL).increment(1),
            Event::ServerError(error) => self.note_refusal(&error),
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

    fn note_refusal(&self, error: &ServerError) {
        let text = error.to_string();
        tracing::error!(
            server = self.server,
            reason = text,
            "the NATS server refuses"
        );
        self.refused.send_modify(|count| {
            *count += 1;
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if refusals.len() == REFUSALS_KEPT {
                refusals.pop_front();
            }
            refusals.push_back((*count, text));
        });
    }
}
