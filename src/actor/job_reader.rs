use super::{
    dead::Letter,
    job::{Jobs, Task, lane, request_of},
    lanes::Lanes,
};
use crate::{
    bus::{Consumer, ConsumerConfig, Delivery},
    call::{Content, Ended, Errand, Parcel, Receipt, Work},
    error::{Failure, Verdict},
    message::headers::CB_DUE,
    telemetry::{DEAD_LETTERS_TOTAL, JOBS_ORPHANED_TOTAL, RETRIES_TOTAL},
    time::from_unix_ms,
};
use std::{pin::pin, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// How many jobs of one partition are held at once: few, because calls wait in
/// the same mailboxes.
const HELD: usize = 32;

/// How long a delivered job may stay without a sign of life.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How long a held job may go without one.
const RENEW: Duration = Duration::from_secs(10);

/// How long to wait before something that must succeed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Reads one partition of a domain's jobs.
///
/// As with events, a failing one is tried again here, while its key waits and
/// its ack wait is renewed; when its attempts are used up it is written to the
/// dead letters, then acknowledged. What is held when the node stops is handed back.
pub(super) struct Reader {
    pub(super) jobs: Jobs,
    pub(super) partition: u32,
}

/// A job on its way through its actor.
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
        self.running = false;
        self.due = Some(due);
        due
    }
}

/// What a running reader holds.
struct Reading<'a> {
    jobs: &'a Jobs,
    lanes: Lanes<Held>,
    ended: mpsc::UnboundedSender<(usize, Ended)>,
    stream: String,
    /// Nothing held needs attention before this.
    look: Instant,
}

impl Reader {
    /// Reads until told to stop, and starts over when the bus fails.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if self.jobs.is_away() {
                tokio::select! {
                    () = sleep(AGAIN) => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
            let Err(error) = self.read(&mut stop).await else {
                return;
            };
            let (domain, partition) = (&*self.jobs.domain, self.partition);
            tracing::warn!(
                domain,
                partition,
                error,
                "reading jobs failed, trying again"
            );
            tokio::select! {
                () = sleep(AGAIN) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn open(&self) -> Result<Consumer, String> {
        let stream = self.jobs.client.jobs(&self.jobs.domain).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let mut config = ConsumerConfig::new(format!("jobs_{}", self.partition));
        config.partition = Some(self.partition);
        config.ack_wait = ACK_WAIT;
        config.max_ack_pending = HELD;
        config.pinned = true;
        let consumer = stream.consumer(&config).await;
        consumer.map_err(|error| error.to_string())
    }

    async fn read(&self, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
        let mut consumer = self.open().await?;
        // Bounded by what is held: a slot sends once each time it is worked on.
        let (ended, mut outcomes) = mpsc::unbounded_channel();
        let mut reading = Reading {
            jobs: &self.jobs,
            lanes: Lanes::new(),
            ended,
            stream: self.jobs.client.namespace().job_stream(&self.jobs.domain),
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
                    if self.jobs.is_away() {
                        break Err("its actors are away".to_owned());
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
        let lane = lane(&delivery.message);
        let held = Held {
            attempt: delivery.attempt,
            delivery,
            due: None,
            dead: None,
            running: false,
            renewed: now,
        };
        let next = self.lanes.arrive(lane, held);
        self.advance(next).await;
    }

    /// Starts a lane's head, and what comes up behind it if that needs no handler.
    async fn advance(&mut self, mut slot: Option<usize>) {
        while let Some(at) = slot {
            slot = self.start(at).await;
        }
    }

    /// Hands a job to its actor; returns the next head if it needs none.
    async fn start(&mut self, slot: usize) -> Option<usize> {
        let held = self.lanes.get_mut(slot)?;
        held.due = None;
        let (jobs, stored) = (self.jobs, &held.delivery.message);
        let worker = match jobs.task(stored) {
            Task::Command(worker) => worker,
            Task::Repetition(repetition) => {
                let next = repetition.go_on(&jobs.client, &jobs.domain, stored);
                if let Err(error) = next.await {
                    let (child, name) = (&*repetition.worker.path, repetition.name);
                    tracing::warn!(child, name, error, "the next run is not stored yet");
                    self.look = self.look.min(held.put_off(AGAIN));
                    return None;
                }
                &repetition.worker
            }
            Task::Unknown(reason) => {
                let failed = Ended::Failed(Failure::retry(reason));
                self.ended.send((slot, failed)).ok();
                return None;
            }
            Task::Nothing(why) => {
                let subject = &*stored.subject;
                tracing::info!(group = &*jobs.path, subject, why, "a job is passed over");
                metrics::counter!(JOBS_ORPHANED_TOTAL, "child" => jobs.path.to_string())
                    .increment(1);
                return self.done(slot).await;
            }
        };
        let mut request = match request_of(stored, &self.stream) {
            Ok(request) => request,
            Err(reason) => return self.bury(slot, reason).await,
        };
        request.attempt = held.attempt;
        let due = stored.headers.get(CB_DUE).and_then(|due| due.parse().ok());
        let errand = Errand {
            request,
            due: due.map(from_unix_ms),
            content: Content::Encoded(stored.payload.clone()),
            receipt: Receipt::new(slot, held.attempt, &self.ended, None),
        };
        held.running = true;
        let parcel = Parcel { route: 0, work: Work::Job(Box::new(errand)), deadline: None };
        // A parcel that is not taken comes back through its receipt.
        (worker.door.offer)(parcel, None).ok();
        None
    }

    async fn settle(&mut self, slot: usize, ended: Ended) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
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
        let (path, retry) = self.jobs.owner(&held.delivery.message);
        let attempt = held.attempt;
        let wait = match verdict {
            Verdict::Discard => None,
            Verdict::Retry | Verdict::Crash => retry.after(attempt, fastrand::f64()),
        };
        if let Some(wait) = wait {
            tracing::warn!(child = &*path, attempt, reason, again_in = ?wait, "a job could not be done");
            metrics::counter!(RETRIES_TOTAL, "child" => path.to_string()).increment(1);
            held.attempt += 1;
            self.look = self.look.min(held.put_off(wait));
        } else {
            held.running = false;
            let next = self.bury(slot, reason).await;
            self.advance(next).await;
        }
    }

    /// Acknowledges a job and lets its key go on.
    async fn done(&mut self, slot: usize) -> Option<usize> {
        let (held, next) = self.lanes.leave(slot)?;
        if let Err(error) = held.delivery.ack().await {
            tracing::warn!(%error, "a job will come again");
        }
        next
    }

    /// Writes the dead letter, then acknowledges the job; until the letter is
    /// stored, the job is kept.
    async fn bury(&mut self, slot: usize, reason: String) -> Option<usize> {
        let client = &self.jobs.client;
        let held = self.lanes.get_mut(slot)?;
        let stored = &held.delivery.message;
        let (path, _) = self.jobs.owner(stored);
        let letter = Letter {
            index: 0,
            stored,
            stream: &self.stream,
            path: &path,
            reason: &reason,
            attempts: held.attempt,
        };
        let written = match client.dead_letters().await {
            Ok(letters) => letter.write(&letters, client.namespace().dead(&path)).await,
            Err(error) => Err(error.to_string()),
        };
        let (child, subject, sequence) = (&*path, &*stored.subject, stored.sequence);
        if let Err(error) = written {
            tracing::error!(
                child,
                subject,
                sequence,
                error,
                "a dead letter could not be written"
            );
            held.dead = Some(reason);
            self.look = self.look.min(held.put_off(AGAIN));
            return None;
        }
        let attempts = held.attempt;
        tracing::error!(
            child,
            subject,
            sequence,
            attempts,
            reason,
            "a job became a dead letter"
        );
        metrics::counter!(DEAD_LETTERS_TOTAL, "child" => path.to_string()).increment(1);
        self.done(slot).await
    }

    /// Renews the ack wait of what is held for long, and tries again what is due.
    async fn wake(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (slot, held) in self.lanes.iter_mut() {
            if held.renewed + RENEW <= now {
                held.renewed = now;
                if let Err(error) = held.delivery.progress().await {
                    tracing::warn!(%error, "a job may come twice");
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
        let next = self.lanes.iter_mut().map(|(_, held)| {
            let renewal = held.renewed + RENEW;
            held.due.map_or(renewal, |due| due.min(renewal))
        });
        self.look = next.min().unwrap_or_else(|| Instant::now() + RENEW);
    }

    /// Waits for what is being done, then gives back what is not.
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
