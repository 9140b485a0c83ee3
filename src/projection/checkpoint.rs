use super::{
    Positions,
    copy::Copy,
    plan::{Checkpointed, Plan},
};
use crate::{
    bus::{Append, Expect, Message, Stream, StreamError},
    call::Client,
    error::Failure,
    message::{
        Headers, Id, codec,
        headers::{CONTENT_TYPE, MSG_ID},
    },
};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

/// The largest part of a checkpoint, in bytes.
const PART: usize = codec::MAX_PAYLOAD;

/// How many parts a checkpoint may have: 64 MiB in all.
const PARTS: usize = 256;

/// How often a checkpoint is read of which other nodes replace parts meanwhile.
const TRIES: usize = 3;

/// Where the checkpoints of one version of a projection are kept: the last one,
/// and for a moment the one before.
///
/// A checkpoint is some parts and a head that names them, written in this
/// order. The next one's parts go to the other slot, so that the head always
/// names whole ones.
pub(super) struct Checkpoints<S> {
    plan: Arc<Plan<S>>,
    path: Arc<str>,
    stream: Stream,
    subject: String,
    writer: Id,
    /// One writes at a time.
    turn: Mutex<()>,
}

/// What names a checkpoint's parts.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    positions: Positions,
    id: String,
    slot: u32,
    parts: u32,
    /// What tells the message at each position from another of its sequence.
    #[serde(default)]
    marks: BTreeMap<String, Bytes>,
}

impl Head {
    fn marks(&self) -> BTreeMap<String, u128> {
        let mark = |bytes: &Bytes| <[u8; 16]>::try_from(&**bytes).ok().map(u128::from_be_bytes);
        let marks = self.marks.iter();
        marks
            .filter_map(|(domain, bytes)| Some((domain.clone(), mark(bytes)?)))
            .collect()
    }
}

/// The latest head, and its sequence.
#[derive(Debug, Default)]
struct Latest {
    sequence: u64,
    head: Option<Head>,
}

impl<S: 'static> Checkpoints<S> {
    pub(super) async fn open(
        plan: &Arc<Plan<S>>,
        path: &Arc<str>,
        client: &Client,
    ) -> Result<Self, StreamError> {
        let subject = client.namespace().checkpoint(path, plan.version);
        let stream = client.snapshots().await?;
        let (plan, path) = (Arc::clone(plan), Arc::clone(path));
        let (writer, turn) = (Id::new(), Mutex::new(()));
        Ok(Self { plan, path, stream, subject, writer, turn })
    }

    /// Returns the copy that was written last; one that cannot be read is as
    /// good as none.
    pub(super) async fn read(&self) -> Result<Option<Copy<S>>, Failure> {
        let Some(Checkpointed { read, .. }) = &self.plan.checkpoint else {
            return Ok(None);
        };
        for _ in 0..TRIES {
            let Some(head) = self.latest().await?.head else {
                return Ok(None);
            };
            let Some(state) = self.parts(&head).await? else {
                continue;
            };
            return match read(&state) {
                Ok(model) => {
                    let marks = head.marks();
                    Ok(Some(Copy::new(model, head.positions).at(marks)))
                }
                Err(reason) => {
                    self.ignored(&format!("it {reason}"));
                    Ok(None)
                }
            };
        }
        self.ignored("some of its parts are gone");
        Ok(None)
    }

    /// Writes a copy down if enough came since; it goes on if that fails.
    pub(super) async fn write_if_due(&self, copy: &RefCell<Copy<S>>) {
        let every = self
            .plan
            .checkpoint
            .as_ref()
            .map_or(u64::MAX, |at| at.every);
        if copy.borrow().unwritten < every {
            return;
        }
        if let Err(failure) = self.write(copy).await {
            tracing::warn!(child = &*self.path, %failure, "a checkpoint could not be written");
            copy.borrow_mut().unwritten = 0;
        }
    }

    /// Writes a copy down, unless another node did, or is about to.
    pub(super) async fn write(&self, copy: &RefCell<Copy<S>>) -> Result<(), Failure> {
        let Some(Checkpointed { write, .. }) = &self.plan.checkpoint else {
            return Ok(());
        };
        let _turn = self.turn.lock().await;
        let Latest { sequence, head } = self.latest().await?;
        let is_written = {
            let mut copy = copy.borrow_mut();
            copy.unwritten = 0;
            let covers = |head: &Head| head.positions.covers(&copy.positions);
            !copy.is_anew && head.as_ref().is_some_and(covers)
        };
        if is_written || !self.claim(sequence).await? {
            return Ok(());
        }
        let (state, at) = {
            let copy = copy.borrow();
            let at = (copy.positions.clone(), copy.marks());
            (write(&copy.model)?, at)
        };
        if state.len() > PART * PARTS {
            return Err(Failure::discard(format!(
                "the model takes {} bytes, more than {PARTS} parts of {PART}; keep it in a database",
                state.len()
            )));
        }
        let slot = head.map_or(0, |head| 1 - head.slot.min(1));
        self.put(state, at, slot).await?;
        copy.borrow_mut().is_anew = false;
        Ok(())
    }

    async fn put(
        &self,
        state: Bytes,
        (positions, marks): (Positions, BTreeMap<String, u128>),
        slot: u32,
    ) -> Result<(), Failure> {
        let id = Id::new().to_string();
        let mut parts = 0;
        for part in state.chunks(PART) {
            let (subject, id) = (self.part(slot, parts), format!("{id}-{parts}"));
            self.append(subject, &id, state.slice_ref(part)).await?;
            parts += 1;
        }
        let bytes = |mark: u128| Bytes::copy_from_slice(&mark.to_be_bytes());
        let marks = marks.into_iter();
        let marks = marks.map(|(domain, mark)| (domain, bytes(mark))).collect();
        let head = Head { positions, id: id.clone(), slot, parts, marks };
        self.append(self.subject.clone(), &id, codec::encode(&head)?)
            .await?;
        Ok(())
    }

    /// Makes sure that of several nodes one follows a head with the next.
    ///
    /// A claim of one's own that came to nothing still holds; one of a node that
    /// is gone is forgotten with its id.
    async fn claim(&self, sequence: u64) -> Result<bool, Failure> {
        let subject = format!("{}.claim", self.subject);
        let id = format!("{}:{sequence}", self.subject);
        let me = Bytes::from(self.writer.to_string());
        let claimed = self.append(subject.clone(), &id, me.clone()).await?;
        if matches!(claimed, Append::Committed { duplicate: false, .. }) {
            return Ok(true);
        }
        let last = self.stream.last(&subject).await?;
        Ok(last.is_some_and(|it| it.payload == me && it.headers.get(MSG_ID) == Some(id.as_str())))
    }

    async fn append(&self, subject: String, id: &str, payload: Bytes) -> Result<Append, Failure> {
        let mut headers = Headers::with_capacity(2);
        headers.insert(MSG_ID, id)?;
        headers.put(CONTENT_TYPE, codec::MEDIA_TYPE);
        let message = Message::new(subject, payload).headers(headers);
        match self.stream.append(message, Expect::Any).await? {
            Append::Unknown { reason } => Err(Failure::retry(reason)),
            appended => Ok(appended),
        }
    }

    async fn latest(&self) -> Result<Latest, Failure> {
        let Some(stored) = self.stream.last(&self.subject).await? else {
            return Ok(Latest::default());
        };
        let head = codec::decode(&stored.payload)
            .inspect_err(|reason| self.ignored(&reason.to_string()))
            .ok();
        Ok(Latest { sequence: stored.sequence, head })
    }

    /// Puts the parts of a checkpoint together; nothing if one is not there.
    async fn parts(&self, head: &Head) -> Result<Option<BytesMut>, Failure> {
        let mut state = BytesMut::new();
        for part in 0..head.parts {
            let stored = self.stream.last(&self.part(head.slot, part)).await?;
            let id = format!("{}-{part}", head.id);
            let Some(stored) = stored.filter(|it| it.headers.get(MSG_ID) == Some(id.as_str()))
            else {
                return Ok(None);
            };
            state.extend_from_slice(&stored.payload);
        }
        Ok(Some(state))
    }

    fn part(&self, slot: u32, part: u32) -> String {
        format!("{}.{slot}.{part}", self.subject)
    }

    fn ignored(&self, reason: &str) {
        let child = &*self.path;
        tracing::warn!(child, reason, "a checkpoint cannot be read and is ignored");
    }
}
