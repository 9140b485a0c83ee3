use super::{
    Abort,
    awaiting::Awaiting,
    desk::Desk,
    page::{Begin, Ending, Move},
    plan::Plan,
};
use crate::{
    actor::{Birth, Context, Heard, Taken, guarded},
    bus::Consumer,
    call::{Answer, Refusal},
    error::Failure,
    message::{Command, Key, Refused, Reply, codec},
};
use bytes::Bytes;
use std::{rc::Rc, sync::Arc};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

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
            Ok(desk.start(&id, begin(input?, ctx)).await?)
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
    pub(super) fn accept<C: Command>(&mut self, taken: Taken<C>, input: Result<Bytes, Failure>)
    where
        Reply<C>: From<String>,
    {
        while self.beside.try_join_next().is_some() {}
        let desk = Rc::clone(&self.desk);
        self.beside.spawn_local(async move {
            let started = async {
                let id = id_of(&taken)?;
                start(&desk, &taken, &id, input).await?;
                Ok(id.decode().into())
            };
            let answer: Answer<C> = started.await.map_err(Refusal::Failed);
            taken.answer(Ok(answer)).await;
        });
    }

    /// Starts a saga for a command and answers when it ended.
    pub(super) fn answer<C: Command>(&mut self, taken: Taken<C>, input: Result<Bytes, Failure>)
    where
        Refused<C>: From<Abort>,
    {
        while self.beside.try_join_next().is_some() {}
        let desk = Rc::clone(&self.desk);
        self.beside.spawn_local(async move {
            let within = taken.patience();
            let outcome = async {
                let id = id_of(&taken)?;
                let awaiting = Awaiting::new(&desk, &id);
                start(&desk, &taken, &id, input).await?;
                Ok::<_, Failure>(awaiting.outcome().await)
            };
            let mut stopping = desk.stopping.clone();
            let outcome = async {
                tokio::select! {
                    biased;
                    outcome = outcome => outcome,
                    _ = stopping.wait_for(|&stopping| stopping) => Err(Failure::retry(
                        "this node stops, and it goes on elsewhere; ask again with the same key",
                    )),
                }
            };
            let answer: Answer<C> = match timeout(within, outcome).await {
                Ok(Ok(outcome)) => answer_of::<C>(outcome),
                Ok(Err(failure)) => Err(failure.into()),
                Err(_) => Err(Failure::retry(format!(
                    "it goes on and did not end within {within:?}; ask again with the same key"
                ))
                .into()),
            };
            taken.answer(Ok(answer)).await;
        });
    }
}

async fn start<C: Command>(
    desk: &Desk,
    taken: &Taken<C>,
    id: &Key,
    input: Result<Bytes, Failure>,
) -> Result<(), Failure> {
    Ok(desk.start(id, begin(input?, &taken.ctx)).await?)
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
    }
}

/// Takes errands from the stream and does them side by side.
async fn serve(desk: Rc<Desk>, mut consumer: Consumer, mut stopping: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    loop {
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
        }
    }
    if *stopping.borrow() {
        while tasks.join_next().await.is_some() {}
        consumer.close().await;
    }
}
