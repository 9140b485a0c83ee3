//! The thread on which a replay is played.

use super::{
    Heard, ReplayError,
    heard::{DeadLetter, ParkedKey},
};
use crate::{
    bus::{Bus, Stored, StreamConfig},
    call::{Client, Noted, Record},
    message::{Envelope, Id, Origin, batch},
    node::{Handles, Node, Operation, Running, Site, operate},
    policy::Policies,
    saga::{SagaFilter, SagaStatus, Sagas},
    supervision::{Branch, Group, State, Tree},
    time::Clock,
};
use futures_util::future::LocalBoxFuture;
use std::{
    any::Any,
    collections::{BTreeMap, HashSet},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    task::LocalSet,
    time::sleep,
};

/// The node's name and namespace in a replay.
const NAME: &str = "replay";

/// How much virtual time passes at least before it is looked whether all is quiet.
const GLANCE: Duration = Duration::from_millis(1);

/// One thing that happens to the groups.
pub(super) type Step =
    Box<dyn for<'a> FnOnce(&'a mut Stage) -> LocalBoxFuture<'a, Result<(), ReplayError>> + Send>;

/// A running replay, as its steps see it.
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) given: HashSet<Id>,
    pub(super) answers: Vec<Box<dyn Any + Send>>,
    handles: Handles,
    bus: Bus,
    record: Record,
    patience: Duration,
    idle: Idle,
}

/// What is played, and within which bounds.
pub(super) struct Script {
    pub(super) groups: Vec<Group>,
    pub(super) steps: Vec<Step>,
    pub(super) policies: Policies,
    pub(super) patience: Duration,
    pub(super) crash_at: u64,
}

/// Tells when nothing is left to do but to wait for time to pass.
///
/// The thread says so before each time at which it would park, and a clock that is
/// paused jumps to the next timer then. So it is looked as often as something happened,
/// and not as often as virtual time has milliseconds.
#[derive(Clone, Default)]
struct Idle(Arc<(Notify, AtomicU8)>);

impl Idle {
    /// Nobody wants to know.
    const OFF: u8 = 0;
    /// Who looks is to be told before time passes.
    const WANTED: u8 = 1;
    /// Who looks was told.
    const TOLD: u8 = 2;
    /// It was looked: time may pass.
    const LOOKED: u8 = 3;

    /// Says that the thread is about to park.
    fn parks(&self) {
        let (told, state) = &*self.0;
        match state.load(Relaxed) {
            Self::WANTED => {
                state.store(Self::TOLD, Relaxed);
                told.notify_one();
            }
            Self::LOOKED => state.store(Self::WANTED, Relaxed),
            _ => {}
        }
    }

    fn set(&self, state: u8) {
        self.0.1.store(state, Relaxed);
    }

    async fn told(&self) {
        self.0.0.notified().await;
    }
}

/// Plays all steps on a paused clock, on a thread of its own.
pub(super) async fn play(script: Script) -> Result<Heard, ReplayError> {
    let (done, heard) = oneshot::channel();
    let thread = move || {
        let idle = Idle::default();
        let parks = idle.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .on_thread_park(move || parks.parks())
            .build()
            .expect("the operating system gives a thread its event queue");
        fastrand::seed(0);
        let outcome = LocalSet::new().block_on(&runtime, perform(script, idle));
        // The test may have been given up.
        done.send(outcome).ok();
    };
    std::thread::Builder::new()
        .name("callboard-replay".to_owned())
        .spawn(thread)
        .map_err(|_| ReplayError::Thread)?;
    heard.await.map_err(|_| ReplayError::Thread)?
}

async fn perform(script: Script, idle: Idle) -> Result<Heard, ReplayError> {
    let Script { groups, steps, policies, patience, crash_at } = script;
    let clock = Clock::starting_now();
    let bus = Bus::embedded_with(clock);
    let record = Record::default();
    record.crash_at(crash_at);
    let node = Node::new(NAME, bus.clone())
        .namespace(NAME)
        .policies(policies);
    let node = groups.into_iter().fold(node, Node::group);
    let plan = node.setup()?.replayed(clock, record.clone());
    let (running, operation): (Running, Operation) = Running::new();
    let (ready, started) = oneshot::channel();
    let Operation { stopping, ended } = operation;
    let playing = tokio::task::spawn_local(async move {
        let end = operate(plan, vec![Site::Here], stopping, ready).await;
        ended.send_replace(end);
    });
    let handles = started.await.map_err(|_| ReplayError::Thread)??;
    let mut stage = Stage {
        client: handles.client.clone(),
        given: HashSet::new(),
        answers: Vec::new(),
        handles: handles.clone(),
        bus,
        record: record.clone(),
        patience,
        idle,
    };
    for step in steps {
        step(&mut stage).await?;
        stage.quiet().await?;
    }
    let heard = stage.heard(record).await;
    running.with(handles).stop().await?;
    playing.await.map_err(|_| ReplayError::Thread)?;
    Ok(heard)
}

impl Stage {
    /// Lets virtual time pass until nothing is left to do but to wait for timers.
    pub(super) async fn quiet(&self) -> Result<(), ReplayError> {
        let mut late = pin!(sleep(self.patience));
        sleep(GLANCE).await;
        self.idle.set(Idle::WANTED);
        let outcome = loop {
            let is_late = tokio::select! {
                biased;
                () = self.idle.told() => false,
                () = &mut late => true,
            };
            let Some(left) = self.busy() else {
                break Ok(());
            };
            if is_late {
                let waited = humantime::format_duration(self.patience);
                break Err(ReplayError::Restless { waited, left });
            }
            self.idle.set(Idle::LOOKED);
        };
        self.idle.set(Idle::OFF);
        outcome
    }

    /// Says what is still going on, or nothing.
    fn busy(&self) -> Option<String> {
        let mut left = Vec::new();
        if let Some(messages @ 1..) = self.bus.unsettled() {
            left.push(format!("{messages} messages on the bus"));
        }
        let retrying = self.record.retrying();
        if !retrying.is_empty() {
            left.push(format!("sagas that try again: {}", retrying.join(", ")));
        }
        for group in &(self.handles.tree)().groups {
            busy_below(group, &mut left);
        }
        (!left.is_empty()).then(|| left.join(", "))
    }

    async fn heard(self, record: Record) -> Heard {
        let tree: Tree = (self.handles.tree)();
        let parked = self.parked().await;
        let sagas = self.sagas().await;
        let mut events = Vec::new();
        let mut dead = Vec::new();
        for (stream, stored) in self.stored().await {
            if stored.subject.starts_with(&format!("{NAME}.dead.")) {
                dead.push(DeadLetter::of(&stored));
            } else if stored.subject.starts_with(&format!("{NAME}.evt.")) {
                let own = envelopes(&stream, stored).into_iter();
                events.extend(own.filter(|event| !self.given.contains(&event.id)));
            }
        }
        let (Noted { commands, jobs }, places) = (record.all(), record.places());
        Heard {
            events,
            commands,
            jobs,
            answers: self.answers,
            dead,
            parked,
            sagas,
            places,
            tree,
        }
    }

    /// Reads how all sagas stand, by their name.
    async fn sagas(&self) -> BTreeMap<String, Vec<SagaStatus>> {
        let mut all = BTreeMap::new();
        let filter = SagaFilter::all().limit(usize::MAX);
        for name in Sagas::names(&self.client).await.unwrap_or_default() {
            let Ok(sagas) = Sagas::open(&self.client, &name).await else {
                continue;
            };
            if let Ok(list) = sagas.list(&filter).await {
                all.insert(name, list.sagas);
            }
        }
        all
    }

    /// Reads which keys are parked.
    async fn parked(&self) -> Vec<ParkedKey> {
        let Ok(parks) = self.client.parks().await else {
            return Vec::new();
        };
        let Ok(mut reader) = parks.since(">", 1).await else {
            return Vec::new();
        };
        let mut parked = Vec::new();
        while let Ok(Some(stored)) = reader.next().await {
            parked.extend(
                parks
                    .read(&stored)
                    .map(|record| ParkedKey::of(&record.park)),
            );
        }
        parked
    }

    /// Reads everything that was stored.
    async fn stored(&self) -> Vec<(String, Stored)> {
        let mut all = Vec::new();
        for info in self.bus.streams().await.unwrap_or_default() {
            let namespace = self.client.namespace();
            let config = match info.name.strip_prefix(&namespace.event_stream("")) {
                Some(domain) => self.client.event_stream(domain),
                None if info.name == namespace.dead_stream() => StreamConfig::dead(namespace),
                None => continue,
            };
            let Ok(stream) = self.bus.stream(&config).await else {
                continue;
            };
            let Ok(reader) = stream.read(">", 1).await else {
                continue;
            };
            let read = reader.all().await.unwrap_or_default().into_iter();
            all.extend(read.map(|stored| (info.name.clone(), stored)));
        }
        all.sort_by_key(|(_, stored)| stored.time);
        all
    }
}

/// Returns the events of a stored message; what is none is left out.
fn envelopes(stream: &str, stored: Stored) -> Vec<Envelope> {
    let Stored { subject, headers, payload, sequence, time } = stored;
    let origin = Origin { stream, sequence, subject: &subject, time };
    batch::read(&headers, origin, payload).unwrap_or_default()
}

fn busy_below(branch: &Branch, left: &mut Vec<String>) {
    if let Some(messages @ 1..) = branch.mailbox {
        left.push(format!("{messages} messages in `{}`", branch.name));
    }
    if let Some(messages @ 1..) = branch.lag {
        left.push(format!("`{}` is {messages} messages behind", branch.name));
    }
    if matches!(branch.state, State::Starting | State::Restarting) {
        left.push(format!("`{}` is not running yet", branch.name));
    }
    for child in &branch.children {
        busy_below(child, left);
    }
}
