use super::{Decision, life::Life, past::Past, plan::Plan, reply, shard::Decide};
use crate::{
    actor::{Taken, guarded},
    bus::Append,
    call::{Answer, Refusal},
    error::Failure,
    message::{Command, Reply},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// How often a decision is made again after others were faster; more often, as
/// long as its caller waits and [`STUBBORN`] allows.
const TRIES: u32 = 20;

/// How long a decision is made again while others are always faster.
const STUBBORN: Duration = Duration::from_secs(10);

/// How long deciding and storing may take, with all loading and settling.
const WITHIN: Duration = Duration::from_secs(30);

/// One command on its way to be decided and stored.
pub(super) struct Commit<S, C: Command> {
    pub(super) plan: Arc<Plan<S>>,
    pub(super) taken: Taken<C>,
    pub(super) decide: Decide<S, C>,
}

/// How one attempt ended.
enum Attempt<C: Command> {
    /// Decided and stored.
    Stored(Reply<C>),
    /// Decided that nothing happens.
    Idle(Answer<C>),
    /// Others were faster: look again.
    Again,
}

impl<S: 'static, C: Command + Clone> Commit<S, C> {
    /// Decides, stores and answers; returns the entity unless it must be loaded anew.
    pub(super) async fn run(self, mut life: Option<Life<S>>) -> Option<Life<S>> {
        if self.taken.is_late() {
            self.taken.expire().await;
            return life;
        }
        self.taken.begin();
        let deciding = async { guarded(self.answer(&mut life)).await };
        let (past, answer) = match timeout(WITHIN, deciding).await {
            Ok(Ok((past, answer))) => (past, Ok(answer)),
            Ok(Err(panic)) => (None, Err(panic)),
            Err(_) => (None, Err(format!("it was not stored within {WITHIN:?}"))),
        };
        let sound = matches!(answer, Ok(Ok(_) | Err(Refusal::Rejected(_))));
        let Self { plan, taken, .. } = self;
        taken.answer(answer).await;
        let mut life = life.filter(|_| sound)?;
        if let Some(past) = past {
            past.look_after(&plan, &mut life).await;
        }
        Some(life)
    }

    async fn answer(&self, life: &mut Option<Life<S>>) -> (Option<Past>, Answer<C>) {
        let Taken { key, ctx, .. } = &self.taken;
        match Past::open(&self.plan, ctx, key).await {
            Ok(past) => {
                let answer = self.decided(&past, life).await;
                (Some(past), answer)
            }
            Err(failure) => (None, Err(failure.into())),
        }
    }

    async fn decided(&self, past: &Past, life: &mut Option<Life<S>>) -> Answer<C> {
        let mut fresh = life.is_none();
        let life = match life {
            Some(life) => life,
            None => life.insert(past.load(&self.plan).await?),
        };
        let (mut tries, started) = (0, Instant::now());
        while tries < TRIES || started.elapsed() < STUBBORN.min(self.taken.patience()) {
            tries += 1;
            if let Some(sequence) = life.committed(self.taken.ctx.id()) {
                return first_reply::<C>(past, sequence).await;
            }
            match self.attempt(past, life).await? {
                Attempt::Stored(reply) => return Ok(reply),
                // Nothing was appended that could have found out that others were faster.
                Attempt::Idle(answer) if fresh || past.is_last(life.last).await? => return answer,
                Attempt::Idle(_) | Attempt::Again => past.catch_up(&self.plan, life).await?,
            }
            fresh = true;
        }
        Err(Failure::retry(format!(
            "{} `{}` changed {tries} times while it was decided",
            self.plan.name, past.key
        ))
        .into())
    }

    /// Decides once on what is known, and stores that if nothing came between.
    async fn attempt(&self, past: &Past, life: &mut Life<S>) -> Result<Attempt<C>, Failure> {
        let Self { plan, taken, decide } = self;
        let Decision { facts, reply } = match decide(&life.state, taken.command.clone()) {
            Ok(decision) => decision,
            Err(rejection) => return Ok(Attempt::Idle(Err(Refusal::Rejected(rejection)))),
        };
        if facts.is_empty() {
            return Ok(Attempt::Idle(Ok(reply)));
        }
        let kept = reply::write(&reply)?;
        match past.append((plan, &taken.ctx, life), &facts, kept).await? {
            Append::Committed { sequence, duplicate: false } => {
                for fact in &facts {
                    plan.apply_fact(&mut life.state, fact)
                        .map_err(Failure::retry)?;
                }
                life.advance(facts.len() as u64, sequence, taken.ctx.id());
                Ok(Attempt::Stored(reply))
            }
            Append::Committed { .. } | Append::Conflict => Ok(Attempt::Again),
            Append::Unknown { reason } => Err(Failure::retry(format!(
                "whether {} `{}` was changed is not known: {reason}; send the command again with the same id",
                plan.name, past.key
            ))),
        }
    }
}

/// Returns the reply that a command got when it was committed.
async fn first_reply<C: Command>(past: &Past, sequence: u64) -> Answer<C> {
    let lost = |reason: String| {
        let command = C::SUBJECT;
        Failure::discard(format!(
            "{command} was done at #{sequence} of `{}`, but its reply is lost: {reason}",
            past.key
        ))
    };
    let stored = past.at(sequence).await?;
    let stored = stored.ok_or_else(|| lost("the event is not there any more".into()))?;
    Ok(reply::read(&stored.headers).map_err(lost)?)
}
