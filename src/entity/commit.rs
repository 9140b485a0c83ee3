use super::{
    Decision,
    commands::Refusals,
    decision::Fact,
    life::{Life, Noted, Place},
    past::{Past, Shared, reply_of, seconds},
    plan::Plan,
    reply,
    shard::{Decide, say_panic},
};
use crate::{
    actor::{Taken, guarded},
    bus::{Append, Stored},
    call::{Answer, Refusal},
    error::Failure,
    message::{Command, Refused, Reply, codec},
};
use std::{cell::Cell, sync::Arc, time::Duration};
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
    pub(super) shared: Shared,
    pub(super) taken: Taken<C>,
    /// The decision, or what is answered without one unless the command was done before.
    pub(super) decide: Result<Decide<S, C>, Undecided<C>>,
}

/// What is answered to a command that is not decided: a panic's text stands for a
/// handler that failed.
pub(super) type Undecided<C> = Result<Answer<C>, String>;

/// What a command is at, should it be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent to the stream that is not settled.
    Deciding,
    /// What came since goes into the state.
    Reliving,
    /// The events may be stored or not.
    Storing,
    /// They are stored, and go into the state.
    Applying,
}

/// How a command ended.
enum End<C: Command> {
    Answered(Answer<C>),
    /// Its caller had stopped waiting before anything was stored.
    Late,
    /// It was not done before, and there is nothing to decide.
    Undecided,
}

/// How one attempt ended.
enum Attempt<C: Command> {
    /// Decided and stored.
    Stored(Reply<C>),
    /// Decided that nothing happens.
    Idle(Answer<C>),
    /// There is nothing to decide.
    Undecided,
    /// Others were faster: look again.
    Again,
    /// The stream has a message of the id already, at this sequence.
    Known(u64),
    /// The deadline passed before it was stored.
    Late,
}

impl<S: 'static, C: Command + Clone> Commit<S, C> {
    /// Decides, stores and answers; returns the entity unless it must be loaded anew.
    pub(super) async fn run(self, mut life: Option<Life<S>>) -> Option<Life<S>> {
        let patience = self.taken.patience();
        if patience.is_zero() {
            self.taken.expire().await;
            return life;
        }
        self.taken.begin();
        let stage = Cell::new(Stage::Deciding);
        let deciding = async { guarded(self.answer(&mut life, &stage)).await };
        // Past the deadline nothing is sent again, whatever is being settled.
        let ended = timeout(WITHIN.min(patience), deciding).await;
        let life_is_sound = !matches!(stage.get(), Stage::Applying | Stage::Reliving);
        let (past, end) = match ended {
            Ok(Ok((past, end))) => (past, Ok(end)),
            Ok(Err(panic)) => {
                say_panic(self.plan.name, &self.taken, &panic);
                (None, Err(panic))
            }
            Err(_) => (None, Ok(self.cut_off(stage.get()))),
        };
        let Self { plan, taken, decide, .. } = self;
        match (end, decide) {
            (Ok(End::Answered(answer)), _) => taken.answer(Ok(answer)).await,
            (Err(panic), _) => taken.answer(Err(panic)).await,
            (Ok(End::Undecided), Err(answer)) => taken.answer(answer).await,
            (Ok(End::Late | End::Undecided), _) => taken.expire().await,
        }
        let life = life.filter(|_| life_is_sound)?;
        if let Some(past) = past {
            past.look_after(&plan, &life);
        }
        Some(life)
    }

    /// Returns what to answer when time is over.
    fn cut_off(&self, stage: Stage) -> End<C> {
        let (entity, key) = (self.plan.name, &self.taken.key);
        let reason = match stage {
            Stage::Deciding | Stage::Reliving if self.taken.is_late() => return End::Late,
            Stage::Deciding | Stage::Reliving => {
                format!(
                    "{entity} `{key}` could not be decided within {WITHIN:?}; nothing was stored"
                )
            }
            Stage::Storing | Stage::Applying => format!(
                "whether {entity} `{key}` was changed is not known: it was not confirmed in time; \
                 send the command again with the same id"
            ),
        };
        End::Answered(Err(Failure::retry(reason).into()))
    }

    async fn answer(
        &self,
        life: &mut Option<Life<S>>,
        stage: &Cell<Stage>,
    ) -> (Option<Past>, End<C>) {
        let failed = |failure: Failure| End::Answered(Err(failure.into()));
        let Taken { key, ctx, .. } = &self.taken;
        let past = match Past::open(&self.plan, ctx, (key, &self.shared)).await {
            Ok(past) => past,
            Err(failure) => return (None, failed(failure)),
        };
        let end = self.decided(&past, life, stage).await;
        (Some(past), end.unwrap_or_else(failed))
    }

    async fn decided(
        &self,
        past: &Past,
        life: &mut Option<Life<S>>,
        stage: &Cell<Stage>,
    ) -> Result<End<C>, Failure> {
        let (life, mut fresh) = self.entity(past, life).await?;
        let (mut tries, started) = (0, Instant::now());
        let id = self.taken.ctx.id();
        let mark = id.mark();
        while tries < TRIES || started.elapsed() < STUBBORN.min(self.taken.patience()) {
            tries += 1;
            if let Some(answer) = self.known(past, life, (mark, stage)).await? {
                return Ok(End::Answered(answer));
            }
            match self.attempt(past, life, stage).await? {
                Attempt::Stored(reply) => return Ok(End::Answered(Ok(reply))),
                Attempt::Late => return Ok(End::Late),
                Attempt::Known(sequence) => {
                    let reply = self.first_of(past, sequence).await?;
                    self.catch_up(past, life, stage).await?;
                    return Ok(End::Answered(Ok(reply)));
                }
                // Nothing was appended that could have found out that others were faster.
                Attempt::Idle(answer) if fresh || past.is_last(life.last).await? => {
                    self.remember(&mut life.refusals, mark, &answer);
                    return Ok(End::Answered(answer));
                }
                Attempt::Undecided if fresh || past.is_last(life.last).await? => {
                    if let Err(Ok(answer)) = &self.decide {
                        self.remember(&mut life.refusals, mark, answer);
                    }
                    return Ok(End::Undecided);
                }
                Attempt::Idle(_) | Attempt::Undecided | Attempt::Again => {
                    self.catch_up(past, life, stage).await?;
                }
            }
            fresh = true;
        }
        Err(Failure::retry(format!(
            "{} `{}` changed {tries} times while it was decided",
            self.plan.name, past.key
        )))
    }

    /// Returns the entity, loaded if it is not in memory or its log is not what it
    /// was, and whether it was loaded.
    async fn entity<'a>(
        &self,
        past: &Past,
        life: &'a mut Option<Life<S>>,
    ) -> Result<(&'a mut Life<S>, bool), Failure> {
        if let Some(known) = life
            && known.connection != past.connection
        {
            if past.still_holds(&self.plan, known).await? {
                known.connection = past.connection;
            } else {
                *life = None;
            }
        }
        let is_loaded = life.is_none();
        let known = match life {
            Some(known) => known,
            None => life.insert(past.load(&self.plan).await?),
        };
        Ok((known, is_loaded))
    }

    async fn catch_up(
        &self,
        past: &Past,
        life: &mut Life<S>,
        stage: &Cell<Stage>,
    ) -> Result<(), Failure> {
        stage.set(Stage::Reliving);
        if !past.catch_up(&self.plan, life).await? {
            *life = past.load(&self.plan).await?;
        }
        stage.set(Stage::Deciding);
        Ok(())
    }

    /// Returns what was answered to the command before, if that is remembered. A no is
    /// said again only if another node has not done the command since.
    async fn known(
        &self,
        past: &Past,
        life: &mut Life<S>,
        (mark, stage): (u128, &Cell<Stage>),
    ) -> Result<Option<Answer<C>>, Failure> {
        loop {
            if let Some(sequence) = life.commands.committed(mark) {
                if let Some(stored) = past.commit_of(self.taken.ctx.id(), sequence).await? {
                    return Self::read(past, &stored).map(|reply| Some(Ok(reply)));
                }
                // The log lost what it did.
                *life = past.load(&self.plan).await?;
            }
            let said = life.refusals.said(mark);
            let said = said.and_then(|words| codec::decode(words).ok());
            let Some(rejection) = said else {
                return Ok(None);
            };
            if past.is_last(life.last).await? {
                return Ok(Some(Err(Refusal::Rejected(rejection))));
            }
            self.catch_up(past, life, stage).await?;
        }
    }

    /// Keeps a no for when the command comes again, if its caller named its id.
    fn remember(&self, refusals: &mut Refusals, mark: u128, answer: &Answer<C>) {
        let Err(Refusal::Rejected(rejection)) = answer else {
            return;
        };
        if self.taken.ctx.is_named()
            && let Ok(words) = codec::encode::<Refused<C>>(rejection)
        {
            refusals.note(mark, words);
        }
    }

    /// Returns the reply of what the stream says it has already.
    async fn first_of(&self, past: &Past, sequence: u64) -> Result<Reply<C>, Failure> {
        let id = self.taken.ctx.id();
        match past.commit_of(id, sequence).await? {
            Some(stored) => Self::read(past, &stored),
            None => Err(Failure::discard(format!(
                "the id that {} `{}` gives to what `{id}` does is another message's, #{sequence}; \
                 send the command with another id",
                self.plan.name, past.key
            ))),
        }
    }

    fn read(past: &Past, stored: &Stored) -> Result<Reply<C>, Failure> {
        reply_of(stored).map_err(|reason| {
            let (command, sequence, key) = (C::SUBJECT, stored.sequence, &past.key);
            Failure::discard(format!(
                "{command} was done at #{sequence} of `{key}`, but its reply is lost: {reason}"
            ))
        })
    }

    /// Decides once on what is known, and stores that if nothing came between and
    /// its caller still waits.
    async fn attempt(
        &self,
        past: &Past,
        life: &mut Life<S>,
        stage: &Cell<Stage>,
    ) -> Result<Attempt<C>, Failure> {
        let Self { plan, taken, decide, .. } = self;
        let Ok(decide) = decide else {
            return Ok(Attempt::Undecided);
        };
        let Decision { facts, reply } = match decide(&life.state, taken.command.clone()) {
            Ok(decision) => decision,
            Err(rejection) => return Ok(Attempt::Idle(Err(Refusal::Rejected(rejection)))),
        };
        if facts.is_empty() {
            return Ok(Attempt::Idle(Ok(reply)));
        }
        let kept = reply::write(&reply)?;
        if taken.is_late() {
            return Ok(Attempt::Late);
        }
        stage.set(Stage::Storing);
        let (appended, mark) = past.append((plan, &taken.ctx, life), &facts, kept).await?;
        stage.set(Stage::Deciding);
        match appended {
            Append::Committed { sequence, duplicate: false } => {
                stage.set(Stage::Applying);
                self.apply(life, &facts, Place { sequence, mark })?;
                stage.set(Stage::Deciding);
                Ok(Attempt::Stored(reply))
            }
            Append::Committed { sequence, duplicate: true } => Ok(Attempt::Known(sequence)),
            Append::Conflict => Ok(Attempt::Again),
            Append::Unknown { reason } => Err(Failure::retry(format!(
                "whether {} `{}` was changed is not known: {reason}; send the command again with the same id",
                plan.name, past.key
            ))),
        }
    }

    fn apply(&self, life: &mut Life<S>, facts: &[Fact], place: Place) -> Result<(), Failure> {
        for fact in facts {
            self.plan
                .apply_fact(&mut life.state, fact)
                .map_err(Failure::retry)?;
        }
        let at = seconds(self.taken.ctx.now());
        let mark = self.taken.ctx.id().mark();
        life.advance(facts.len() as u64, Noted { place, at }, mark);
        Ok(())
    }
}
