use super::{
    commands::REMEMBERED_FOR,
    decision::Fact,
    keeper::Keeper,
    life::{Life, Noted, Place},
    plan::Plan,
    reply::{self, Kept},
};
use crate::{
    actor::Context,
    bus::{Append, Expect, Message, ReadError, Reader, Stored, Stream},
    call::{Client, Skips},
    error::Failure,
    message::{Envelope, Gist, Id, Key, Origin, batch, headers},
    telemetry::ENTITY_EVENTS,
    time::unix_ms,
};
use std::{rc::Rc, time::SystemTime};

/// Above how many events since the last snapshot an entity is too long.
const LONG: u64 = 10_000;

/// What the entities of one shard share beside their plan.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) keeper: Rc<Keeper>,
    pub(super) skips: Rc<Skips>,
}

/// Where one entity's events stand.
pub(super) struct Past {
    pub(super) key: Key,
    stream: Stream,
    subject: String,
    domain: &'static str,
    client: Client,
    shared: Shared,
    /// Which connection of the bus it is looked at over.
    pub(super) connection: u64,
}

impl Past {
    pub(super) async fn open<S: 'static>(
        plan: &Plan<S>,
        ctx: &Context,
        (key, shared): (&str, &Shared),
    ) -> Result<Self, Failure> {
        let key = Key::new(key).map_err(Failure::discard)?;
        let domain = plan.domain.ok_or_else(|| {
            Failure::discard(format!(
                "entity `{}` applies no event; list one with `.apply`",
                plan.name
            ))
        })?;
        let stream = ctx.client().events(domain).await?;
        let namespace = ctx.client().namespace();
        Ok(Self {
            subject: namespace.event(domain, &key),
            connection: ctx.client().bus().connection(),
            client: ctx.client().clone(),
            shared: shared.clone(),
            stream,
            domain,
            key,
        })
    }

    /// Builds the entity from its last snapshot and what came after.
    pub(super) async fn load<S: 'static>(&self, plan: &Plan<S>) -> Result<Life<S>, Failure> {
        self.shared.skips.ready().await?;
        let mut life = match self.loaded(plan).await {
            Err(Unlived::Unreadable(_)) if self.was_changed().await => self.loaded(plan).await?,
            loaded => loaded?,
        };
        life.connection = self.connection;
        metrics::histogram!(ENTITY_EVENTS, "entity" => plan.name).record(tail(&life));
        if life.tail() >= LONG {
            self.complain(plan, life.tail());
        }
        Ok(life)
    }

    async fn loaded<S: 'static>(&self, plan: &Plan<S>) -> Result<Life<S>, Unlived> {
        let place = (&self.client, &*self.snapshot(plan));
        if let Some((life, oldest)) = self.shared.keeper.last(plan, place).await
            && let Some(life) = self.caught_up(plan, (life, oldest)).await?
        {
            return Ok(life);
        }
        let mut life = Life::new((plan.initial)());
        let tail = self.stream.read(&self.subject, 1).await?;
        self.go_through(plan, &mut life, tail).await?;
        Ok(life)
    }

    /// Goes through the events that came since; returns whether the last one before
    /// them is still there. If not, the entity is to be loaded anew.
    pub(super) async fn catch_up<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &mut Life<S>,
    ) -> Result<bool, Failure> {
        let mut tail = self
            .stream
            .read(&self.subject, life.last.sequence.max(1))
            .await?;
        if life.last.sequence > 0 {
            let first = tail.next().await?;
            if first.is_none_or(|first| place_of(&first) != life.last) {
                self.lost(plan, life.last.sequence);
                return Ok(false);
            }
        }
        match self.go_through(plan, life, tail).await {
            Err(Unlived::Unreadable(_)) if self.was_changed().await => Ok(false),
            gone => {
                gone?;
                Ok(true)
            }
        }
    }

    /// Returns whether an operator changed what is left out of this entity: what
    /// cannot be read may have been just now.
    async fn was_changed(&self) -> bool {
        let changed = self.shared.skips.refresh().await.unwrap_or_default();
        changed.iter().any(|key| key == self.key.as_str())
    }

    /// Returns whether the last event of an entity is still the one that it was.
    pub(super) async fn still_holds<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &Life<S>,
    ) -> Result<bool, Failure> {
        if life.last.sequence == 0 {
            return Ok(true);
        }
        let found = self.at(life.last.sequence).await?;
        let holds = found.is_some_and(|found| place_of(&found) == life.last);
        if !holds {
            self.lost(plan, life.last.sequence);
        }
        Ok(holds)
    }

    /// Goes on from a snapshot; nothing if the stream does not hold its last event,
    /// or messages were left out since, or taken back.
    async fn caught_up<S: 'static>(
        &self,
        plan: &Plan<S>,
        (mut life, oldest): (Life<S>, u64),
    ) -> Result<Option<Life<S>>, Unlived> {
        let last = life.last;
        let skips = &self.shared.skips;
        if skips.up_to(self.key.as_str(), last.sequence) != life.skipped {
            return Ok(None);
        }
        let from = self.remembered_from(&life, oldest);
        let mut tail = self.stream.read(&self.subject, from).await?;
        let mut before = Vec::new();
        loop {
            let Some(stored) = tail.next().await? else {
                return Ok(None);
            };
            if stored.sequence < last.sequence {
                before.extend(self.command_of(&stored));
                continue;
            }
            let found = place_of(&stored);
            if found.sequence != last.sequence || (last.mark != 0 && found != last) {
                self.lost(plan, last.sequence);
                return Ok(None);
            }
            life.last = found;
            break;
        }
        life.commands.begin_with(&before);
        self.go_through(plan, &mut life, tail).await?;
        Ok(Some(life))
    }

    /// Returns from where on to read, so that all is remembered that is to be: a
    /// snapshot holds the last thousand commands only.
    fn remembered_from<S: 'static>(&self, life: &Life<S>, oldest: u64) -> u64 {
        let now = seconds(self.client.clock().now());
        let recent = life
            .commands
            .newest()
            .is_some_and(|at| at.saturating_add(REMEMBERED_FOR) > now);
        let inside = life.commands.oldest().unwrap_or(life.last.sequence);
        if recent && oldest > 0 && oldest < inside {
            oldest
        } else {
            life.last.sequence
        }
    }

    /// Returns by which command a message came, with its place and time.
    fn command_of(&self, stored: &Stored) -> Option<(u128, u64, u32)> {
        if self
            .shared
            .skips
            .leave_out(self.key.as_str(), stored.sequence)
        {
            return None;
        }
        let command = self.causation(stored)?;
        Some((command.mark(), stored.sequence, seconds(stored.time)))
    }

    fn causation(&self, stored: &Stored) -> Option<Id> {
        if let Ok(Some(only)) = Gist::read(&stored.headers, &stored.payload) {
            return only.causation;
        }
        let events = self.events(stored).ok()?;
        events.into_iter().next()?.causation
    }

    async fn go_through<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &mut Life<S>,
        mut tail: Reader,
    ) -> Result<(), Unlived> {
        while let Some(stored) = tail.next().await? {
            self.relive(plan, life, &stored)?;
        }
        Ok(())
    }

    fn relive<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &mut Life<S>,
        stored: &Stored,
    ) -> Result<(), Unlived> {
        let place = place_of(stored);
        let sequence = place.sequence;
        if self.shared.skips.leave_out(self.key.as_str(), sequence) {
            life.pass_over(place);
            return Ok(());
        }
        let noted = Noted { place, at: seconds(stored.time) };
        let lived = match Gist::read(&stored.headers, &stored.payload) {
            Ok(Some(only)) => life.relive(plan, [only], noted),
            Ok(None) => match self.events(stored) {
                Ok(events) => life.relive(plan, events.iter().map(Gist::from), noted),
                Err(reason) => Err(format!("#{sequence} {reason}")),
            },
            Err(error) => Err(format!("#{sequence} {error}")),
        };
        lived.map_err(|reason| {
            let (entity, domain, key) = (plan.name, self.domain, &self.key);
            Unlived::Unreadable(format!(
                "{entity} `{key}` cannot be loaded: {reason}; a newer program may read it, and \
                 `callboard entity skip {domain} {key} {sequence} --reason TEXT` leaves it out"
            ))
        })
    }

    /// Unpacks a message of several events.
    fn events(&self, stored: &Stored) -> Result<Vec<Envelope>, String> {
        let origin = Origin {
            stream: &self.client.namespace().event_stream(self.domain),
            sequence: stored.sequence,
            subject: &stored.subject,
            time: stored.time,
        };
        batch::read(&stored.headers, origin, stored.payload.clone())
            .map_err(|error| error.to_string())
    }

    /// Whether no event came after the last one of an entity, and that one is there.
    pub(super) async fn is_last(&self, place: Place) -> Result<bool, Failure> {
        let last = self.stream.last(&self.subject).await?;
        Ok(last.as_ref().map(place_of).unwrap_or_default() == place)
    }

    /// Returns the message of a commit.
    async fn at(&self, sequence: u64) -> Result<Option<Stored>, Failure> {
        let stored = self
            .stream
            .read(&self.subject, sequence)
            .await?
            .next()
            .await?;
        Ok(stored.filter(|stored| stored.sequence == sequence))
    }

    /// Returns the message by which a command changed the entity, if that is what
    /// stands at a sequence.
    pub(super) async fn commit_of(
        &self,
        command: &Id,
        sequence: u64,
    ) -> Result<Option<Stored>, Failure> {
        let stored = self.at(sequence).await?;
        let by = |stored: &Stored| self.causation(stored).map(|id| id.mark());
        Ok(stored.filter(|stored| by(stored) == Some(command.mark())))
    }

    /// Stores the events of one decision as one message; returns also what is noted
    /// of it once it is stored.
    pub(super) async fn append<S: 'static>(
        &self,
        (plan, ctx, life): (&Plan<S>, &Context, &Life<S>),
        facts: &[Fact],
        reply: Kept,
    ) -> Result<(Append, u128), Failure> {
        let commit = ctx.id().derived_for(plan.name, self.key.as_str());
        let mut events = Vec::with_capacity(facts.len());
        for (index, fact) in (0..).zip(facts) {
            self.check(plan, fact)?;
            let id = match facts {
                [_] => commit.clone(),
                _ => commit.derived(plan.name, index),
            };
            events.push(self.envelope(ctx, id, fact)?);
        }
        let (header, within) = match reply {
            Kept::Nowhere => (None, None),
            Kept::Header(text) => (Some(text), None),
            Kept::Payload(reply) => (None, Some(reply)),
        };
        let (mut headers, payload) = batch::write(&events, &commit, within)?;
        if let Some(reply) = header {
            headers.put(headers::CB_REPLY, reply);
        }
        let message = Message::new(self.subject.clone(), payload).headers(headers);
        let expect = Expect::Last(life.last.sequence);
        Ok((self.stream.append(message, expect).await?, commit.mark()))
    }

    /// Takes a snapshot if it is time for one, and complains of too long a tail.
    pub(super) fn look_after<S: 'static>(&self, plan: &Plan<S>, life: &Life<S>) {
        let place = (&self.client, || self.snapshot(plan));
        self.shared.keeper.look_after(plan, life, place);
        if life.tail() > 0 && life.tail().is_multiple_of(LONG) {
            self.complain(plan, life.tail());
        }
    }

    /// Returns where its snapshot stands.
    fn snapshot<S>(&self, plan: &Plan<S>) -> String {
        let namespace = self.client.namespace();
        namespace.snapshot(self.domain, plan.name, &self.key)
    }

    fn check<S: 'static>(&self, plan: &Plan<S>, fact: &Fact) -> Result<(), Failure> {
        let (entity, key, subject) = (plan.name, &self.key, fact.subject);
        if !plan.knows(fact) {
            return Err(Failure::discard(format!(
                "no `.apply` of entity `{entity}` is for `{subject}`"
            )));
        }
        if fact.key.as_ref() != Ok(key) {
            return Err(Failure::discard(format!(
                "{entity} `{key}` decided `{subject}` of another key; an entity's events have its own key"
            )));
        }
        Ok(())
    }

    fn envelope(&self, ctx: &Context, id: Id, fact: &Fact) -> Result<Envelope, Failure> {
        let cause = ctx.cause();
        Ok(Envelope {
            id,
            kind: fact.subject.as_str().to_owned(),
            version: fact.version,
            source: ctx.client().source().to_owned(),
            key: self.key.clone(),
            subject: self.key.decode(),
            time: None,
            correlation: cause.correlation.clone(),
            causation: Some(cause.id.clone()),
            trace: cause.trace.clone(),
            payload: fact.payload.clone()?,
        })
    }

    fn lost<S>(&self, plan: &Plan<S>, sequence: u64) {
        tracing::warn!(
            entity = plan.name,
            key = %self.key,
            sequence,
            "the last event that was known of an entity is gone or another: its log lost its end, \
             and it is built anew from what is there"
        );
    }

    fn complain<S>(&self, plan: &Plan<S>, events: u64) {
        tracing::warn!(
            entity = plan.name,
            key = %self.key,
            events,
            "an entity is long and slow to load; take snapshots with `.snapshot_every`, or split it"
        );
    }
}

/// Why an entity could not be built.
enum Unlived {
    /// One of its messages cannot be read; another attempt would end the same way.
    Unreadable(String),
    Failed(Failure),
}

impl From<ReadError> for Unlived {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Unlived> for Failure {
    fn from(unlived: Unlived) -> Self {
        match unlived {
            Unlived::Unreadable(reason) => Self::discard(reason),
            Unlived::Failed(failure) => failure,
        }
    }
}

/// Returns the first reply of the command that committed a message.
pub(super) fn reply_of<R: serde::de::DeserializeOwned>(stored: &Stored) -> Result<R, String> {
    reply::read(&stored.headers, &stored.payload)
}

fn place_of(stored: &Stored) -> Place {
    Place { sequence: stored.sequence, mark: stored.mark() }
}

/// Returns a time in seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u32 {
    u32::try_from(unix_ms(time) / 1_000).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a metric need not be exact")]
fn tail<S: 'static>(life: &Life<S>) -> f64 {
    life.tail() as f64
}
