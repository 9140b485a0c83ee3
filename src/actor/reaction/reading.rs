use super::{
    HELD, LOOK_UP, RENEW, Reaction,
    drain::Drain,
    held::{Held, Source, acknowledge},
    register::Register,
    takeover::Limbo,
};
use crate::{
    actor::lanes::Lanes,
    bus::{Consumer, Delivery, Stream, Subscription},
    call::{Ended, Parks, Pulse},
    message::Id,
};
use std::{
    collections::{BTreeSet, HashMap},
    mem,
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout_at},
};

type Outcomes = mpsc::UnboundedReceiver<(usize, Ended)>;

/// How long without a sign of life is too long: less than the ack wait.
const LAPSE: Duration = Duration::from_secs(25);

/// What a running reaction holds.
pub(super) struct Reading<'a> {
    pub(super) reaction: &'a Reaction,
    /// How this reader signs what it does.
    pub(super) me: String,
    pub(super) consumer: Consumer,
    pub(super) events: Stream,
    /// The name of the events' stream.
    pub(super) stream: Arc<str>,
    pub(super) parks: Parks,
    pub(super) register: Register,
    pub(super) drains: HashMap<Arc<str>, Drain>,
    pub(super) limbo: Option<Limbo>,
    pub(super) lanes: Lanes<Held>,
    pub(super) ended: mpsc::UnboundedSender<(usize, Ended)>,
    /// When the records of parked keys are read again, if there are such keys.
    pub(super) next_look_up: Instant,
    /// When the ack wait of all that is held is started anew.
    renewed: Instant,
    /// When the bus took the last sign of life of what is held.
    pub(super) pulse: Pulse,
    /// Nothing held needs attention before this.
    look: Instant,
    /// Whether another reader took over while this one sorted out what it had
    /// taken over itself.
    pub(super) lost: bool,
}

impl Reaction {
    pub(super) async fn read(&self, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
        // Bounded by what is held: a slot sends once each time it is worked on.
        let (ended, mut outcomes) = mpsc::unbounded_channel();
        let poke = self.client.namespace().park_poke(&self.path);
        let pokes = self.client.bus().subscribe(&poke, None).await;
        let mut pokes = pokes.map_err(|error| error.to_string())?;
        let mut reading = Reading::open(self, ended).await?;
        let outcome = reading.run(&mut outcomes, &mut pokes, stop).await;
        // What is handed back shall not come here again.
        reading.consumer.retire().await;
        reading.hand_back(&mut outcomes).await;
        reading.consumer.close().await;
        outcome
    }
}

impl<'a> Reading<'a> {
    async fn open(
        reaction: &'a Reaction,
        ended: mpsc::UnboundedSender<(usize, Ended)>,
    ) -> Result<Self, String> {
        let (events, consumer) = reaction.open().await?;
        let parks = reaction.client.parks().await;
        let now = Instant::now();
        let mut reading = Self {
            me: format!("{}#{}", reaction.client.source(), Id::new()),
            stream: reaction
                .client
                .namespace()
                .event_stream(reaction.domain)
                .into(),
            parks: parks.map_err(|error| error.to_string())?,
            register: Register::default(),
            drains: HashMap::new(),
            limbo: None,
            lanes: Lanes::new(),
            next_look_up: now + LOOK_UP,
            renewed: now,
            pulse: Pulse::new(LAPSE),
            look: now,
            lost: false,
            reaction,
            consumer,
            events,
            ended,
        };
        reading.refresh().await?;
        Ok(reading)
    }

    async fn run(
        &mut self,
        outcomes: &mut Outcomes,
        pokes: &mut Subscription,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), String> {
        let mut stopping = pin!(stop.changed());
        let mut alarm = pin!(sleep_until(self.look));
        let mut listens = true;
        loop {
            if self.is_lapsed() {
                return Err("it gave no sign of life for too long".to_owned());
            }
            if self.lost {
                return Err("another reader has the partition".to_owned());
            }
            if alarm.deadline() != self.look {
                alarm.as_mut().reset(self.look);
            }
            let (busy, room) = (self.is_busy(), self.has_room());
            tokio::select! {
                biased;
                _ = &mut stopping => return Ok(()),
                Some((slot, ended)) = outcomes.recv() => {
                    self.settle(slot, ended).await;
                    if self.reaction.is_away() {
                        return Err("its actor is away".to_owned());
                    }
                }
                () = &mut alarm, if busy => self.wake().await,
                poke = pokes.next(), if listens => {
                    listens = poke.is_some();
                    self.look_up().await;
                    self.begin().await;
                }
                delivery = self.consumer.next(), if room => match delivery {
                    Ok(delivery) => self.arrive(delivery).await?,
                    Err(error) => return Err(error.to_string()),
                },
            }
        }
    }

    /// Whether another event may come. What was read from the stream takes no
    /// room; and what is held back makes room only when an older event comes,
    /// so then the consumer's own limit is the only one.
    fn has_room(&self) -> bool {
        let read = self.drains.len() + self.register.letters_out();
        self.limbo.is_some() || self.lanes.len() < HELD + read
    }

    /// Whether there is anything to look after.
    fn is_busy(&self) -> bool {
        self.lanes.len() > 0 || self.limbo.is_some() || !self.register.is_idle()
    }

    /// Whether it gave no sign of life for so long that what it holds may have
    /// come again elsewhere: its process was paused, or its thread was blocked.
    pub(super) fn is_lapsed(&self) -> bool {
        self.lanes.len() > 0 && self.pulse.is_lapsed(Instant::now())
    }

    /// Returns which messages that the consumer delivered are held.
    pub(super) fn live(&mut self) -> BTreeSet<u64> {
        let live = |held: &Held| matches!(held.source, Source::Live(_));
        let held = self.lanes.iter_mut().map(|(_, held)| held);
        held.filter(|held| live(held))
            .map(|held| held.stored().sequence)
            .collect()
    }

    /// Whether no other reader is the one of the partition.
    pub(super) async fn is_ours(&self) -> bool {
        self.consumer
            .progress()
            .await
            .is_ok_and(|progress| progress.ours)
    }

    /// Makes sure that it looks around by then.
    pub(super) fn attend(&mut self, at: Instant) {
        self.look = self.look.min(at);
    }

    /// Makes sure that the records are read again after a while.
    pub(super) fn look_later(&mut self) {
        self.next_look_up = Instant::now() + LOOK_UP;
        self.attend(self.next_look_up);
    }

    /// Makes sure that the records are read again by then.
    pub(super) fn look_up_by(&mut self, at: Instant) {
        self.next_look_up = self.next_look_up.min(at);
        self.attend(self.next_look_up);
    }

    /// Lets a held message wait before it is tried again.
    pub(super) fn put_off(&mut self, slot: usize, wait: Duration) {
        if let Some(held) = self.lanes.get_mut(slot) {
            let due = held.put_off(wait);
            self.attend(due);
        }
    }

    async fn arrive(&mut self, delivery: Delivery) -> Result<(), String> {
        if delivery.resumed
            && let Err(error) = self.take_over(&delivery).await
        {
            delivery.nak(Duration::ZERO).await.ok();
            return Err(error);
        }
        if let Some(delivery) = self.hold_back(delivery) {
            self.admit(delivery).await;
        }
        if self.limbo.is_some() {
            self.let_on().await;
        }
        Ok(())
    }

    /// Takes an event in, unless its key is parked.
    pub(super) async fn admit(&mut self, delivery: Delivery) {
        let Some(delivery) = self.put_aside(delivery).await else {
            return;
        };
        let held = Held::new(Source::Live(delivery), 1);
        let key = Arc::from(held.key());
        let next = self.enter(&key, held);
        self.advance(next).await;
    }

    /// Puts a message behind the others of its key; returns it if it is the head.
    pub(super) fn enter(&mut self, key: &Arc<str>, mut held: Held) -> Option<usize> {
        if let Source::Live(delivery) = &held.source {
            held.attempt = delivery.attempt;
        }
        if self.lanes.len() == 0 {
            self.renewed = Instant::now();
            self.pulse.beat(self.renewed);
            self.attend(self.renewed + RENEW);
        }
        self.lanes.arrive(Arc::clone(key), held)
    }

    /// Finds out when something needs attention that is not held.
    fn look_around(&mut self) {
        if !self.register.is_idle() {
            self.attend(self.next_look_up);
        }
        if let Some(limbo) = &self.limbo {
            self.attend(limbo.look);
        }
    }

    /// Looks after all that is held: what is due, what must show a sign of life,
    /// which keys may go on.
    async fn wake(&mut self) {
        let now = Instant::now();
        if self.is_lapsed() {
            return;
        }
        if self.renewed + RENEW <= now {
            self.renewed = now;
            if self.renew().await {
                self.pulse.beat(now);
            }
        }
        self.look = self.renewed + RENEW;
        let mut due = Vec::new();
        for (slot, held) in self.lanes.iter_mut() {
            match held.due {
                Some(at) if at <= now => due.push((slot, held.end.take())),
                Some(at) => self.look = self.look.min(at),
                None => {}
            }
        }
        for (slot, end) in due {
            let next = match end {
                Some(end) => self.end(slot, end).await,
                None => Some(slot),
            };
            self.advance(next).await;
        }
        self.clear_up(now).await;
        if !self.register.is_idle() {
            if self.next_look_up <= now {
                self.look_up().await;
                self.prune().await;
            }
            self.begin().await;
            self.tend(now).await;
        }
        self.look_around();
    }

    /// Forgets which events were handled while their keys were parked, once
    /// they cannot come again.
    async fn prune(&mut self) {
        if self.register.passed() > 0
            && let Ok(progress) = self.consumer.progress().await
        {
            self.register.prune(progress.floor);
        }
    }

    /// Starts the ack wait of all that is held anew, all at once: so it ends in
    /// the order of the stream should this reader die. Returns whether the bus took it.
    async fn renew(&mut self) -> bool {
        let waiting = self.limbo.as_ref().map(|limbo| limbo.waiting.values());
        let held = self.lanes.iter_mut().map(|(_, held)| &held.source);
        let held = held.filter_map(|source| match source {
            Source::Live(delivery) => Some(delivery),
            Source::Drained(_) | Source::Letter(..) => None,
        });
        let mut taken = true;
        for delivery in held.chain(waiting.into_iter().flatten()) {
            if let Err(error) = delivery.progress().await {
                tracing::warn!(%error, "an event may come twice");
                taken = false;
            }
        }
        taken
    }

    /// Waits for what is being handled, then gives back what is not.
    async fn hand_back(&mut self, outcomes: &mut Outcomes) {
        let patience = Instant::now() + RENEW;
        while self.lanes.iter_mut().any(|(_, held)| held.running) {
            let Ok(Some((slot, ended))) = timeout_at(patience, outcomes.recv()).await else {
                break;
            };
            self.end_last(slot, &ended).await;
        }
        // What waits behind a parked event stays in the stream.
        for key in self.drains.keys().cloned().collect::<Vec<_>>() {
            self.save(&key, String::new()).await;
        }
        let lapsed = self.is_lapsed();
        let mut left: Vec<_> = self
            .lanes
            .take_all()
            .into_iter()
            .filter_map(|held| match held.source {
                Source::Live(delivery) => Some(delivery),
                Source::Drained(_) | Source::Letter(..) => None,
            })
            .chain(
                mem::take(&mut self.limbo)
                    .into_iter()
                    .flat_map(|limbo| limbo.waiting.into_values()),
            )
            .collect();
        // In the order of the stream, so that they come again in order.
        left.sort_by_key(|delivery| delivery.message.sequence);
        for delivery in left.into_iter().filter(|_| !lapsed) {
            // What cannot be given back comes again after its ack wait.
            delivery.nak(Duration::ZERO).await.ok();
        }
    }

    /// Lets go of what ended after the end, if all of it was handled.
    async fn end_last(&mut self, slot: usize, ended: &Ended) {
        let stream = Arc::clone(&self.stream);
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        held.running = false;
        if !matches!(ended, Ended::Done) {
            return;
        }
        held.next();
        if !matches!(held.event(&stream), Ok(None)) {
            return;
        }
        let Some((held, _)) = self.lanes.leave(slot) else {
            return;
        };
        if let Some(drain) = self.drains.get_mut(held.key()) {
            drain.handled(held.at);
        }
        match held.source {
            Source::Live(delivery) => acknowledge(delivery).await,
            Source::Letter(number, _) => self.close_letter(number, None).await,
            Source::Drained(_) => {}
        }
    }
}
