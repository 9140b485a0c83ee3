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
    supervision::{Branch, Group, State, Tree},
    time::Clock,
};
use futures_util::future::LocalBoxFuture;
use std::{any::Any, collections::HashSet, time::Duration};
use tokio::{
    sync::oneshot,
    task::LocalSet,
    time::{Instant, sleep},
};

/// The node's name and namespace in a replay.
const NAME: &str = "replay";

/// How often to look whether all is quiet, in virtual time.
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
    patience: Duration,
}

/// Plays all steps on a paused clock, on a thread of its own.
pub(super) async fn play(
    groups: Vec<Group>,
    steps: Vec<Step>,
    patience: Duration,
) -> Result<Heard, ReplayError> {
    let (done, heard) = oneshot::channel();
    let thread = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("the operating system gives a thread its event queue");
        fastrand::seed(0);
        let outcome = LocalSet::new().block_on(&runtime, perform(groups, steps, patience));
        // The test may have been given up.
        done.send(outcome).ok();
    };
    std::thread::Builder::new()
        .name("callboard-replay".to_owned())
        .spawn(thread)
        .map_err(|_| ReplayError::Thread)?;
    heard.await.map_err(|_| ReplayError::Thread)?
}

async fn perform(
    groups: Vec<Group>,
    steps: Vec<Step>,
    patience: Duration,
) -> Result<Heard, ReplayError> {
    let clock = Clock::starting_now();
    let bus = Bus::embedded_with(clock);
    let record = Record::default();
    let node = groups
        .into_iter()
        .fold(Node::new(NAME, bus.clone()).namespace(NAME), Node::group);
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
        patience,
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
        let deadline = Instant::now() + self.patience;
        loop {
            // On a paused clock this returns once every task waits for time or others.
            sleep(GLANCE).await;
            let Some(left) = self.busy() else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let waited = humantime::format_duration(self.patience);
                return Err(ReplayError::Restless { waited, left });
            }
        }
    }

    /// Says what is still going on, or nothing.
    fn busy(&self) -> Option<String> {
        let mut left = Vec::new();
        if let Some(messages @ 1..) = self.bus.unsettled() {
            left.push(format!("{messages} messages on the bus"));
        }
        for group in &(self.handles.tree)().groups {
            busy_below(group, &mut left);
        }
        (!left.is_empty()).then(|| left.join(", "))
    }

    async fn heard(self, record: Record) -> Heard {
        let tree: Tree = (self.handles.tree)();
        let parked = self.parked().await;
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
        let Noted { commands, jobs } = record.all();
        Heard { events, commands, jobs, answers: self.answers, dead, parked, tree }
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
