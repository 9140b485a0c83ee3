use super::{
    Mesh,
    clocks::Came,
    relay::{Duty, RELAYS, Relay},
    wire::{self, Digest, Leave},
};
use crate::{
    actor::{Actor, Context},
    bus::{Message, SubscribeError, Subscription},
    call::tables,
    error::Failure,
    message::codec,
    policy::Policies,
    roster::{Beat, Card, Heard, MAX_CARD},
    route::RouteTable,
    telemetry::{ROSTER_EXPIRED_TOTAL, ROSTER_FULL_TOTAL, ROSTER_REFUSED_TOTAL},
    version,
};
use futures_util::FutureExt;
use std::{collections::BTreeMap, future::pending, mem, pin::pin, time::Duration};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout},
};

/// How many nodes are waited for with their cards at most.
const WANTED: usize = 10_000;
/// How long to wait for others to say who is there.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a card or a table that was shown need not be shown again.
const SHOWN: Duration = Duration::from_millis(100);

/// How often one and the same table is asked for before that is done seldom.
const ENOUGH: u32 = 5;
/// How often then.
const SELDOM: Duration = Duration::from_mins(1);

/// The version of a table, and what tells it from another of that version.
type Stamp = (u64, u64);

/// What a node is asked to show its card with.
const CARD: &str = "show";

/// Keeps the roster.
///
/// What is new is heard at once, by a task; signs of life are many, and are
/// looked at together, now and then.
#[derive(Debug)]
pub(super) struct Ear {
    mesh: Mesh,
    /// All signs of life, while it listens to them.
    beats: Option<Subscription>,
    /// What those who listen tell.
    digests: Subscription,
    relay: Relay,
    /// When it took the words that had come, by the node's clock.
    looked_ms: u64,
    /// Whose cards are missing, from which revision on, and when to ask for them.
    wanted: BTreeMap<String, (u64, Instant)>,
    /// Who goes by a newer table, of routes or of policies, and what tells it from others.
    ahead: BTreeMap<&'static str, (String, Stamp)>,
    /// Which one was asked for last, how often, and when.
    sought: BTreeMap<&'static str, (Stamp, u32, Instant)>,
    listening: JoinSet<()>,
}

impl Ear {
    pub(super) fn actor(mesh: &Mesh) -> Actor<Self> {
        let (mesh, glance) = (mesh.clone(), mesh.0.pace.glance());
        Actor::new("roster", async move || Self::open(mesh.clone()).await).every(glance, Self::look)
    }

    /// Listens, then asks who is there, then answers those who ask that: whoever
    /// answers knows all that is there.
    async fn open(mesh: Mesh) -> Result<Self, Failure> {
        let (bus, namespace) = (&mesh.0.bus, &mesh.0.namespace);
        let looked_ms = mesh.0.clock.unix_ms();
        let news = bus.subscribe(&wire::news(namespace), None).await?;
        let beats = bus.subscribe(&wire::beat(namespace), None).await?;
        let digests = bus.subscribe(&wire::digest(namespace), None).await?;
        let own = wire::to(namespace, mesh.instance(), "*");
        let own = bus.subscribe(&own, None).await?;
        let (learnt, knows) = oneshot::channel();
        let mut listening = JoinSet::new();
        listening.spawn_local(listen(mesh.clone(), (news, own), learnt));
        // Where nobody answers, signs of life will tell in time.
        timeout(PATIENCE, knows).await.ok();
        let relay = Relay::new(mesh.0.pace.heartbeat, Instant::now());
        Ok(Self {
            mesh,
            beats: Some(beats),
            digests,
            relay,
            looked_ms,
            wanted: BTreeMap::new(),
            ahead: BTreeMap::new(),
            sought: BTreeMap::new(),
            listening,
        })
    }

    async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        if self.listening.try_join_next().is_some() {
            return Err(Failure::crash("what listens has ended"));
        }
        self.hear_all().await?;
        let now = Instant::now();
        self.serve(now).await?;
        if self.relay.trusts_silence(now) {
            self.forget_silent(now);
        }
        for (table, (ahead, stamp)) in mem::take(&mut self.ahead) {
            if self.seeks(table, stamp, now) {
                let subject = wire::to(&self.mesh.0.namespace, &ahead, table);
                self.mesh.send(subject, &()).await;
            }
        }
        self.ask(now).await;
        self.mesh.outgrow().await;
        Ok(())
    }

    /// Takes all signs of life that have come, from each node or from a relay.
    async fn hear_all(&mut self) -> Result<(), Failure> {
        let ended = || Failure::crash("signs of life are no longer heard");
        let mut beats = Vec::new();
        if let Some(listened) = &mut self.beats {
            beats = taken(listened).await.ok_or_else(ended)?;
        }
        let digests = taken(&mut self.digests).await.ok_or_else(ended)?;
        let now = Instant::now();
        let before_ms = self.mesh.0.clock.unix_ms();
        let after_ms = mem::replace(&mut self.looked_ms, before_ms);
        let came = Came { after_ms, before_ms };
        // Of several that were held up, the last one says most.
        let mut said = BTreeMap::new();
        for beat in beats {
            if let Ok(beat) = codec::decode::<Beat>(&beat.payload)
                && wire::can_name(&beat.instance)
            {
                self.compare(&beat.instance, (beat.routes, beat.print), beat.policies);
                self.beat(beat.instance.clone(), beat.revision, now);
                if let Some(said_ms) = beat.clock_ms {
                    said.insert(beat.instance, said_ms);
                }
            }
        }
        for (instance, said_ms) in said {
            self.mesh.hear_clock(&instance, said_ms, came);
        }
        for digest in digests {
            if let Ok(digest) = codec::decode::<Digest>(&digest.payload) {
                self.digest(digest, now, came);
            }
        }
        Ok(())
    }

    fn digest(&mut self, digest: Digest, now: Instant, came: Came) {
        if digest.by == **self.mesh.instance() || !wire::can_name(&digest.by) {
            return;
        }
        self.relay.told(now);
        self.compare(&digest.by, (digest.routes, digest.print), digest.policies);
        if let Some(said_ms) = digest.clock_ms {
            self.mesh.hear_clock(&digest.by, said_ms, came);
        }
        let seen = digest.seen.into_iter();
        for seen in seen.filter(|seen| wire::can_name(&seen.instance)) {
            // Who listens to all compares clocks itself.
            if self.beats.is_none() && seen.instance != digest.by {
                self.mesh
                    .hear_clock_of(&seen.instance, &digest.by, seen.off_ms);
            }
            let age = Duration::from_millis(seen.age_ms);
            let heard = now.checked_sub(age).unwrap_or(now);
            self.beat(seen.instance, seen.revision, heard);
        }
    }

    fn compare(&mut self, instance: &str, routes: Stamp, policies: Stamp) {
        let ways = &self.mesh.0.ways;
        for (table, said, own) in [
            (tables::ROUTES, routes, ways.routes.stamp()),
            (tables::POLICIES, policies, ways.lines.stamp()),
        ] {
            if said > own && version::is_plausible(said.0, own.0) {
                self.ahead.insert(table, (instance.to_owned(), said));
            }
        }
    }

    /// Whether a table is to be asked for: one that came and was not taken, as this program
    /// reads it otherwise than another does, is not asked for with every sign of life.
    fn seeks(&mut self, table: &'static str, stamp: Stamp, now: Instant) -> bool {
        let (sought, times, last) = self.sought.entry(table).or_insert((stamp, 0, now));
        if *sought != stamp {
            (*sought, *times) = (stamp, 0);
        }
        if *times >= ENOUGH && now.duration_since(*last) < SELDOM {
            return false;
        }
        (*times, *last) = (times.saturating_add(1), now);
        true
    }

    fn beat(&mut self, instance: String, revision: u64, heard: Instant) {
        let outcome = self.mesh.0.ways.roster.beat(&instance, revision, heard);
        if outcome != Heard::Wanted || self.wanted.len() >= WANTED {
            return;
        }
        // Not all who miss it ask at once: the first to ask has it shown to all.
        let patience = self.mesh.0.pace.heartbeat.mul_f64(fastrand::f64() / 4.0);
        let due = Instant::now() + patience;
        let entry = self.wanted.entry(instance).or_insert((revision, due));
        entry.0 = entry.0.max(revision);
    }

    /// Does what it has to for the others: listens, or tells them who is there.
    async fn serve(&mut self, now: Instant) -> Result<(), Failure> {
        let mesh = self.mesh.clone();
        let place = mesh.0.ways.roster.place(mesh.instance(), RELAYS);
        let Duty { listens, tells } = self.relay.duty(now, place);
        if !listens {
            self.beats = None;
        } else if self.beats.is_none() {
            let beats = wire::beat(&mesh.0.namespace);
            self.beats = Some(mesh.0.bus.subscribe(&beats, None).await?);
            self.relay.listens_now(now);
        }
        if tells {
            self.relay.told(now);
            mesh.tell().await;
        }
        Ok(())
    }

    fn forget_silent(&self, now: Instant) {
        let gone = self.mesh.0.ways.roster.expire(now, self.mesh.instance());
        for card in &gone {
            let (node, instance) = (&*card.node, &*card.instance);
            metrics::counter!(ROSTER_EXPIRED_TOTAL).increment(1);
            tracing::warn!(node, instance, "a node has fallen silent");
        }
        if !gone.is_empty() {
            forget(&self.mesh);
        }
    }

    /// Asks for the cards that have not come by themselves.
    async fn ask(&mut self, now: Instant) {
        let roster = self.mesh.0.ways.roster.clone();
        self.wanted
            .retain(|instance, (revision, _)| !roster.knows(instance, *revision));
        let due = self.wanted.extract_if(.., |_, (_, due)| *due <= now);
        for (instance, _) in due.collect::<Vec<_>>() {
            let subject = wire::to(&self.mesh.0.namespace, &instance, CARD);
            self.mesh.send(subject, &()).await;
        }
    }
}

/// Takes what has come so far, in bounds; nothing if no more will.
async fn taken(subscription: &mut Subscription) -> Option<Vec<Message>> {
    let (mut all, mut before) = (Vec::new(), 0);
    while all.len() < WANTED {
        match subscription.next().now_or_never() {
            Some(word) => all.push(word?),
            None if all.len() == before => break,
            None => {
                // There may be more: a task takes only so many in one go.
                before = all.len();
                tokio::task::yield_now().await;
            }
        }
    }
    Some(all)
}

/// Asks who is there, then joins those who answer that.
async fn join(mesh: &Mesh) -> Result<Subscription, SubscribeError> {
    mesh.learn().await;
    let asked = wire::ask(&mesh.0.namespace);
    mesh.0.bus.subscribe(&asked, Some(wire::QUEUE)).await
}

async fn next(asked: &mut Option<Subscription>) -> Option<Message> {
    match asked {
        Some(asked) => asked.next().await,
        None => pending().await,
    }
}

/// Hears what is new, and answers, until the bus is closed.
async fn listen(
    mesh: Mesh,
    (mut news, mut own): (Subscription, Subscription),
    learnt: oneshot::Sender<()>,
) {
    let mut shown = BTreeMap::new();
    let (mut asked, mut learnt) = (None, Some(learnt));
    let mut joining = pin!(join(&mesh));
    loop {
        tokio::select! {
            joined = &mut joining, if asked.is_none() => match joined {
                Ok(joined) => {
                    asked = Some(joined);
                    // Who waited for it may have stopped.
                    learnt.take().map(|learnt| learnt.send(()));
                }
                Err(error) => return tracing::warn!(%error, "who asks is not heard"),
            },
            word = news.next() => match word {
                Some(word) => hear(&mesh, &word, &mut shown).await,
                None => return,
            },
            word = own.next() => match word {
                Some(word) => heed(&mesh, &word, &mut shown).await,
                None => return,
            },
            question = next(&mut asked) => match question {
                Some(question) => mesh.answer(&question).await,
                None => return,
            },
        }
    }
}

/// Does what this node alone is asked for.
async fn heed(mesh: &Mesh, word: &Message, shown: &mut BTreeMap<&'static str, Instant>) {
    let known = [CARD, tables::ROUTES, tables::POLICIES];
    let Some(what) = known.into_iter().find(|what| wire::is(&word.subject, what)) else {
        return mesh.answer(word).await;
    };
    // Many that were cut off may ask at once, and all hear it.
    if was_shown(shown, what) {
        return;
    }
    match what {
        tables::ROUTES => mesh.tell_table::<RouteTable>().await,
        tables::POLICIES => mesh.tell_table::<Policies>().await,
        _ => mesh.show().await,
    }
}

/// Whether something was shown a moment ago; if not, it is now.
fn was_shown(shown: &mut BTreeMap<&'static str, Instant>, what: &'static str) -> bool {
    if shown.get(what).is_some_and(|then| then.elapsed() < SHOWN) {
        return true;
    }
    shown.insert(what, Instant::now());
    false
}

/// Answers what others said in the name of this node: at once, unless it did a moment ago;
/// then the next look does.
async fn answer_others(mesh: &Mesh, shown: &mut BTreeMap<&'static str, Instant>) {
    if !was_shown(shown, "disputed") {
        mesh.outgrow().await;
    }
}

async fn hear(mesh: &Mesh, word: &Message, shown: &mut BTreeMap<&'static str, Instant>) {
    let own = mesh.instance();
    if wire::is(&word.subject, "leave") {
        let leave = codec::decode::<Leave>(&word.payload).ok();
        let Some(leave) = leave.filter(|leave| wire::can_name(&leave.instance)) else {
            return;
        };
        if *leave.instance != **own {
            let at = Instant::now();
            mesh.0.ways.roster.leave(&leave.instance, at);
            return forget(mesh);
        }
        // It lives, whoever said that.
        mesh.dispute(0);
        return answer_others(mesh, shown).await;
    }
    if word.payload.len() > MAX_CARD {
        metrics::counter!(ROSTER_REFUSED_TOTAL).increment(1);
        let bytes = word.payload.len();
        return tracing::debug!(bytes, limit = MAX_CARD, "a card is too long");
    }
    match codec::decode::<Card>(&word.payload) {
        Ok(card) if *card.instance == **own => {
            // What this node said of itself it knows.
            if let Some(revision) = mesh.forged(&card) {
                mesh.dispute(revision);
                answer_others(mesh, shown).await;
            }
        }
        Ok(card) => {
            // Only one of them is found by others.
            if *card.node == **mesh.node() {
                let (node, instance) = (&*card.node, &*card.instance);
                tracing::warn!(node, instance, "another node has the name of this one");
            }
            mesh.meet(card, Instant::now());
        }
        Err(error) => tracing::debug!(%error, "a card cannot be read"),
    }
}

impl Mesh {
    /// Takes a card in that another node said at a time.
    pub(super) fn meet(&self, card: Card, heard: Instant) {
        if !wire::can_name(&card.instance) {
            return tracing::warn!(node = card.node, "a card names no instance");
        }
        match self.0.ways.roster.hear(card, heard, self.instance()) {
            // It may have taken the place of one that was started before.
            Heard::News => forget(self),
            Heard::Full => metrics::counter!(ROSTER_FULL_TOTAL).increment(1),
            Heard::Refused => metrics::counter!(ROSTER_REFUSED_TOTAL).increment(1),
            Heard::Known | Heard::Wanted | Heard::Late => {}
        }
    }
}

/// Forgets how calls went to instances that are gone.
fn forget(mesh: &Mesh) {
    let ways = &mesh.0.ways;
    ways.routes.keep(|instance| ways.roster.knows(instance, 0));
    mesh.forget_clocks();
}
