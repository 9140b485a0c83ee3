//! Snapshots are stored and found beside the line of their key.

use super::{
    life::{Life, Progress},
    plan::Plan,
    snapshot::{PART, Parts, Snapshots, Written},
};
use crate::{
    bus::{Append, Expect, Message, Stored, Stream},
    call::Client,
    message::{Headers, Id, headers::MSG_ID},
    telemetry::SNAPSHOTS_TOTAL,
};
use bytes::{Bytes, BytesMut};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

/// How long a load waits for a snapshot before it goes without.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long loads go without snapshots after one waited in vain.
const REST: Duration = Duration::from_secs(30);

/// Stores the snapshots of one shard's entities.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    storing: RefCell<JoinSet<()>>,
    rests_until: Cell<Option<Instant>>,
}

/// A snapshot on its way to be stored.
struct Errand {
    client: Client,
    subject: String,
    written: Written,
    events: u64,
    progress: Rc<Progress>,
    entity: &'static str,
}

impl Keeper {
    /// Takes a snapshot if it is time for one, and stores it beside.
    pub(super) fn look_after<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &Life<S>,
        (client, subject): (&Client, impl FnOnce() -> String),
    ) {
        let due = plan.snapshots.as_ref().filter(|due| due.are_due(life));
        let Some(snapshots) = due.filter(|_| life.snapshots.may_begin()) else {
            return;
        };
        let (subject, entity) = (subject(), plan.name);
        let written = match snapshots.write(life, plan.version, Id::new().to_string()) {
            Ok(written) => written,
            Err(reason) => return failed(entity, &subject, &life.snapshots, &reason),
        };
        let bytes = written.state.len();
        if life.snapshots.grows_to(bytes) {
            tracing::warn!(
                entity,
                subject,
                bytes,
                "the state of an entity is large: every snapshot writes all of it; split it, or keep less"
            );
        }
        life.snapshots.begin();
        let errand = Errand {
            client: client.clone(),
            subject,
            written,
            events: life.events,
            progress: Rc::clone(&life.snapshots),
            entity,
        };
        let mut storing = self.storing.borrow_mut();
        while storing.try_join_next().is_some() {}
        storing.spawn_local(errand.run());
    }

    /// Lets those that are being stored end.
    pub(super) async fn close(&self) {
        let mut storing = self.storing.take();
        while storing.join_next().await.is_some() {}
    }

    /// Returns an entity as its last snapshot has it, and the oldest command that
    /// it remembers; one that is of no use is passed over, for the events are all there.
    pub(super) async fn last<S: 'static>(
        &self,
        plan: &Plan<S>,
        (client, subject): (&Client, &str),
    ) -> Option<(Life<S>, u64)> {
        let snapshots = plan.snapshots.as_ref()?;
        let now = Instant::now();
        if self.rests_until.get().is_some_and(|until| until > now) {
            return None;
        }
        let found = timeout(PATIENCE, find(plan, snapshots, (client, subject))).await;
        let found = found.unwrap_or_else(|_| {
            self.rests_until.set(Some(Instant::now() + REST));
            Err(format!("it could not be read within {PATIENCE:?}"))
        });
        let entity = plan.name;
        found
            .inspect_err(|reason| {
                tracing::warn!(entity, subject, reason, "a snapshot is passed over");
            })
            .ok()
            .flatten()
    }
}

/// Reads a snapshot and what of it stands elsewhere.
async fn find<S: 'static>(
    plan: &Plan<S>,
    snapshots: &Snapshots<S>,
    (client, subject): (&Client, &str),
) -> Result<Option<(Life<S>, u64)>, String> {
    let stream = client
        .snapshots()
        .await
        .map_err(|error| error.to_string())?;
    let Some(stored) = last(&stream, subject).await? else {
        return Ok(None);
    };
    let read = Snapshots::<S>::read(&stored.payload, plan.version)?;
    let state = match &read.parts {
        Some(parts) => Some(put_together(&stream, subject, parts).await?),
        None => None,
    };
    let oldest = read.oldest;
    let life = snapshots.revive(read, state.as_deref())?;
    Ok(Some((life, oldest)))
}

async fn last(stream: &Stream, subject: &str) -> Result<Option<Stored>, String> {
    stream
        .last(subject)
        .await
        .map_err(|error| error.to_string())
}

async fn put_together(stream: &Stream, subject: &str, parts: &Parts) -> Result<BytesMut, String> {
    let mut state = BytesMut::new();
    for part in 0..parts.count {
        let stored = last(stream, &place_of(subject, parts.slot, part)).await?;
        let id = part_id(&parts.id, part);
        let stored = stored.filter(|it| it.headers.get(MSG_ID) == Some(id.as_str()));
        let stored = stored.ok_or("some of its parts are gone")?;
        state.extend_from_slice(&stored.payload);
    }
    Ok(state)
}

fn place_of(subject: &str, slot: u32, part: u32) -> String {
    format!("{subject}.{slot}.{part}")
}

fn part_id(id: &str, part: u32) -> String {
    format!("{id}-{part}")
}

impl Errand {
    async fn run(self) {
        let (entity, subject, progress) = (self.entity, &self.subject, &self.progress);
        match self.store().await {
            Ok(()) => {
                count(entity, "stored");
                if let Some(parts) = &self.written.parts {
                    progress.slot.set(parts.slot);
                }
                progress.done(self.events);
            }
            Err(reason) => failed(entity, subject, progress, &reason),
        }
    }

    /// Stores the parts first, so that a message that names them names whole ones.
    async fn store(&self) -> Result<(), String> {
        let Written { head, parts, state } = &self.written;
        let stream = self.client.snapshots().await;
        let stream = stream.map_err(|error| error.to_string())?;
        if let Some(parts) = parts {
            for (at, part) in (0..).zip(state.chunks(PART)) {
                let to = place_of(&self.subject, parts.slot, at);
                append(&stream, to, (part_id(&parts.id, at), state.slice_ref(part))).await?;
            }
        }
        let id = format!("{}#{}", self.subject, Id::new());
        append(&stream, self.subject.clone(), (id, head.clone())).await
    }
}

async fn append(
    stream: &Stream,
    subject: String,
    (id, payload): (String, Bytes),
) -> Result<(), String> {
    let mut headers = Headers::with_capacity(1);
    headers.put(MSG_ID, id);
    let message = Message::new(subject, payload).headers(headers);
    match stream.append(message, Expect::Any).await {
        Ok(Append::Committed { .. } | Append::Conflict) => Ok(()),
        Ok(Append::Unknown { reason }) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

fn failed(entity: &'static str, subject: &str, progress: &Progress, reason: &str) {
    count(entity, "failed");
    let again_in = progress.fail();
    tracing::warn!(
        entity,
        subject,
        reason,
        ?again_in,
        "a snapshot could not be stored"
    );
}

fn count(entity: &'static str, outcome: &'static str) {
    metrics::counter!(SNAPSHOTS_TOTAL, "entity" => entity, "outcome" => outcome).increment(1);
}
