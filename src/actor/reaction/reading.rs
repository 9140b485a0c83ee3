use super::{
    Broken, HELD, LOOK_UP, RENEW, Reaction,
    beside::{Deed, Told},
    drain::Drain,
    handled::Handled,
    held::{Held, Source, acknowledge},
    parking::{CROWDED, LookUp},
    register::Register,
    stranger::Strangers,
    takeover::Limbo,
};
use crate::{
    actor::lanes::Lanes,
    bus::{Consumer, Delivery, Stream, Subscription},
    call::{Ended, Parks, Pulse},
    message::Id,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

pub(super) type Outcomes = mpsc::UnboundedReceiver<(usize, Ended)>;

/// How long without a sign of life is too long: less than the ack wait.
const LAPSE: Duration = Duration::from_secs(25);

/// After how long a sign of life that the server did not note is given again.
const RENEW_AGAIN: Duration = Duration::from_secs(2);

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
    /// The stream of dead letters, once there was one.
    pub(super) letters: Option<Stream>,
    pub(super) register: Register,
    pub(super) drains: HashMap<Arc<str>, Drain>,
    /// The keys that are being claimed.
    pub(super) claims: HashSet<Arc<str>>,
    pub(super) limbo: Option<Limbo>,
    pub(super) lanes: Lanes<Held>,
    pub(super) handled: Handled,
    pub(super) strangers: Strangers,
    /// What is done beside the loop.
    pub(super) deeds: FuturesUnordered<Deed>,
    pub(super) ended: mpsc::UnboundedSender<(usize, Ended)>,
    /// When the records of parked keys are read, if there are such keys.
    pub(super) look_up: LookUp,
    /// How many keys are about to be parked.
    pub(super) parking: usize,
    /// Whether it is being asked whose the partition is.
    pub(super) asking: bool,
    /// When the ack wait of all that is held is started anew.
    pub(super) renewed: Instant,
    /// When the bus noted the last sign of life of what is held.
    pub(super) pulse: Pulse,
    /// Nothing held needs attention before this.
    pub(super) look: Instant,
    /// Whether another reader took over while this one sorted out what it had
    /// taken over itself.
    pub(super) lost: bool,
    /// Whether it hands out nothing more.
    pub(super) closing: bool,
    numbers: u64,
}

impl Reaction {
    pub(super) async fn read(&self, stop: &mut watch::Receiver<bool>) -> Result<(), Broken> {
        // Bounded by what is held: a slot sends once each time it is worked on.
        let (ended, mut outcomes) = mpsc::unbounded_channel();
        let poke = self.client.namespace().park_poke(&self.path);
        let pokes = self.client.bus().subscribe(&poke, None).await;
        let mut pokes = pokes.map_err(|error| error.to_string())?;
        let mut reading = Reading::open(self, ended).await?;
        let outcome = reading.run(&mut outcomes, &mut pokes, stop).await;
        reading.end_all(&mut outcomes).await;
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
        let namespace = reaction.client.namespace();
        let mut reading = Self {
            me: format!("{}#{}", reaction.client.source(), Id::new()),
            stream: namespace.event_stream(reaction.domain).into(),
            parks: parks.map_err(|error| error.to_string())?,
            letters: None,
            register: Register::default(),
            drains: HashMap::new(),
            claims: HashSet::new(),
            limbo: None,
            lanes: Lanes::new(),
            handled: Handled::default(),
            strangers: Strangers::default(),
            deeds: FuturesUnordered::new(),
            look_up: LookUp::new(now + LOOK_UP),
            parking: 0,
            asking: false,
            renewed: now,
            pulse: Pulse::new(LAPSE),
            look: now,
            lost: false,
            closing: false,
            numbers: 0,
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
    ) -> Result<(), Broken> {
        let mut stopping = pin!(stop.changed());
        let mut alarm = pin!(sleep_until(self.look));
        let mut listens = true;
        loop {
            self.must_end()?;
            if alarm.deadline() != self.look {
                alarm.as_mut().reset(self.look);
            }
            let (busy, room) = (self.is_busy(), self.has_room());
            // Not biased: none of them may keep another from its turn for long.
            tokio::select! {
                _ = &mut stopping => return Ok(()),
                Some((slot, ended)) = outcomes.recv() => {
                    self.settle(slot, ended).await;
                    if self.reaction.is_away() {
                        return Err("its actor is away".to_owned().into());
                    }
                }
                () = &mut alarm, if busy => self.wake().await,
                Some(told) = self.deeds.next() => self.hear(told).await,
                poke = pokes.next(), if listens => {
                    listens = poke.is_some();
                    self.look_up();
                }
                delivery = self.consumer.next(), if room => match delivery {
                    Ok(delivery) => self.arrive(delivery).await,
                    Err(error) => return Err(error.to_string().into()),
                },
            }
        }
    }

    /// Says why it may not go on, if so.
    fn must_end(&mut self) -> Result<(), Broken> {
        if self.is_lapsed() {
            return Err("it gave no sign of life for too long".to_owned().into());
        }
        if self.lost {
            return Err("another reader has the partition".to_owned().into());
        }
        match self.strangers.leave.take() {
            Some(reason) => Err(Broken::Known(reason)),
            None => Ok(()),
        }
    }

    /// Whether another event may come. The consumer holds back what is too much;
    /// this is for what it takes for lost and delivers again. As long as it may,
    /// the partition stays this reader's.
    fn has_room(&self) -> bool {
        self.limbo.is_some() || self.lanes.len() < 2 * HELD
    }

    /// Whether there is anything to look after.
    fn is_busy(&self) -> bool {
        self.lanes.len() > 0 || self.limbo.is_some() || !self.register.is_idle()
    }

    /// Whether it gave no sign of life for so long that what it holds may have
    /// come again elsewhere: its process was paused, or its thread was blocked.
    pub(super) fn is_lapsed(&self) -> bool {
        !self.holds_nothing() && self.pulse.is_lapsed(Instant::now())
    }

    fn holds_nothing(&self) -> bool {
        let waiting = self
            .limbo
            .as_ref()
            .map(|limbo| limbo.failover.waiting.len());
        self.lanes.len() == 0 && waiting.unwrap_or(0) == 0
    }

    /// Returns which messages that the consumer delivered are held.
    pub(super) fn live(&mut self) -> BTreeSet<u64> {
        let live = |held: &Held| matches!(held.source, Source::Live(_));
        let held = self.lanes.iter_mut().map(|(_, held)| held);
        held.filter(|held| live(held))
            .map(|held| held.stored().sequence)
            .collect()
    }

    /// Returns a number that nothing else of this reader has.
    pub(super) const fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Makes sure that it looks around by then.
    pub(super) fn attend(&mut self, at: Instant) {
        self.look = self.look.min(at);
    }

    /// Makes sure that the records are read again after a while.
    pub(super) fn look_later(&mut self) {
        self.look_up.next = Instant::now() + LOOK_UP;
        self.attend(self.look_up.next);
    }

    /// Makes sure that the records are read again by then.
    pub(super) fn look_up_by(&mut self, at: Instant) {
        self.look_up.next = self.look_up.next.min(at);
        self.attend(self.look_up.next);
    }

    /// Lets a held message wait before it is tried again.
    pub(super) fn put_off(&mut self, slot: usize, wait: Duration) {
        if let Some(held) = self.lanes.get_mut(slot) {
            let due = held.put_off(wait);
            self.attend(due);
        }
    }

    async fn arrive(&mut self, delivery: Delivery) {
        if self.holds_nothing() {
            self.begin_to_renew();
        }
        if delivery.resumed {
            self.take_over(&delivery);
        }
        if let Some(delivery) = self.hold_back(delivery) {
            self.admit(delivery).await;
        }
        if self.limbo.is_some() {
            self.let_on().await;
        }
    }

    /// Takes an event in, unless its key is parked, or it was handled: then its
    /// acknowledgement got lost, or its consumer was made anew.
    pub(super) async fn admit(&mut self, delivery: Delivery) {
        let stored = &delivery.message;
        if self.handled.knows(stored.sequence, stored.time) {
            return acknowledge(delivery).await;
        }
        let Some(delivery) = self.put_aside(delivery).await else {
            return;
        };
        let held = Held::new(Source::Live(delivery));
        let key = Arc::from(held.key());
        let next = self.enter(&key, held);
        self.advance(next).await;
        if self.lanes.len() >= CROWDED && self.lanes.len().is_multiple_of(CROWDED) {
            self.make_room();
        }
    }

    /// Puts a message behind the others of its key; returns it if it is the head.
    pub(super) fn enter(&mut self, key: &Arc<str>, held: Held) -> Option<usize> {
        if held.delivery().is_none() && self.holds_nothing() {
            self.begin_to_renew();
        }
        self.lanes.arrive(Arc::clone(key), held)
    }

    /// Notes that what is held begins to be held now.
    pub(super) fn begin_to_renew(&mut self) {
        self.renewed = Instant::now();
        self.pulse.beat(self.renewed);
        self.attend(self.renewed + RENEW);
    }

    /// Finds out when something needs attention that is not held.
    fn look_around(&mut self) {
        if !self.register.is_idle() {
            self.attend(self.look_up.next);
        }
        if let Some(limbo) = &self.limbo {
            self.attend(limbo.failover.look);
        }
    }

    /// Looks after all that is held: what is due, what must show a sign of life,
    /// which keys may go on.
    async fn wake(&mut self) {
        let now = Instant::now();
        if self.is_lapsed() {
            return;
        }
        self.renew_by(now).await;
        self.look = self.renewed + RENEW;
        let mut due = Vec::new();
        let at_rest = |held: &Held| !held.writing && !held.left;
        for (slot, held) in self.lanes.iter_mut().filter(|(_, held)| at_rest(held)) {
            match held.due {
                Some(at) if at <= now => {
                    held.due = None;
                    due.push((slot, held.end.take()));
                }
                Some(at) => self.look = self.look.min(at),
                None => {}
            }
        }
        for (slot, end) in due {
            let next = match end {
                Some(end) => self.end(slot, end),
                None => Some(slot),
            };
            self.advance(next).await;
        }
        self.clear_up(now);
        if !self.register.is_idle() {
            if self.look_up.next <= now {
                self.look_up();
                self.prune();
            }
            self.begin();
            self.tend(now);
        }
        self.look_around();
    }

    /// Forgets which events were handled while their keys were parked, once
    /// they cannot come again.
    fn prune(&mut self) {
        if self.register.passed() > 0 {
            let progress = self.consumer.progress();
            self.beside(
                async move { Told::Floor(progress.await.ok().map(|progress| progress.floor)) },
            );
        }
    }

    /// Starts the ack wait of all that is held anew, if it is time for that.
    pub(super) async fn renew_by(&mut self, now: Instant) {
        if self.renewed + RENEW <= now {
            self.renewed = now;
            self.renew(now).await;
        }
    }

    /// Starts the ack wait of all that is held anew, all at once: so it ends in
    /// the order of the stream should this reader die. What the server says to
    /// the last one is the sign that it noted them.
    async fn renew(&mut self, now: Instant) {
        let limbo = self.limbo.as_ref();
        let waiting = limbo.map(|limbo| limbo.failover.waiting.values());
        let held = self.lanes.iter_mut();
        let held = held.filter_map(|(_, held)| held.delivery());
        let mut all: Vec<_> = held.chain(waiting.into_iter().flatten()).collect();
        let Some(last) = all.pop() else {
            return self.pulse.beat(now);
        };
        for delivery in all {
            if let Err(error) = delivery.progress().await {
                tracing::warn!(%error, "an event may come twice");
                break;
            }
        }
        let noted = last.confirm_progress();
        self.deeds
            .push(Box::pin(async move { Told::Renewed(now, noted.await) }));
    }

    pub(super) fn renewed(&mut self, at: Instant, noted: bool) {
        if noted {
            return self.pulse.beat(at);
        }
        tracing::warn!(
            child = &*self.reaction.path,
            "the server did not note that events are being handled; they may come twice"
        );
        self.renewed = (at + RENEW_AGAIN).checked_sub(RENEW).unwrap_or(at);
        self.attend(at + RENEW_AGAIN);
    }
}
