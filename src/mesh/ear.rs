use super::{
    Mesh,
    wire::{self, Leave},
};
use crate::{
    actor::{Actor, Context},
    bus::{Message, SubscribeError, Subscription},
    error::Failure,
    message::codec,
    roster::{Beat, Card, Heard},
    telemetry::{ROSTER_EXPIRED_TOTAL, ROSTER_FULL_TOTAL},
};
use futures_util::FutureExt;
use std::{collections::BTreeMap, future::pending, pin::pin, time::Duration};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout},
};

/// How many nodes are waited for with their cards at most.
const WANTED: usize = 10_000;
/// How long to wait for others to say who is there.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a card that was shown need not be shown again.
const SHOWN: Duration = Duration::from_millis(100);

/// Keeps the roster.
///
/// What is new is heard at once, by a task; signs of life are many, and are
/// looked at together, now and then.
#[derive(Debug)]
pub(super) struct Ear {
    mesh: Mesh,
    beats: Subscription,
    /// Whose cards are missing, from which revision on, and when to ask for them.
    wanted: BTreeMap<String, (u64, Instant)>,
    /// Who goes by a newer routing table.
    ahead: Option<String>,
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
        let news = bus.subscribe(&wire::news(namespace), None).await?;
        let beats = bus.subscribe(&wire::beat(namespace), None).await?;
        let own = wire::to(namespace, mesh.instance(), "*");
        let own = bus.subscribe(&own, None).await?;
        let (learnt, knows) = oneshot::channel();
        let mut listening = JoinSet::new();
        listening.spawn_local(listen(mesh.clone(), (news, own), learnt));
        // Where nobody answers, signs of life will tell in time.
        timeout(PATIENCE, knows).await.ok();
        Ok(Self { mesh, beats, wanted: BTreeMap::new(), ahead: None, listening })
    }

    async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        if self.listening.try_join_next().is_some() {
            return Err(Failure::crash("what listens has ended"));
        }
        let now = Instant::now();
        let mut taken = 0_u32;
        loop {
            let Some(beat) = self.beats.next().now_or_never() else {
                if taken == 0 {
                    break;
                }
                // There may be more: a task takes only so many in one go.
                taken = 0;
                tokio::task::yield_now().await;
                continue;
            };
            let Some(beat) = beat else {
                return Err(Failure::crash("signs of life are no longer heard"));
            };
            taken += 1;
            self.beat(&beat, now);
        }
        let gone = self.mesh.0.ways.roster.expire(now, self.mesh.instance());
        for card in &gone {
            metrics::counter!(ROSTER_EXPIRED_TOTAL).increment(1);
            tracing::warn!(
                node = &*card.node,
                instance = &*card.instance,
                "a node has fallen silent"
            );
        }
        if !gone.is_empty() {
            forget(&self.mesh);
        }
        if let Some(ahead) = self.ahead.take() {
            let subject = wire::to(&self.mesh.0.namespace, &ahead, "routes");
            self.mesh.send(subject, &()).await;
        }
        self.ask(now).await;
        Ok(())
    }

    fn beat(&mut self, beat: &Message, now: Instant) {
        let Ok(beat) = codec::decode::<Beat>(&beat.payload) else {
            return;
        };
        let ways = &self.mesh.0.ways;
        if (beat.routes, beat.print) > ways.routes.stamp() {
            self.ahead = Some(beat.instance.clone());
        }
        let roster = &ways.roster;
        if roster.beat(&beat, now) != Heard::Wanted || self.wanted.len() >= WANTED {
            return;
        }
        // Not all who miss it ask at once: the first to ask has it shown to all.
        let patience = self.mesh.0.pace.heartbeat.mul_f64(fastrand::f64() / 4.0);
        let entry = self
            .wanted
            .entry(beat.instance)
            .or_insert((beat.revision, now + patience));
        entry.0 = entry.0.max(beat.revision);
    }

    /// Asks for the cards that have not come by themselves.
    async fn ask(&mut self, now: Instant) {
        let roster = self.mesh.0.ways.roster.clone();
        self.wanted
            .retain(|instance, (revision, _)| !roster.knows(instance, *revision));
        let due = self.wanted.extract_if(.., |_, (_, due)| *due <= now);
        for (instance, _) in due.collect::<Vec<_>>() {
            let subject = wire::to(&self.mesh.0.namespace, &instance, "show");
            self.mesh.send(subject, &()).await;
        }
    }
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
    let (mut shown, mut asked, mut learnt) = (None, None, Some(learnt));
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
                Some(word) => hear(&mesh, &word),
                None => return,
            },
            word = own.next() => match word {
                Some(word) if wire::is(&word.subject, "show") => {
                    let recent = shown.is_some_and(|then: Instant| then.elapsed() < SHOWN);
                    if !recent {
                        shown = Some(Instant::now());
                        mesh.show().await;
                    }
                }
                Some(word) if wire::is(&word.subject, "routes") => mesh.show_routes().await,
                Some(word) => mesh.answer(&word).await,
                None => return,
            },
            question = next(&mut asked) => match question {
                Some(question) => mesh.answer(&question).await,
                None => return,
            },
        }
    }
}

fn hear(mesh: &Mesh, word: &Message) {
    let (roster, own) = (&mesh.0.ways.roster, mesh.instance());
    if wire::is(&word.subject, "leave") {
        if let Ok(leave) = codec::decode::<Leave>(&word.payload)
            && *leave.instance != **own
        {
            roster.leave(&leave.instance);
            forget(mesh);
        }
        return;
    }
    match codec::decode::<Card>(&word.payload) {
        // What this node said of itself it knows.
        Ok(card) if *card.instance == **own => {}
        Ok(card) => {
            if roster.hear(card, Instant::now()) == Heard::Full {
                metrics::counter!(ROSTER_FULL_TOTAL).increment(1);
            }
        }
        Err(error) => tracing::debug!(%error, "a card cannot be read"),
    }
}

/// Forgets how calls went to instances that are gone.
fn forget(mesh: &Mesh) {
    let ways = &mesh.0.ways;
    ways.routes.keep(|instance| ways.roster.knows(instance, 0));
}
