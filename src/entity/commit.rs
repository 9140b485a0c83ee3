use super::{Decision, decision::commit_id, life::Life, plan::Plan, shard::Decide};
use crate::{
    actor::{Context, Taken, guarded},
    bus::{Append, Expect, Message, Stream},
    call::{Answer, Refusal},
    error::Failure,
    message::{Command, Envelope, Id, Key, Origin, batch},
};
use std::sync::Arc;

/// How often a decision is made again after others were faster.
const TRIES: usize = 20;

/// One command on its way to be decided and stored.
pub(super) struct Commit<S, C: Command> {
    pub(super) plan: Arc<Plan<S>>,
    pub(super) taken: Taken<C>,
    pub(super) decide: Decide<S, C>,
}

/// How one attempt ended.
enum Attempt<C: Command> {
    Answered(Answer<C>),
    /// Others were faster: look again.
    Again,
}

impl<S: 'static, C: Command + Clone> Commit<S, C> {
    /// Decides, stores and answers; returns the entity unless it must be loaded anew.
    pub(super) async fn run(self, life: Option<Life<S>>) -> Option<Life<S>> {
        let mut life = life;
        let answer = guarded(self.answer(&mut life)).await;
        let sound = matches!(answer, Ok(Ok(_) | Err(Refusal::Rejected(_))));
        self.taken.answer(answer).await;
        life.filter(|_| sound)
    }

    async fn answer(&self, life: &mut Option<Life<S>>) -> Answer<C> {
        let entity = Subject::open(&self.plan, &self.taken.ctx, &self.taken.command.key()).await?;
        let life = match life {
            Some(life) => life,
            None => life.insert(entity.load(&self.plan, u64::MAX).await?),
        };
        for _ in 0..TRIES {
            if let Some(sequence) = life.committed(self.taken.ctx.id()) {
                return self.first_reply(&entity, sequence).await;
            }
            match self.attempt(&entity, life).await? {
                Attempt::Answered(answer) => return answer,
                Attempt::Again => entity.catch_up(&self.plan, life, u64::MAX).await?,
            }
        }
        let key = &entity.key;
        Err(Failure::retry(format!(
            "{} `{key}` changed {TRIES} times while it was decided",
            self.plan.name
        ))
        .into())
    }

    /// Decides once on what is known, and stores that if nothing came between.
    async fn attempt(&self, entity: &Subject, life: &mut Life<S>) -> Result<Attempt<C>, Failure> {
        let decision = match (self.decide)(&life.state, self.taken.command.clone()) {
            Ok(decision) => decision,
            Err(rejection) => return Ok(Attempt::Answered(Err(Refusal::Rejected(rejection)))),
        };
        if decision.facts.is_empty() {
            return Ok(Attempt::Answered(Ok(decision.reply)));
        }
        let message = entity.message(&self.plan, &self.taken.ctx, &decision)?;
        match entity
            .stream
            .append(message, Expect::Last(life.last))
            .await?
        {
            Append::Committed { sequence, duplicate: false } => {
                for fact in &decision.facts {
                    self.plan
                        .apply_fact(&mut life.state, fact)
                        .map_err(Failure::retry)?;
                }
                life.events += decision.facts.len() as u64;
                life.last = sequence;
                life.note(self.taken.ctx.id().clone(), sequence);
                Ok(Attempt::Answered(Ok(decision.reply)))
            }
            Append::Committed { .. } | Append::Conflict => Ok(Attempt::Again),
            Append::Unknown { reason } => Err(Failure::retry(format!(
                "whether {} `{}` was changed is not known: {reason}; send the command again with the same id",
                self.plan.name, entity.key
            ))),
        }
    }

    /// Returns the reply that a command got when it was committed.
    ///
    /// A decision is pure, so deciding again on the state of then gives the same.
    async fn first_reply(&self, entity: &Subject, sequence: u64) -> Answer<C> {
        let then = entity.load(&self.plan, sequence - 1).await?;
        match (self.decide)(&then.state, self.taken.command.clone()) {
            Ok(Decision { reply, .. }) => Ok(reply),
            Err(rejection) => Err(Refusal::Rejected(rejection)),
        }
    }
}

/// Where one entity's events stand.
struct Subject {
    stream: Stream,
    subject: String,
    name: String,
    key: Key,
}

impl Subject {
    async fn open<S: 'static>(plan: &Plan<S>, ctx: &Context, key: &str) -> Result<Self, Failure> {
        let key = Key::new(key).map_err(Failure::discard)?;
        let domain = plan.domain.ok_or_else(|| {
            Failure::discard(format!(
                "entity `{}` applies no event; list one with `.apply`",
                plan.name
            ))
        })?;
        let stream = ctx.client().events(domain).await?;
        let namespace = ctx.client().namespace();
        let (subject, name) = (
            namespace.event(domain, &key),
            namespace.event_stream(domain),
        );
        Ok(Self { stream, subject, name, key })
    }

    /// Builds the entity from its events up to a sequence.
    async fn load<S: 'static>(&self, plan: &Plan<S>, until: u64) -> Result<Life<S>, Failure> {
        let mut life = Life::new((plan.initial)());
        self.catch_up(plan, &mut life, until).await?;
        Ok(life)
    }

    /// Goes through the events that came since, up to a sequence.
    async fn catch_up<S: 'static>(
        &self,
        plan: &Plan<S>,
        life: &mut Life<S>,
        until: u64,
    ) -> Result<(), Failure> {
        let mut tail = self.stream.read(&self.subject, life.last + 1).await?;
        while let Some(stored) = tail.next().await? {
            if stored.sequence > until {
                break;
            }
            let origin = Origin {
                stream: &self.name,
                sequence: stored.sequence,
                subject: &stored.subject,
                time: stored.time,
            };
            let events = batch::read(&stored.headers, origin, stored.payload)?;
            life.relive(plan, &events, stored.sequence)
                .map_err(|reason| {
                    Failure::discard(format!(
                        "{} `{}` cannot be loaded: {reason}",
                        plan.name, self.key
                    ))
                })?;
        }
        Ok(())
    }

    /// Writes a decision as one message.
    fn message<S: 'static, R>(
        &self,
        plan: &Plan<S>,
        ctx: &Context,
        decision: &Decision<R>,
    ) -> Result<Message, Failure> {
        let commit = commit_id(ctx.id(), plan.name);
        let mut events = Vec::with_capacity(decision.facts.len());
        for (index, fact) in (0..).zip(&decision.facts) {
            if !plan.knows(fact) {
                return Err(Failure::discard(format!(
                    "no `.apply` of entity `{}` is for `{}`",
                    plan.name, fact.subject
                )));
            }
            if fact.key.as_ref() != Ok(&self.key) {
                return Err(Failure::discard(format!(
                    "{} `{}` decided `{}` of another key; an entity's events have its own key",
                    plan.name, self.key, fact.subject
                )));
            }
            let id = if decision.facts.len() == 1 {
                commit.clone()
            } else {
                commit.derived(plan.name, index)
            };
            events.push(self.envelope(ctx, id, fact)?);
        }
        let (headers, payload) = batch::write(&events, &commit)?;
        Ok(Message::new(self.subject.clone(), payload).headers(headers))
    }

    fn envelope(
        &self,
        ctx: &Context,
        id: Id,
        fact: &super::decision::Fact,
    ) -> Result<Envelope, Failure> {
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
}
