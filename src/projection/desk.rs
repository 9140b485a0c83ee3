use super::{
    Lag,
    checkpoint::Checkpoints,
    copy::Copy,
    follow::{Follower, Pace, Shared, gauges, ring},
    plan::Plan,
    reading::{Reading, Source, ends_before},
    rebuild::Rebuilder,
};
use crate::{
    actor::{Birth, Context, Poke, Taken, guarded},
    bus::Subscription,
    call::{Answer, Client, Refusal, Skips},
    error::{Failure, Verdict},
    message::Command,
};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use tokio::task::JoinSet;

/// The actor of a projection: it has a model followed, and answers from it.
pub(super) struct Desk<S> {
    plan: Arc<Plan<S>>,
    shared: Rc<Shared<S>>,
    checkpoints: Option<Rc<Checkpoints<S>>>,
    poke: Poke,
    answering: JoinSet<()>,
    /// None of them ends before the bus is closed.
    tasks: JoinSet<()>,
}

impl<S: 'static> Desk<S> {
    /// Takes the model up where it was left, and returns once it is as new as
    /// its streams, or the time for that is over.
    pub(super) async fn open(plan: Arc<Plan<S>>, birth: Birth) -> Result<Self, Failure> {
        let Birth { client, path, poke } = birth;
        let sources = sources(&plan, &client).await?;
        let checkpoints = match &plan.checkpoint {
            Some(_) => Some(Rc::new(Checkpoints::open(&plan, &path, &client).await?)),
            None => None,
        };
        let copy = first(&plan, &path, &sources, checkpoints.as_deref()).await?;
        let shared = Shared::new(copy, sources.len());
        let mut tasks = JoinSet::new();
        for (at, source) in sources.iter().enumerate() {
            let events = client.bus().subscribe_to_stored(&source.filter).await?;
            let ringing = ring(events, Rc::clone(&shared), at);
            tasks.spawn_local(poke.clone().at_end_of(ringing));
            let news = client.bus().subscribe(&source.skips.news(), None).await?;
            let listening = listen(news, Rc::clone(&source.skips));
            tasks.spawn_local(poke.clone().at_end_of(listening));
        }
        let reading = Rc::new(Reading { plan: Arc::clone(&plan), path: Arc::clone(&path) });
        let rebuilder = Rebuilder {
            reading: Rc::clone(&reading),
            shared: Rc::clone(&shared),
            sources: Rc::clone(&sources),
            checkpoints: checkpoints.clone(),
            bus: client.bus().clone(),
        };
        let wishes = client.namespace().rebuild(&path);
        let wishes = client.bus().subscribe(&wishes, None).await?;
        tasks.spawn_local(poke.clone().at_end_of(rebuilder.serve(wishes)));
        let follower = Follower {
            gauges: gauges(&path, &sources),
            reading,
            shared: Rc::clone(&shared),
            sources,
            checkpoints: checkpoints.clone(),
            clock: client.clock(),
            pace: Pace::of(client.bus()),
        };
        tasks.spawn_local(poke.clone().at_end_of(follower.run()));
        let look = shared.wake.ask();
        shared.until(look, plan.caught_up_within, &path).await;
        let answering = JoinSet::new();
        let desk = Self { plan, shared, checkpoints, poke, answering, tasks };
        desk.sound()?;
        Ok(desk)
    }

    /// Answers from the model, at once or when it is fresh; others need not wait
    /// for that, and share the look.
    pub(super) async fn take<C: Command>(&mut self, taken: Taken<C>, answer: Respond<S, C>) {
        while self.answering.try_join_next().is_some() {}
        let inquiry = Inquiry { taken, answer, shared: Rc::clone(&self.shared) };
        let Some(limit) = self.plan.fresh else {
            return inquiry.answer(&self.poke).await;
        };
        let (limit, look) = (inquiry.taken.patience().min(limit), self.shared.wake.ask());
        let poke = self.poke.clone();
        self.answering.spawn_local(async move {
            inquiry
                .shared
                .until(look, limit, inquiry.taken.ctx.path())
                .await;
            inquiry.answer(&poke).await;
        });
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
            Some(checkpoints) => checkpoints.write(&self.shared.copy).await,
            None => Ok(()),
        }
    }

    fn sound(&self) -> Result<(), Failure> {
        match self.shared.trouble() {
            None => Ok(()),
            Some(reason) => Err(Failure::crash(reason)),
        }
    }
}

/// How a command is answered from the model.
pub(super) type Respond<S, C> = Arc<dyn Fn(&S, &C, &Lag) -> Answer<C> + Send + Sync>;

/// A command that is to be answered from the model.
struct Inquiry<S, C: Command> {
    taken: Taken<C>,
    answer: Respond<S, C>,
    shared: Rc<Shared<S>>,
}

impl<S, C: Command> Inquiry<S, C> {
    /// Answers from the model as it is now.
    async fn answer(self, poke: &Poke) {
        let answer = match self.shared.trouble() {
            Some(reason) => Ok(Err(Failure::retry(reason).into())),
            None => guarded(async { self.look_up() }).await,
        };
        if let Ok(Err(Refusal::Failed(failure))) = &answer
            && failure.verdict() == Verdict::Crash
        {
            self.shared.lose(&failure.to_string());
            poke.poke();
        }
        self.taken.answer(answer).await;
    }

    fn look_up(&self) -> Answer<C> {
        let copy = self.shared.copy.borrow();
        let lag = copy.lag(self.taken.ctx.now());
        (self.answer)(&copy.model, &self.taken.command, &lag)
    }
}

/// Opens the streams that a projection reads.
async fn sources<S>(plan: &Plan<S>, client: &Client) -> Result<Rc<[Source]>, Failure> {
    let mut sources = Vec::with_capacity(plan.domains.len());
    for domain in &plan.domains {
        let source = Source::open(client, domain).await?;
        source.skips.ready().await?;
        sources.push(source);
    }
    Ok(sources.into())
}

/// Reads what operators leave out of entities, until the bus is closed.
async fn listen(mut news: Subscription, skips: Rc<Skips>) {
    loop {
        if let Err(error) = skips.refresh().await {
            tracing::warn!(%error, "what was skipped now is taken in until more is said");
        }
        if news.next().await.is_none() {
            return;
        }
    }
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
            let marks = (kept.marks)(&mut model)?.into_iter();
            let marks = marks.map(|(domain, mark)| (domain, mark.0));
            Copy::new(model, positions).at(marks.collect())
        }
    };
    let copy = RefCell::new(copy);
    let Some(reason) = ahead(&copy, sources).await? else {
        return Ok(copy.into_inner());
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
async fn ahead<S>(copy: &RefCell<Copy<S>>, sources: &[Source]) -> Result<Option<String>, Failure> {
    for source in sources {
        let domain = source.domain;
        let last = source.stream.info().await?.last_sequence;
        let at = copy.borrow().positions.of(domain);
        if at > last {
            return Ok(Some(ends_before((domain, at), last)));
        }
        if let Some(reason) = source.contradicts(copy).await? {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}
