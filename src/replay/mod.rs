//! The replay kit: groups under test, without a broker and without waiting.
//!
//! A [`Replay`] plays events and commands to groups on an embedded bus with a
//! paused clock, and returns what was [`Heard`]: plain vectors to compare.
//! A day of timers passes in milliseconds.
//!
//! It replaces nothing inside the groups: they run as they do on a node.

mod error;
mod heard;
mod stage;

pub use error::ReplayError;
pub use heard::{DeadLetter, Heard, ParkedKey};

use crate::{
    actor::{Actor, Context},
    call::{Answer, Refusal},
    error::Failure,
    message::{Command, Event, Id, Refused, Reply},
    policy::Policies,
    supervision::Group,
};
use heard::Asked;
use stage::{Script, Step};
use std::{collections::BTreeMap, fmt, time::Duration};

/// A play for one or more groups: what is given to them, step by step.
///
/// Each step waits until everything that follows from it is done, also retries
/// and restarts; time passes virtually.
///
/// # Examples
///
/// ```
/// use callboard::{Actor, Context, Event, Failure, Group, Replay, Subject};
/// use serde::{Deserialize, Serialize};
/// use std::borrow::Cow;
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Asked(String);
/// impl Event for Asked {
///     const SUBJECT: Subject = Subject::new("echo.asked");
///     fn key(&self) -> Cow<'_, str> {
///         "anyone".into()
///     }
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Echoed(String);
/// impl Event for Echoed {
///     const SUBJECT: Subject = Subject::new("echo.echoed");
///     fn key(&self) -> Cow<'_, str> {
///         "anyone".into()
///     }
/// }
///
/// struct Echo;
/// impl Echo {
///     async fn asked(&mut self, asked: Asked, ctx: &Context) -> Result<(), Failure> {
///         ctx.publish(Echoed(asked.0)).await?;
///         Ok(())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let group = Group::new("echo").child(Actor::new("echo", async || Ok(Echo)).on(Echo::asked));
/// let heard = Replay::of(group).given(Asked("hello".into())).settle().await?;
/// assert_eq!(heard.events::<Echoed>(), [Echoed("hello".into())]);
/// # Ok::<(), callboard::ReplayError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a replay is played by `settle`"]
pub struct Replay {
    groups: Vec<Group>,
    /// What stands in for other domains.
    stubs: BTreeMap<&'static str, Actor<()>>,
    steps: Vec<Step>,
    policies: Policies,
    patience: Duration,
    crash_at: u64,
}

impl Replay {
    /// Begins a replay of a group.
    pub fn of(group: Group) -> Self {
        Self {
            groups: vec![group],
            stubs: BTreeMap::new(),
            steps: Vec::new(),
            policies: Policies::default(),
            patience: Duration::from_mins(10),
            crash_at: 0,
        }
    }

    /// Adds another group to the right.
    pub fn with(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Stands in for the domain that answers `C`; several commands of a domain
    /// are told one by one.
    pub fn stub<C: Command>(
        mut self,
        answer: impl Fn(C) -> Result<Reply<C>, Refused<C>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let domain = C::SUBJECT.domain();
        let stub = self.stubs.remove(domain);
        let stub = stub.unwrap_or_else(|| Actor::new("stub", async || Ok::<_, Failure>(())));
        let stub = stub.answer(
            async move |(): &mut (), command: C, _: &Context| -> Answer<C> {
                answer(command).map_err(Refusal::Rejected)
            },
        );
        self.stubs.insert(domain, stub);
        self
    }

    /// Sets how targets are called, as [`Node::policies`](crate::Node::policies) does.
    pub fn policies(mut self, table: Policies) -> Self {
        self.policies = table;
        self
    }

    /// Publishes an event and waits for what follows from it.
    pub fn given<E: Event>(self, event: E) -> Self {
        self.step(Box::new(move |stage| {
            Box::pin(async move {
                let published = stage.client.publish(event).await?;
                stage.given.insert(published.id);
                Ok(())
            })
        }))
    }

    /// Sends a command and waits for what follows from it; its answer is in
    /// [`Heard::answers`].
    pub fn ask<C: Command>(self, command: C) -> Self {
        self.step(Box::new(move |stage| {
            Box::pin(async move {
                let answer = stage.client.call(command).await;
                stage.answers.push(Box::new(Asked::<C>(answer)));
                Ok(())
            })
        }))
    }

    /// Sends a command under an id of the caller's choice, as one who tries
    /// again does; otherwise as [`ask`](Self::ask).
    pub fn ask_as<C: Command>(self, id: Id, command: C) -> Self {
        self.step(Box::new(move |stage| {
            Box::pin(async move {
                let answer = stage.client.call(command).id(id).await;
                stage.answers.push(Box::new(Asked::<C>(answer)));
                Ok(())
            })
        }))
    }

    /// Lets virtual time pass.
    pub fn after(self, time: Duration) -> Self {
        self.step(Box::new(move |_| {
            Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(())
            })
        }))
    }

    /// Sets how much virtual time each step may take to become quiet; ten
    /// minutes by default.
    pub const fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Lets the runner of a saga die at the `place`-th place, counted from 1: there
    /// is one before and one after each message of a journal. Another takes the
    /// saga up as it would on another node.
    ///
    /// [`Heard::places`] tells how many places there were.
    pub const fn crash_at(mut self, place: u64) -> Self {
        self.crash_at = place;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Plays it, and returns what was heard.
    ///
    /// # Errors
    ///
    /// Returns [`ReplayError`] if a group does not start or gives up, or if a
    /// step does not become quiet in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future lets the replay end unheard.
    pub async fn settle(self) -> Result<Heard, ReplayError> {
        let stubs = self.stubs.into_iter();
        let name = |domain: &str| format!("stub-{}", domain.replace('_', "-"));
        let stubs = stubs.map(|(domain, stub)| Group::new(name(domain)).child(stub));
        let groups = self.groups.into_iter().chain(stubs).collect();
        let (steps, policies) = (self.steps, self.policies);
        let (patience, crash_at) = (self.patience, self.crash_at);
        stage::play(Script { groups, steps, policies, patience, crash_at }).await
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.groups.iter().map(Group::name).collect();
        f.debug_struct("Replay")
            .field("groups", &groups)
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}
