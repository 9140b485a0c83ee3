use super::{
    Abort,
    awaiting::{Awaiting, End},
    desk::Desk,
    errand::Start,
    page::{Begin, Ending, Move},
    plan::Plan,
    rearm::{self, Rearm},
};
use crate::{
    actor::{Birth, Context, Heard, Taken, guarded},
    bus::Consumer,
    call::{Answer, Refusal},
    error::Failure,
    message::{Command, Key, Refused, Reply, Status, codec},
};
use bytes::Bytes;
use futures_util::future::join;
use std::{future::pending, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tracing::Instrument;

/// How much of a caller's time is left for the word that a saga still runs.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// After how long a saga that still runs is asked again, as callers are told.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What runs the sagas of one kind on one node.
///
/// Its mailbox takes starts; the sagas are run beside it, and come from the
/// stream, whoever started them.
pub(super) struct Runner {
    desk: Rc<Desk>,
    reader: JoinHandle<()>,
    stop: watch::Sender<bool>,
    /// Those who start and those who wait; no more than the mailbox has room for.
    beside: JoinSet<()>,
}

impl Runner {
    pub(super) async fn open(plan: Arc<Plan>, birth: Birth) -> Result<Self, Failure> {
        let (stop, stopping) = watch::channel(false);
        let desk = Desk::open(Arc::clone(&plan), &birth.client, stopping.clone()).await?;
        let desk = Rc::new(desk);
        let config = desk.errands.consumer(plan.lease, plan.in_flight);
        let consumer = desk.errands.stream.consumer(&config).await?;
        let serving = serve(Rc::clone(&desk), consumer, stopping);
        let poke = birth.poke;
        let reader = tokio::task::spawn_local(async move {
            serving.await;
            poke.poke();
        });
        Ok(Self { desk, reader, stop, beside: JoinSet::new() })
    }

    /// Looks whether sagas are still read.
    pub(super) async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        if self.reader.is_finished() && !*self.stop.borrow() {
            let saga = self.desk.plan.name;
            return Err(Failure::crash(format!(
                "nothing reads the sagas `{saga}` any more"
            )));
        }
        Ok(())
    }

    /// Lets what is run go on elsewhere.
    pub(super) async fn close(&mut self, _: &Context) -> Result<(), Failure> {
        self.stop.send_replace(true);
        (&mut self.reader).await?;
        // Those who wait for an end are told at once that they wait in vain.
        while self.beside.join_next().await.is_some() {}
        Ok(())
    }

    /// Starts a saga for an event, unless it was started, or the event is not for
    /// it; those of other keys are
    /// started beside it.
    pub(super) fn begin(
        &mut self,
        heard: Heard,
        what: impl FnOnce() -> Option<(String, Result<Bytes, Failure>)> + 'static,
    ) {
        self.beside(heard, async move |desk, ctx| {
            let Some((id, input)) = what() else {
                return Ok(());
            };
            let id = Key::new(&id).map_err(Failure::discard)?;
            desk.start(&id, begin(input?, ctx)).await?;
            Ok(())
        });
    }

    /// Lets a saga look whether an event is there that it waits for.
    pub(super) fn wake(&mut self, heard: Heard, which: impl FnOnce() -> String + 'static) {
        self.beside(heard, async move |desk, ctx| {
            let id = Key::new(&which()).map_err(Failure::discard)?;
            let token = ctx.id().derived(desk.plan.name, 0);
            Ok(desk.errands.wake(&id, token).await?)
        });
    }

    /// Works on an event beside the mailbox, and ends it then.
    fn beside(
        &mut self,
        heard: Heard,
        work: impl AsyncFnOnce(&Desk, &Context) -> Result<(), Failure> + 'static,
    ) {
        while self.beside.try_join_next().is_some() {}
        let desk = Rc::clone(&self.desk);
        self.beside.spawn_local(async move {
            let outcome = guarded(work(&desk, heard.ctx())).await;
            // What panics is the event's business, not that of all other sagas.
            heard.end(outcome.unwrap_or_else(|panic| Err(Failure::retry(panic))));
        });
    }

    /// Starts a saga for a command and answers once that is stored.
    pub(super) fn accept<C: Command>(&mut self, taken: Taken<C>, wanted: Wanted)
    where
        Reply<C>: From<String>,
    {
        while self.beside.try_join_next().is_some() {}
        let desk = Rc::clone(&self.desk);
        let span = taken.span();
        let accepting = async move {
            taken.begin();
            let started = async {
                let id = id_of(&taken)?;
                let begin = begin(wanted.input.clone()?, &taken.ctx);
                let (started, last) = join(desk.start(&id, begin), desk.journals.last(&id)).await;
                let is_known = started? == Start::Again || last?.is_some();
                let differs = is_known && wanted.differs(&desk, &id).await?;
                Ok::<_, Failure>((id, differs))
            };
            match started.await {
                Ok((id, true)) => {
                    let reason = other_input(&id);
                    taken.tell(Status::Conflict, reason, None).await;
                }
                Ok((id, false)) => taken.answer(Ok(Ok(id.decode().into()))).await,
                Err(failure) => taken.answer(Ok(Err(failure.into()))).await,
            }
        };
        self.beside.spawn_local(accepting.instrument(span));
    }

    /// Starts a saga for a command and answers when it ended.
    pub(super) fn answer<C: Command>(&mut self, taken: Taken<C>, wanted: Wanted)
    where
        Refused<C>: From<Abort>,
    {
        while self.beside.try_join_next().is_some() {}
        let desk = Rc::clone(&self.desk);
        let span = taken.span();
        let answering = async move {
            taken.begin();
            match come_to_an_end(&desk, &taken, wanted).await {
                Ok(Came::Over(last)) => taken.answer(Ok(answer_of::<C>(last))).await,
                Ok(Came::Other(id)) => {
                    let reason = other_input(&id);
                    taken.tell(Status::Conflict, reason, None).await;
                }
                Ok(Came::Nowhere(reason)) => {
                    taken
                        .tell(Status::StillRunning, reason, Some(ASK_AGAIN))
                        .await;
                }
                Err(failure) => taken.answer(Ok(Err(failure.into()))).await,
            }
        };
        self.beside.spawn_local(answering.instrument(span));
    }
}

/// What a command wants a saga to begin with.
pub(super) struct Wanted {
    pub(super) input: Result<Bytes, Failed>,
    /// Whether two inputs are the same to the saga's code.
    pub(super) same: fn(&[u8], &[u8]) -> bool,
}

/// An input that could not be encoded: why.
#[derive(Clone, Debug)]
pub(super) struct Failed(pub(super) String);

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::discard(failed.0)
    }
}

impl Wanted {
    /// Whether the saga of this id began with another input, or is to begin with it.
    async fn differs(&self, desk: &Desk, id: &Key) -> Result<bool, Failure> {
        let began = desk.began(id).await?;
        Ok(match (began, &self.input) {
            (Some(began), Ok(wanted)) => !(self.same)(&began.input, wanted),
            _ => false,
        })
    }
}

/// What became of a saga that is waited for.
enum Came {
    Over(Move),
    /// It was started with another input.
    Other(Key),
    /// It goes on: why nobody waits longer.
    Nowhere(String),
}

/// Starts a saga, and waits for its end as long as its caller does.
async fn come_to_an_end<C: Command>(
    desk: &Desk,
    taken: &Taken<C>,
    wanted: Wanted,
) -> Result<Came, Failure> {
    // The word of it needs some time to get there, too.
    let within = taken.patience();
    let within = within.saturating_sub((within / 10).min(ON_ITS_WAY));
    let id = id_of(taken)?;
    let awaiting = Awaiting::new(desk, &id);
    let mut stopping = desk.stopping.clone();
    let own = taken.ctx.id().to_string();
    let begin = begin(wanted.input.clone()?, &taken.ctx);
    let outcome = async {
        let start = desk.start(&id, begin).await?;
        if start == Start::Again && wanted.differs(desk, &id).await? {
            return Ok(Came::Other(id.clone()));
        }
        let End { last, cause } = awaiting.outcome(start).await;
        // What this command began needs no look.
        if cause.is_none_or(|cause| cause != own) && wanted.differs(desk, &id).await? {
            return Ok(Came::Other(id.clone()));
        }
        Ok::<_, Failure>(Came::Over(last))
    };
    let reason = tokio::select! {
        biased;
        outcome = timeout(within, outcome) => match outcome {
            Ok(outcome) => return outcome,
            Err(_) => format!("it did not end within {within:?}"),
        },
        _ = stopping.wait_for(|&stopping| stopping) => "this node stops".to_owned(),
    };
    // Without a key it is found by the command's id.
    let by = if taken.key.is_empty() { "id" } else { "key" };
    let reason = format!("{reason}; ask again with the same {by}");
    Ok(Came::Nowhere(reason))
}

fn other_input(id: &Key) -> String {
    format!("the saga `{}` began with another input", id.decode())
}

/// Returns the id of the saga that a command starts.
fn id_of<C: Command>(taken: &Taken<C>) -> Result<Key, Failure> {
    let id = match taken.key.as_str() {
        "" => taken.ctx.id().to_string(),
        key => key.to_owned(),
    };
    Key::new(&id).map_err(Failure::discard)
}

fn answer_of<C: Command>(outcome: Move) -> Answer<C>
where
    Refused<C>: From<Abort>,
{
    match outcome {
        Move::Ended(Ending::Completed { reply }) => {
            codec::decode(&reply).map_err(|error| Failure::discard(error).into())
        }
        Move::Ended(Ending::Compensated { abort }) => Err(Refusal::Rejected(abort.into())),
        Move::Parked { reason } => Err(Failure::retry(format!("it is parked: {reason}")).into()),
        other => Err(Failure::retry(format!("it {} and goes on", other.name())).into()),
    }
}

fn begin(input: Bytes, ctx: &Context) -> Begin {
    let trace = ctx.cause().trace.clone();
    Begin {
        trace: trace.map(|trace| (trace.parent, trace.state)),
        input,
        cause: Some(ctx.id().to_string()),
        correlation: Some(ctx.correlation().to_string()),
        until: None,
        branches: false,
    }
}

/// Takes errands from the stream and does them side by side.
async fn serve(desk: Rc<Desk>, mut consumer: Consumer, mut stopping: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    let (mut rearm, mut looking) = (Some(Rearm::new(Instant::now())), JoinSet::new());
    loop {
        let look_at = rearm.as_ref().map(Rearm::next);
        tokio::select! {
            biased;
            _ = stopping.wait_for(|&stopping| stopping) => break,
            delivery = consumer.next() => match delivery {
                Ok(delivery) => drop(tasks.spawn_local(Rc::clone(&desk).serve(delivery))),
                Err(error) => {
                    tracing::error!(saga = desk.plan.name, %error, "sagas are read no more");
                    break;
                }
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(saga = desk.plan.name, %error, "a saga's runner ended badly");
                }
            }
            Some(looked) = looking.join_next(), if !looking.is_empty() => {
                rearm = Some(looked.unwrap_or_else(|_| Rearm::new(Instant::now())));
            }
            () = at(look_at) => {
                // Without an answer the next look finds out.
                let floor = consumer.progress().await.map_or(0, |progress| progress.floor);
                if let Some(rearm) = rearm.take() {
                    looking.spawn_local(rearm::look(Rc::clone(&desk), rearm, floor));
                }
            }
        }
    }
    looking.abort_all();
    if *stopping.borrow() {
        while tasks.join_next().await.is_some() {}
        consumer.close().await;
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
