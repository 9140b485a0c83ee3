use super::{Inbox, Retry, dead::Letter, inbox::instance, lanes::Lanes};
use crate::{
    bus::{Consumer, ConsumerConfig, Delivery, Stream},
    call::{Client, Ended, Parcel, Receipt, Work},
    error::Verdict,
    message::{Envelope, Origin, Subject},
    telemetry::{DEAD_LETTERS_TOTAL, RETRIES_TOTAL, SKIPPED_TOTAL},
};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// How many events of one partition are held at once.
const HELD: usize = 256;

/// How long a delivered event may stay without a sign of life.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How long a held event may go without one.
const RENEW: Duration = Duration::from_secs(10);

/// How long to wait before something that must succeed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How one actor hears the events of one domain, in one partition.
///
/// Events are handled in order per key and side by side across keys. A failing
/// event is tried again here, while its key waits and its ack wait is renewed;
/// when its attempts are used up it is written to the dead letters, then
/// acknowledged. What is held when the node stops is handed back.
#[derive(Debug)]
pub(crate) struct Reaction {
    pub(crate) client: Client,
    /// The actor's path in the tree.
    pub(crate) path: Arc<str>,
    pub(crate) domain: &'static str,
    pub(crate) partition: u32,
    /// The types it hears, and their places in the actor's table.
    pub(crate) hears: Arc<[(Subject, usize)]>,
    pub(crate) inboxes: Arc<[Inbox]>,
    pub(crate) retry: Retry,
}

/// An event on its way through the actor.
#[derive(Debug)]
struct Held {
    delivery: Delivery,
    attempt: u32,
    /// When it is tried again, if it failed.
    due: Option<Instant>,
    /// Why it is given up, if it is.
    dead: Option<String>,
    running: bool,
    renewed: Instant,
}

impl Held {
    /// Lets it wait before it is tried again; returns when that is.
    fn put_off(&mut self, wait: Duration) -> Instant {
        let due = Instant::now() + wait;
        self.due = Some(due);
        due
    }
}

/// What a running reaction holds.
struct Reading<'a> {
    reaction: &'a Reaction,
    lanes: Lanes<Held>,
    ended: mpsc::UnboundedSender<(usize, Ended)>,
    stream: &'a str,
    /// Nothing held needs attention before this.
    look: Instant,
}

impl Reaction {
    /// Reads until told to stop, and starts over when the bus fails.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if self.is_away() {
                tokio::select! {
                    () = sleep(AGAIN) => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
            let Err(error) = self.read(&mut stop).await else {
                return;
            };
            tracing::warn!(
                child = &*self.path,
                domain = self.domain,
                error,
                "reading events failed, trying again"
            );
            tokio::select! {
                () = sleep(AGAIN) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Whether its actor was removed; then another node may have one.
    fn is_away(&self) -> bool {
        self.inboxes.iter().all(Inbox::is_closed)
    }

    async fn open(&self) -> Result<(Stream, Consumer), String> {
        let stream = self
            .client
            .events(self.domain)
            .await
            .map_err(|error| error.to_string())?;
        let mut config = ConsumerConfig::new(format!(
            "{}_{}",
            self.path.replace('/', "_"),
            self.partition
        ));
        config.partition = Some(self.partition);
        config.ack_wait = ACK_WAIT;
        config.max_ack_pending = HELD;
        config.pinned = true;
        let consumer = stream
            .consumer(&config)
            .await
            .map_err(|error| error.to_string())?;
        Ok((stream, consumer))
    }

    async fn read(&self, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
        let (_, mut consumer) = self.open().await?;
        let stream = self.client.namespace().event_stream(self.domain);
        // Bounded by what is held: a slot sends once each time it is worked on.
        let (ended, mut outcomes) = mpsc::unbounded_channel();
        let mut reading = Reading {
            reaction: self,
            lanes: Lanes::new(),
            ended,
            stream: &stream,
            look: Instant::now(),
        };
        let mut stopping = pin!(stop.changed());
        let mut alarm = pin!(sleep_until(reading.look));
        let outcome = loop {
            if alarm.deadline() != reading.look {
                alarm.as_mut().reset(reading.look);
            }
            tokio::select! {
                biased;
                _ = &mut stopping => break Ok(()),
                Some((slot, ended)) = outcomes.recv() => {
                    reading.settle(slot, ended).await;
                    if self.is_away() {
                        break Err("its actor is away".to_owned());
                    }
                }
                () = &mut alarm, if reading.lanes.len() > 0 => reading.wake().await,
                delivery = consumer.next(), if reading.lanes.len() < HELD => match delivery {
                    Ok(delivery) => reading.arrive(delivery).await,
                    Err(error) => break Err(error.to_string()),
                },
            }
        };
        // What is handed back shall not come here again.
        consumer.retire().await;
        reading.hand_back(&mut outcomes).await;
        consumer.close().await;
        outcome
    }
}

impl Reading<'_> {
    async fn arrive(&mut self, delivery: Delivery) {
        let now = Instant::now();
        if self.lanes.len() == 0 {
            self.look = now + RENEW;
        }
        let (_, token) = delivery
            .message
            .subject
            .rsplit_once('.')
            .unwrap_or_default();
        let token = Arc::from(token);
        let held = Held {
            attempt: delivery.attempt,
            delivery,
            due: None,
            dead: None,
            running: false,
            renewed: now,
        };
        let next = self.lanes.arrive(token, held);
        self.advance(next).await;
    }

    /// Starts a lane's head, and what comes up behind it if that needs no handler.
    async fn advance(&mut self, mut slot: Option<usize>) {
        while let Some(at) = slot {
            slot = self.start(at).await;
        }
    }

    /// Hands an event to its handler; returns the next head if it needs none.
    async fn start(&mut self, slot: usize) -> Option<usize> {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot)?;
        let envelope = match envelope_of(&held.delivery, self.stream) {
            Ok(envelope) => envelope,
            Err(reason) => return self.bury(slot, reason).await,
        };
        let heard = reaction
            .hears
            .iter()
            .find(|(subject, _)| subject.as_str() == envelope.kind);
        let Some(&(_, route)) = heard else {
            let domain = envelope.kind.split_once('.').map(|(domain, _)| domain);
            if domain != Some(reaction.domain) {
                let reason = format!(
                    "its type `{}` is not of the domain `{}`",
                    envelope.kind, reaction.domain
                );
                return self.bury(slot, reason).await;
            }
            metrics::counter!(SKIPPED_TOTAL, "child" => reaction.path.to_string()).increment(1);
            return self.done(slot).await;
        };
        let receipt = Receipt { slot, attempt: held.attempt, ended: Some(self.ended.clone()) };
        held.running = true;
        held.due = None;
        let inbox = &reaction.inboxes[instance(envelope.key.as_str(), reaction.inboxes.len())];
        let work = Work::Event(Box::new(envelope), receipt);
        // A parcel that is not taken comes back through its receipt.
        inbox.push(Parcel { route, work, deadline: None }).ok();
        None
    }

    async fn settle(&mut self, slot: usize, ended: Ended) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        held.running = false;
        let (verdict, reason) = match ended {
            Ended::Done => {
                let next = self.done(slot).await;
                return self.advance(next).await;
            }
            Ended::Unhandled => {
                self.look = self.look.min(held.put_off(AGAIN));
                return;
            }
            Ended::Failed(failure) => (failure.verdict(), failure.to_string()),
            Ended::Crashed(reason) => (Verdict::Crash, reason),
        };
        let wait = match verdict {
            Verdict::Discard => None,
            Verdict::Retry | Verdict::Crash => {
                self.reaction.retry.after(held.attempt, fastrand::f64())
            }
        };
        let path = &*self.reaction.path;
        let attempt = held.attempt;
        if let Some(wait) = wait {
            tracing::warn!(child = path, attempt, reason, again_in = ?wait, "an event could not be handled");
            metrics::counter!(RETRIES_TOTAL, "child" => path.to_owned()).increment(1);
            held.attempt += 1;
            self.look = self.look.min(held.put_off(wait));
        } else {
            let next = self.bury(slot, reason).await;
            self.advance(next).await;
        }
    }

    /// Acknowledges an event and lets its key go on.
    async fn done(&mut self, slot: usize) -> Option<usize> {
        let (held, next) = self.lanes.leave(slot)?;
        if let Err(error) = held.delivery.ack().await {
            tracing::warn!(%error, "an event will come again");
        }
        next
    }

    /// Writes the dead letter, then acknowledges the event; until the letter is
    /// stored, the event is kept.
    async fn bury(&mut self, slot: usize, reason: String) -> Option<usize> {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot)?;
        let stored = &held.delivery.message;
        let letter = Letter {
            stored,
            stream: self.stream,
            path: &reaction.path,
            reason: &reason,
            attempts: held.attempt,
        };
        let written = match reaction.client.dead_letters().await {
            Ok(letters) => {
                letter
                    .write(&letters, reaction.client.namespace().dead(&reaction.path))
                    .await
            }
            Err(error) => Err(error.to_string()),
        };
        let (subject, sequence) = (&*stored.subject, stored.sequence);
        if let Err(error) = written {
            tracing::error!(
                child = &*reaction.path,
                subject,
                sequence,
                error,
                "a dead letter could not be written, trying again"
            );
            held.dead = Some(reason);
            self.look = self.look.min(held.put_off(AGAIN));
            return None;
        }
        tracing::error!(
            child = &*reaction.path,
            subject,
            sequence,
            attempts = held.attempt,
            reason,
            "an event became a dead letter"
        );
        metrics::counter!(DEAD_LETTERS_TOTAL, "child" => reaction.path.to_string()).increment(1);
        self.done(slot).await
    }

    /// Finds out when something held needs attention next.
    fn look_ahead(&mut self) {
        let next = self.lanes.iter_mut().map(|(_, held)| {
            let renewal = held.renewed + RENEW;
            held.due.map_or(renewal, |due| due.min(renewal))
        });
        self.look = next.min().unwrap_or_else(|| Instant::now() + RENEW);
    }

    /// Renews the ack wait of what is held for long, and tries again what is due.
    async fn wake(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (slot, held) in self.lanes.iter_mut() {
            if held.renewed + RENEW <= now {
                held.renewed = now;
                if let Err(error) = held.delivery.progress().await {
                    tracing::warn!(%error, "an event may come twice");
                }
            }
            if held.due.is_some_and(|due| due <= now) {
                due.push((slot, held.dead.take()));
            }
        }
        for (slot, dead) in due {
            let next = match dead {
                Some(reason) => self.bury(slot, reason).await,
                None => Some(slot),
            };
            self.advance(next).await;
        }
        self.look_ahead();
    }

    /// Waits for what is being handled, then gives back what is not.
    async fn hand_back(&mut self, outcomes: &mut mpsc::UnboundedReceiver<(usize, Ended)>) {
        let patience = Instant::now() + RENEW;
        while self.lanes.iter_mut().any(|(_, held)| held.running) {
            let Ok(Some((slot, ended))) = timeout_at(patience, outcomes.recv()).await else {
                break;
            };
            if matches!(ended, Ended::Done) {
                self.done(slot).await;
            } else if let Some(held) = self.lanes.get_mut(slot) {
                held.running = false;
            }
        }
        let mut left = self.lanes.take_all();
        // In the order of the stream, so that they come again in order.
        left.sort_by_key(|held| held.delivery.message.sequence);
        for held in left {
            // What cannot be given back comes again after its ack wait.
            held.delivery.nak(Duration::ZERO).await.ok();
        }
    }
}

fn envelope_of(delivery: &Delivery, stream: &str) -> Result<Envelope, String> {
    let stored = &delivery.message;
    let origin = Origin {
        stream,
        sequence: stored.sequence,
        subject: &stored.subject,
        time: stored.time,
    };
    Envelope::read(&stored.headers, origin, stored.payload.clone())
        .map_err(|error| format!("{} #{} {error}", stored.subject, stored.sequence))
}
