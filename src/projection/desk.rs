use super::{
    Lag,
    checkpoint::Checkpoints,
    copy::Copy,
    follow::{Follower, Shared, gauges, look, ring},
    plan::Plan,
    reading::{Reading, Source},
    rebuild::Rebuilder,
};
use crate::{
    actor::{Birth, Context, Poke},
    call::Answer,
    error::Failure,
    message::Command,
};
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

/// The actor of a projection: it has a model followed, and answers from it.
pub(super) struct Desk<S> {
    plan: Arc<Plan<S>>,
    shared: Rc<Shared<S>>,
    checkpoints: Option<Rc<Checkpoints<S>>>,
    /// None of them ends before the bus is closed.
    tasks: JoinSet<()>,
}

impl<S: 'static> Desk<S> {
    /// Takes the model up where it was left, and returns once it is as new as
    /// its streams, or the time for that is over.
    pub(super) async fn open(plan: Arc<Plan<S>>, birth: Birth) -> Result<Self, Failure> {
        let Birth { client, path, poke } = birth;
        let mut sources = Vec::with_capacity(plan.domains.len());
        for domain in &plan.domains {
            sources.push(Source::open(&client, domain).await?);
        }
        let sources: Rc<[Source]> = sources.into();
        let checkpoints = match &plan.checkpoint {
            Some(_) => Some(Rc::new(Checkpoints::open(&plan, &path, &client).await?)),
            None => None,
        };
        let copy = first(&plan, &path, &sources, checkpoints.as_deref()).await?;
        let shared = Shared::new(copy, sources.len());
        let mut tasks = JoinSet::new();
        for (at, source) in sources.iter().enumerate() {
            let events = client.bus().subscribe(&source.filter, None).await?;
            let ringing = ring(events, Rc::clone(&shared), at);
            tasks.spawn_local(noticed(ringing, poke.clone()));
        }
        let reading = Rc::new(Reading { plan: Arc::clone(&plan), path: Arc::clone(&path) });
        let rebuilder = Rebuilder {
            reading: Rc::clone(&reading),
            shared: Rc::clone(&shared),
            sources: Rc::clone(&sources),
            bus: client.bus().clone(),
        };
        let wishes = client.namespace().rebuild(&path);
        let wishes = client.bus().subscribe(&wishes, None).await?;
        tasks.spawn_local(noticed(rebuilder.serve(wishes), poke.clone()));
        let follower = Follower {
            gauges: gauges(&path, &sources),
            reading,
            shared: Rc::clone(&shared),
            sources,
            checkpoints: checkpoints.clone(),
            clock: client.clock(),
            look: look(client.bus()),
        };
        tasks.spawn_local(noticed(follower.run(), poke));
        let desk = Self { plan, shared, checkpoints, tasks };
        desk.fresh(desk.plan.caught_up_within, &path).await;
        desk.sound()?;
        Ok(desk)
    }

    /// Answers from the model, which may wait to be fresh.
    pub(super) async fn answer<C: Command>(
        &self,
        command: C,
        answer: &impl Fn(&S, &C, &Lag) -> Answer<C>,
        ctx: &Context,
    ) -> Answer<C> {
        if let Some(limit) = self.plan.fresh {
            let limit = ctx.remaining().map_or(limit, |left| left.min(limit));
            self.fresh(limit, ctx.path()).await;
        }
        self.sound()?;
        let copy = self.shared.copy.borrow();
        let lag = copy.lag(ctx.now());
        answer(&copy.model, &command, &lag)
    }

    /// Ends the actor if its model is not followed any more.
    pub(super) async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        self.sound()?;
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Failure::crash("nobody follows the streams any more")),
        }
    }

    /// Writes the model down for the next life.
    pub(super) async fn close(&mut self, _: &Context) -> Result<(), Failure> {
        self.tasks.shutdown().await;
        match &self.checkpoints {
            Some(checkpoints) if self.shared.copy.borrow().unwritten > 0 => {
                checkpoints.write(&self.shared.copy).await
            }
            _ => Ok(()),
        }
    }

    /// Waits for a look at all streams.
    async fn fresh(&self, limit: Duration, path: &str) {
        let look = self.shared.wake.ask();
        if timeout(limit, self.shared.wake.wait(look)).await.is_err() {
            let limit = humantime::format_duration(limit);
            tracing::warn!(child = path, %limit, "the model is not as new as its streams in time");
        }
    }

    fn sound(&self) -> Result<(), Failure> {
        match self.shared.trouble() {
            None => Ok(()),
            Some(reason) => Err(Failure::crash(format!("its model is lost: {reason}"))),
        }
    }
}

/// Runs a task, and has its actor look when it ends, also by a panic.
async fn noticed(task: impl Future<Output = ()>, poke: Poke) {
    struct End(Poke);
    impl Drop for End {
        fn drop(&mut self) {
            self.0.poke();
        }
    }
    let _end = End(poke);
    task.await;
}

/// Returns the copy to go on with: as it is kept, as it was written down, or new.
async fn first<S: 'static>(
    plan: &Plan<S>,
    path: &str,
    sources: &[Source],
    checkpoints: Option<&Checkpoints<S>>,
) -> Result<Copy<S>, Failure> {
    let written = match checkpoints {
        Some(checkpoints) => checkpoints.read().await?,
        None => None,
    };
    let copy = match (written, &plan.kept) {
        (Some(copy), _) => copy,
        (None, None) => return Ok(Copy::new((plan.open)()?, super::Positions::default())),
        (None, Some(kept)) => {
            let mut model = (plan.open)()?;
            let positions = (kept.positions)(&mut model)?;
            Copy::new(model, positions)
        }
    };
    let Some(reason) = ahead(&copy, sources).await? else {
        return Ok(copy);
    };
    if plan.kept.is_some() {
        return Err(Failure::crash(format!(
            "{reason}; start with an empty model"
        )));
    }
    tracing::warn!(child = path, reason, "a checkpoint is ignored");
    Ok(Copy::new((plan.open)()?, super::Positions::default()))
}

/// Says which stream a copy is ahead of: then it was made of another.
async fn ahead<S>(copy: &Copy<S>, sources: &[Source]) -> Result<Option<String>, Failure> {
    for Source { domain, stream, .. } in sources {
        let (at, last) = (
            copy.positions.of(domain),
            stream.info().await?.last_sequence,
        );
        if at > last {
            return Ok(Some(format!(
                "the model has taken in #{at} of `{domain}`, whose stream ends at #{last}: it is of another stream"
            )));
        }
    }
    Ok(None)
}
