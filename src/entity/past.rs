use super::{decision::Fact, life::Life, plan::Plan};
use crate::{
    actor::Context,
    bus::{Append, Expect, Message, Stored, Stream},
    call::Client,
    error::Failure,
    message::{Envelope, Gist, Headers, Id, Key, Origin, batch, headers},
    telemetry::{ENTITY_EVENTS, SNAPSHOTS_TOTAL},
};
use bytes::Bytes;

/// Above how many events since the last snapshot an entity is too long.
const LONG: u64 = 10_000;

/// Where one entity's events stand.
pub(super) struct Past {
    pub(super) key: Key,
    stream: Stream,
    subject: String,
    domain: &'static str,
    client: Client,
}

impl Past {
    pub(super) async fn open<S: 'static>(
        plan: &Plan<S>,
        ctx: &Context,
        key: &str,
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
            client: ctx.client().clone(),
            stream,
            domain,
            key,
        })
    }

    /// Builds the entity from its last snapshot and what came after.
    pub(super) async fn load<S: 'static>(&self, plan: &Plan<S>) -> Result<Life<S>, Failure> {
        let life = match self.snapped(plan).await {
            Some(life) => self.caught_up(plan, life).await?,
            None => None,
        };
        let life = if let Some(life) = life {
            life
        } else {
            let mut life = Life::new((plan.initial)());
            self.catch_up(plan, &mut life).await?;
            life
        };
        metrics::histogram!(ENTITY_EVENTS, "entity" => plan.name).record(tail(&life));
        if life.tail() >= LONG {
            self.complain(plan, life.tail());
        }
        Ok(life)
    }

    /// Goes through the events that came since.
    pub(super) async fn catch_up<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &mut Life<S>,
    ) -> Result<(), Failure> {
        let mut tail = self.stream.read(&self.subject, life.last + 1).await?;
        while let Some(stored) = tail.next().await? {
            self.relive(plan, life, stored)?;
        }
        Ok(())
    }

    /// Goes on from a snapshot; nothing if the stream does not hold its last event.
    async fn caught_up<S: 'static>(
        &self,
        plan: &Plan<S>,
        mut life: Life<S>,
    ) -> Result<Option<Life<S>>, Failure> {
        let mut tail = self.stream.read(&self.subject, life.last).await?;
        let first = tail.next().await?;
        if first.is_none_or(|stored| stored.sequence != life.last) {
            return Ok(None);
        }
        while let Some(stored) = tail.next().await? {
            self.relive(plan, &mut life, stored)?;
        }
        Ok(Some(life))
    }

    fn relive<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &mut Life<S>,
        stored: Stored,
    ) -> Result<(), Failure> {
        let sequence = stored.sequence;
        let lived = match Gist::read(&stored.headers, &stored.payload) {
            Ok(Some(only)) => life.relive(plan, [only], sequence),
            Ok(None) => self.relive_several(plan, life, stored),
            Err(error) => Err(format!("#{sequence} {error}")),
        };
        lived.map_err(|reason| {
            let entity = plan.name;
            Failure::discard(format!(
                "{entity} `{}` cannot be loaded: {reason}",
                self.key
            ))
        })
    }

    fn relive_several<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &mut Life<S>,
        stored: Stored,
    ) -> Result<(), String> {
        let sequence = stored.sequence;
        let origin = Origin {
            stream: &self.client.namespace().event_stream(self.domain),
            sequence,
            subject: &stored.subject,
            time: stored.time,
        };
        let events = batch::read(&stored.headers, origin, stored.payload)
            .map_err(|error| format!("#{sequence} {error}"))?;
        life.relive(plan, events.iter().map(Gist::from), sequence)
    }

    /// Whether no event came after a sequence.
    pub(super) async fn is_last(&self, sequence: u64) -> Result<bool, Failure> {
        let last = self.stream.last(&self.subject).await?;
        Ok(last.map_or(0, |stored| stored.sequence) == sequence)
    }

    /// Returns the message of a commit.
    pub(super) async fn at(&self, sequence: u64) -> Result<Option<Stored>, Failure> {
        let stored = self
            .stream
            .read(&self.subject, sequence)
            .await?
            .next()
            .await?;
        Ok(stored.filter(|stored| stored.sequence == sequence))
    }

    /// Stores the events of one decision as one message.
    pub(super) async fn append<S: 'static>(
        &self,
        (plan, ctx, life): (&Plan<S>, &Context, &Life<S>),
        facts: &[Fact],
        reply: Option<String>,
    ) -> Result<Append, Failure> {
        let commit = ctx.id().derived(plan.name, 0);
        let mut events = Vec::with_capacity(facts.len());
        for (index, fact) in (0..).zip(facts) {
            self.check(plan, fact)?;
            let id = match facts {
                [_] => commit.clone(),
                _ => commit.derived(plan.name, index),
            };
            events.push(self.envelope(ctx, id, fact)?);
        }
        let (mut headers, payload) = batch::write(&events, &commit)?;
        if let Some(reply) = reply {
            headers.put(headers::CB_REPLY, reply);
        }
        let message = Message::new(self.subject.clone(), payload).headers(headers);
        Ok(self.stream.append(message, Expect::Last(life.last)).await?)
    }

    /// Takes a snapshot if it is time for one, and complains of too long a tail.
    pub(super) async fn look_after<S: 'static>(&self, plan: &Plan<S>, life: &mut Life<S>) {
        if let Some(snapshots) = plan.snapshots.as_ref().filter(|due| due.are_due(life)) {
            let written = match snapshots.write(life, plan.version) {
                Ok(payload) => self.keep(self.snapshot(plan), life.last, payload).await,
                Err(error) => Err(format!("it {error}")),
            };
            let outcome = if written.is_ok() { "stored" } else { "failed" };
            metrics::counter!(SNAPSHOTS_TOTAL, "entity" => plan.name, "outcome" => outcome)
                .increment(1);
            match written {
                Ok(()) => life.snapped = life.events,
                Err(reason) => {
                    let (entity, key) = (plan.name, &self.key);
                    tracing::warn!(entity, %key, reason, "a snapshot could not be stored");
                }
            }
        }
        if life.tail() > 0 && life.tail().is_multiple_of(LONG) {
            self.complain(plan, life.tail());
        }
    }

    /// Returns the entity as its last snapshot has it; one that is of no use is
    /// passed over, for the events are all there.
    async fn snapped<S: 'static>(&self, plan: &Plan<S>) -> Option<Life<S>> {
        let snapshots = plan.snapshots.as_ref()?;
        let read = match self.client.snapshots().await {
            Ok(stream) => stream
                .last(&self.snapshot(plan))
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let life = match read {
            Ok(None) => return None,
            Ok(Some(stored)) => snapshots.read(&stored.payload, plan.version),
            Err(error) => Err(error),
        };
        life.inspect_err(|reason| {
            let (entity, key) = (plan.name, &self.key);
            tracing::warn!(entity, %key, reason, "a snapshot is passed over");
        })
        .ok()
    }

    async fn keep(&self, subject: String, sequence: u64, payload: Bytes) -> Result<(), String> {
        let mut headers = Headers::with_capacity(1);
        headers.put(headers::MSG_ID, format!("{subject}#{sequence}"));
        let message = Message::new(subject, payload).headers(headers);
        let stream = self
            .client
            .snapshots()
            .await
            .map_err(|error| error.to_string())?;
        match stream.append(message, Expect::Any).await {
            Ok(Append::Committed { .. } | Append::Conflict) => Ok(()),
            Ok(Append::Unknown { reason }) => Err(reason),
            Err(error) => Err(error.to_string()),
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

    fn complain<S>(&self, plan: &Plan<S>, events: u64) {
        tracing::warn!(
            entity = plan.name,
            key = %self.key,
            events,
            "an entity is long and slow to load; take snapshots with `.snapshot_every`, or split it"
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric need not be exact")]
fn tail<S: 'static>(life: &Life<S>) -> f64 {
    life.tail() as f64
}
