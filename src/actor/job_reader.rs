use super::{
    failover::{ACK_WAIT, Failover, key_of},
    job::{Jobs, lane},
    job_turns::Done,
    lanes::Lanes,
    repeated::Repeated,
    tried::{Known, Tried},
};
use crate::{
    bus::{Consumer, ConsumerConfig, Delivery, Stream},
    call::{Ended, Pulse},
};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// How many jobs of one partition are held at once.
const HELD: usize = 256;

/// How long a held job may go without one.
const RENEW: Duration = Duration::from_secs(10);

/// How long without a sign of life is too long: less than the ack wait.
const LAPSE: Duration = Duration::from_secs(25);

/// How long to wait before something that must succeed is tried again.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long a reader stays away from a partition that it left to another node.
const STAY_AWAY: Duration = Duration::from_secs(15);

/// How many jobs that were done are remembered, should they come again.
const REMEMBERED: usize = 1_024;

type Outcomes = mpsc::UnboundedReceiver<(usize, Ended)>;

/// Reads one partition of a domain's jobs.
///
/// As with events, a failing one is tried again here, while its key waits and
/// its ack wait is renewed; when its attempts are used up it is written to the
/// dead letters, then acknowledged. What others may have held before comes
/// first. A partition with a job that only another version can do is left to a
/// node of that version. What is held when the node stops is handed back.
pub(super) struct Reader {
    pub(super) jobs: Jobs,
    pub(super) partition: u32,
}

/// A job on its way through its actor.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) delivery: Delivery,
    /// Which attempt is at hand or comes next, from 1.
    pub(super) attempt: u32,
    /// When it is tried again, if it waits for that.
    pub(super) due: Option<Instant>,
    /// Why it is given up, if it is.
    pub(super) dead: Option<String>,
    /// Whether its actor has it.
    pub(super) running: bool,
    /// Whether the run after it is stored, if it is repeated.
    pub(super) armed: bool,
    /// Since when nobody who is there could do it.
    pub(super) unknown: Option<Instant>,
}

/// Why a reader stopped reading.
enum End {
    /// The node stops.
    Stop,
    /// Another node can do what this one cannot.
    Yield,
    /// Something failed.
    Failed(String),
}

/// What a running reader holds.
pub(super) struct Reading<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) partition: u32,
    pub(super) consumer: Consumer,
    pub(super) source: Stream,
    /// The stream's name.
    pub(super) stream: Arc<str>,
    pub(super) lanes: Lanes<Held>,
    /// What could be done, were there room in the mailboxes.
    pub(super) ready: VecDeque<usize>,
    /// How many jobs are with their actors.
    pub(super) out: usize,
    /// What is stored beside the loop, so that nothing waits for it.
    pub(super) chores: JoinSet<(usize, Done)>,
    pub(super) ended: mpsc::UnboundedSender<(usize, Ended)>,
    pub(super) limbo: Option<Failover>,
    pub(super) tried: &'a Tried,
    /// What was done here, by place and time: it comes again if its ack was lost.
    finished: VecDeque<(u64, SystemTime)>,
    /// When the ack wait of all that is held was started anew.
    renewed: Instant,
    /// When the bus took the last sign of life of what is held.
    pub(super) pulse: Pulse,
    /// Nothing held needs attention before this.
    look: Instant,
    /// Whether another reader took over while this one sorted out what it had
    /// taken over itself.
    pub(super) lost: bool,
    /// Whether another node can do what waits here.
    pub(super) yields: bool,
}

impl Reader {
    /// Reads until told to stop, and starts over when the bus fails.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let tried = Tried::default();
        let mut repeated = Repeated::default();
        while !*stop.borrow() {
            if self.jobs.is_away() {
                rest(RETRY_INTERVAL, &mut stop).await;
                continue;
            }
            let (domain, partition) = (&*self.jobs.domain, self.partition);
            match self.read(&mut stop, &tried).await {
                End::Stop => return,
                End::Yield => {
                    tracing::info!(
                        domain,
                        partition,
                        "jobs are left to a node that knows all of them"
                    );
                    rest(STAY_AWAY, &mut stop).await;
                }
                End::Failed(error) => {
                    if repeated.is_due(&error, Instant::now()) {
                        tracing::warn!(
                            domain,
                            partition,
                            error,
                            "reading jobs failed, trying again"
                        );
                    }
                    rest(RETRY_INTERVAL, &mut stop).await;
                }
            }
        }
    }

    async fn open(&self) -> Result<(Stream, Consumer), String> {
        let stream = self.jobs.client.jobs(&self.jobs.domain).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let consumer = stream.consumer(&reads_jobs(self.partition)).await;
        Ok((stream, consumer.map_err(|error| error.to_string())?))
    }

    async fn read(&self, stop: &mut watch::Receiver<bool>, tried: &Tried) -> End {
        let (source, consumer) = match self.open().await {
            Ok(opened) => opened,
            Err(error) => return End::Failed(error),
        };
        // Bounded by what is held: a slot sends once each time it is worked on.
        let (ended, mut outcomes) = mpsc::unbounded_channel();
        let now = Instant::now();
        let mut reading = Reading {
            jobs: &self.jobs,
            partition: self.partition,
            consumer,
            source,
            stream: self
                .jobs
                .client
                .namespace()
                .job_stream(&self.jobs.domain)
                .into(),
            lanes: Lanes::new(),
            ready: VecDeque::new(),
            out: 0,
            chores: JoinSet::new(),
            ended,
            limbo: None,
            tried,
            finished: VecDeque::new(),
            renewed: now,
            pulse: Pulse::new(LAPSE),
            look: now,
            lost: false,
            yields: false,
        };
        let end = reading.run(&mut outcomes, stop).await;
        // What is handed back shall not come here again.
        reading.consumer.retire().await;
        reading.hand_back(&mut outcomes).await;
        reading.consumer.close().await;
        end
    }
}

/// Describes how the jobs of one partition are read.
pub(crate) fn reads_jobs(partition: u32) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(format!("jobs_{partition}"));
    config.partition = Some(partition);
    config.ack_wait = ACK_WAIT;
    config.max_ack_pending = HELD;
    config.pinned = true;
    config
}

/// Waits, but not past the end.
async fn rest(wait: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = sleep(wait) => {}
        _ = stop.changed() => {}
    }
}

impl Held {
    /// Lets it wait before it is tried again; returns when that is.
    pub(super) fn put_off(&mut self, wait: Duration) -> Instant {
        let due = Instant::now() + wait;
        self.due = Some(due);
        due
    }

    /// Returns what is to be known of it when it comes again.
    fn known(&self) -> (u64, Known) {
        let attempt = self.attempt + u32::from(self.running);
        let known = Known { attempt, unknown: self.unknown };
        (self.delivery.message.sequence, known)
    }
}

impl Reading<'_> {
    /// Reads until it must not or cannot go on. It asks for more all the time:
    /// who asks for nothing loses the partition, and the bus hands out no more
    /// than may be held.
    async fn run(&mut self, outcomes: &mut Outcomes, stop: &mut watch::Receiver<bool>) -> End {
        let mut stopping = pin!(stop.changed());
        let mut alarm = pin!(sleep_until(self.look));
        loop {
            if self.is_lapsed() {
                return End::Failed("it gave no sign of life for too long".to_owned());
            }
            if self.lost {
                return End::Failed("another reader has the partition".to_owned());
            }
            if self.yields {
                return End::Yield;
            }
            if alarm.deadline() != self.look {
                alarm.as_mut().reset(self.look);
            }
            let busy = self.is_busy();
            tokio::select! {
                biased;
                _ = &mut stopping => return End::Stop,
                Some((slot, ended)) = outcomes.recv() => {
                    self.settle(slot, ended).await;
                    if self.jobs.is_away() {
                        return End::Failed("its actors are away".to_owned());
                    }
                }
                Some(done) = self.chores.join_next() => self.finish_chore(done).await,
                () = &mut alarm, if busy => self.wake().await,
                delivery = self.consumer.next() => match delivery {
                    Ok(delivery) => self.arrive(delivery).await,
                    Err(error) => return End::Failed(error.to_string()),
                },
            }
        }
    }

    /// Whether there is anything to look after.
    fn is_busy(&self) -> bool {
        self.lanes.len() > 0 || self.limbo.is_some()
    }

    /// Whether it gave no sign of life for so long that what it holds may have
    /// come again elsewhere: its process was paused, or its thread was blocked.
    pub(super) fn is_lapsed(&self) -> bool {
        self.is_busy() && self.pulse.is_lapsed(Instant::now())
    }

    /// Makes sure that it looks around by then.
    pub(super) fn attend(&mut self, at: Instant) {
        self.look = self.look.min(at);
    }

    /// Lets a held job wait before it is tried again.
    pub(super) fn put_off(&mut self, slot: usize, wait: Duration) {
        if let Some(held) = self.lanes.get_mut(slot) {
            let due = held.put_off(wait);
            self.attend(due);
        }
    }

    async fn arrive(&mut self, delivery: Delivery) {
        if !self.is_busy() {
            self.renewed = Instant::now();
            self.pulse.beat(self.renewed);
            self.attend(self.renewed + RENEW);
        }
        if delivery.resumed {
            self.take_over(&delivery).await;
        }
        let Some(delivery) = self.meet_again(delivery).await else {
            return;
        };
        if let Some(delivery) = self.hold_back(delivery) {
            self.admit(delivery).await;
        }
        self.let_on().await;
    }

    /// Recognizes a job that was done here, or is held here; what is left is new.
    async fn meet_again(&mut self, delivery: Delivery) -> Option<Delivery> {
        if delivery.attempt == 1 {
            return Some(delivery);
        }
        let stored = &delivery.message;
        let place = (stored.sequence, stored.time);
        if self.finished.contains(&place) {
            self.acknowledge(delivery).await;
            return None;
        }
        let mut held = self.lanes.iter_mut().map(|(_, held)| held);
        match held.find(|held| held.delivery.message.sequence == place.0) {
            Some(held) => {
                held.delivery = delivery;
                None
            }
            None => Some(delivery),
        }
    }

    /// Takes a job in.
    pub(super) async fn admit(&mut self, delivery: Delivery) {
        let Known { attempt, unknown } = self.tried.take(delivery.message.sequence);
        let lane = lane(&delivery.message);
        let held = Held {
            attempt,
            unknown,
            delivery,
            due: None,
            dead: None,
            running: false,
            armed: false,
        };
        let next = self.lanes.arrive(lane, held);
        self.advance(next).await;
    }

    /// Says that a job is done, and remembers it.
    pub(super) async fn acknowledge(&mut self, delivery: Delivery) {
        let stored = &delivery.message;
        if self.finished.len() == REMEMBERED {
            self.finished.pop_front();
        }
        self.finished.push_back((stored.sequence, stored.time));
        if let Err(error) = delivery.ack().await {
            tracing::warn!(%error, "a job comes again, and is not done again");
        }
    }

    /// Looks after all that is held: what is due, what must show a sign of life,
    /// what may go on after a takeover.
    async fn wake(&mut self) {
        let now = Instant::now();
        if self.is_lapsed() {
            return;
        }
        self.renew_in_time(now).await;
        self.look = self.renewed + RENEW;
        let mut due = Vec::new();
        for (slot, held) in self.lanes.iter_mut() {
            match held.due {
                Some(at) if at <= now => {
                    held.due = None;
                    due.push((slot, held.dead.take()));
                }
                Some(at) => self.look = self.look.min(at),
                None => {}
            }
        }
        for (slot, dead) in due {
            match dead {
                Some(reason) => self.bury(slot, reason),
                None => self.advance(Some(slot)).await,
            }
        }
        self.clear_up(now).await;
    }

    /// Starts the ack wait of all that is held anew, all at once: so it ends in
    /// the order of the stream should this reader die.
    async fn renew_in_time(&mut self, now: Instant) {
        if now < self.renewed + RENEW {
            return;
        }
        self.renewed = now;
        let waiting = self.limbo.as_ref().map(|limbo| limbo.waiting.values());
        let held = self.lanes.iter_mut().map(|(_, held)| &held.delivery);
        let mut taken = true;
        for delivery in held.chain(waiting.into_iter().flatten()) {
            if let Err(error) = delivery.progress().await {
                tracing::warn!(%error, "a job may come twice");
                taken = false;
            }
        }
        // Words that are sent may still lie here: an answer shows that they went out.
        if taken && self.consumer.progress().await.is_ok() {
            self.pulse.beat(now);
        }
    }

    /// Waits for what is being done, however long that may take, then gives back
    /// what is not.
    async fn hand_back(&mut self, outcomes: &mut Outcomes) {
        while (self.out > 0 || !self.chores.is_empty()) && !self.is_lapsed() {
            tokio::select! {
                biased;
                Some((slot, ended)) = outcomes.recv() => self.end_last(slot, &ended).await,
                Some(done) = self.chores.join_next() => self.finish_last(done).await,
                () = sleep_until(self.renewed + RENEW) => self.renew_in_time(Instant::now()).await,
            }
        }
        let lapsed = self.is_lapsed();
        let held = self.lanes.take_all();
        self.tried.replace(held.iter().map(Held::known));
        let waiting = self.limbo.take().into_iter();
        let waiting = waiting.flat_map(|limbo| limbo.waiting.into_values());
        let held = held.into_iter().map(|held| held.delivery);
        let mut left: Vec<_> = held.chain(waiting).collect();
        // In the order of the stream, so that they come again in order.
        left.sort_by_key(|delivery| delivery.message.sequence);
        for delivery in left.into_iter().filter(|_| !lapsed) {
            // What cannot be given back comes again after its ack wait.
            delivery.nak(Duration::ZERO).await.ok();
        }
    }

    /// Lets go of a job that ended after the end.
    async fn end_last(&mut self, slot: usize, ended: &Ended) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        held.running = false;
        self.out -= 1;
        match ended {
            Ended::Done => {
                if let Some((held, _)) = self.lanes.leave(slot) {
                    self.acknowledge(held.delivery).await;
                }
            }
            Ended::Unhandled => {}
            Ended::Failed(_) | Ended::Crashed(_) => held.attempt += 1,
        }
    }

    /// Holds a job back that an older one of its key may follow.
    fn hold_back(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(limbo) = &mut self.limbo else {
            return Some(delivery);
        };
        let sequence = delivery.message.sequence;
        if limbo.takes(key_of(&delivery.message), sequence) {
            return Some(delivery);
        }
        limbo.waiting.insert(sequence, delivery);
        None
    }
}
