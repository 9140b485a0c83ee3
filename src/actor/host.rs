use super::{
    Context, Exit, Inbox, Poke,
    bounds::{Bounds, Cut, Turn, caught, guarded},
    context::{Source, cause_of},
    inbox::Gauge,
    meter::Meter,
    route::{Input, Run, respond},
};
use crate::{
    call::{Arrived, Cause, Client, Ended, Errand, NotTaken, Parcel, Work},
    error::{Failure, Verdict},
    message::{Id, Status},
    telemetry::EXPIRED_TOTAL,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::Instrument;

pub(super) type Factory<A> =
    Arc<dyn Fn(Birth) -> LocalBoxFuture<'static, Result<A, Failure>> + Send + Sync>;

/// Where a state is built: its way to the bus, its actor's path in the tree, and
/// a way to have that look at it.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) client: Client,
    pub(crate) path: Arc<str>,
    pub(crate) poke: Poke,
}

/// What is the same for all instances and lives of an actor.
pub(super) struct Plan<A> {
    pub(super) factory: Factory<A>,
    pub(super) routes: Vec<(&'static str, Run<A>)>,
    pub(super) on_stop: Option<Run<A>>,
    pub(super) start_within: Duration,
    pub(super) handle_within: Duration,
    pub(super) stop_within: Duration,
}

/// What a supervisor tells its child.
#[derive(Debug)]
pub(crate) enum Control {
    /// Build the state anew, as the life of this number, and go on with the mailbox.
    Start(u64, oneshot::Sender<Result<(), String>>),
    /// Leave the state, keep the mailbox.
    Stop(oneshot::Sender<()>),
    /// Refuse what is in the mailbox, and what comes, until started again.
    Dismiss,
    /// End for good.
    Close,
}

/// What a child tells its supervisor.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) member: usize,
    /// The life that ended; one that the supervisor ended itself is old news.
    pub(crate) life: u64,
    pub(crate) exit: Exit,
    pub(crate) reason: String,
}

/// One life after another of an actor's state: the logic of the cell.
///
/// It moves into each turn and out again, so everything here is plain
/// sequential code.
pub(super) struct Host<A> {
    pub(super) plan: Arc<Plan<A>>,
    /// One for each route of the plan.
    pub(super) meters: Box<[Arc<Meter>]>,
    pub(super) state: Option<A>,
    pub(super) client: Client,
    pub(super) path: Arc<str>,
    /// The path without the instance: what follows from a message has the same
    /// ids whichever instance handles it.
    pub(super) actor: Arc<str>,
    pub(super) gauge: Arc<Gauge>,
    /// The way into its own mailbox, once that is there.
    pub(super) inbox: Option<Inbox>,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) report: mpsc::Sender<Report>,
    pub(super) member: usize,
    pub(super) life: u64,
    pub(super) closed: bool,
    /// When the last turn ended, if the next follows at once: clocks cost time.
    pub(super) now: Option<Instant>,
}

impl<A: 'static> Host<A> {
    pub(super) fn interrupted(&self) -> bool {
        self.gauge.interrupted()
    }

    /// Takes one message, after what the supervisor wants.
    ///
    /// What is rare is boxed: the future is moved into the mailbox's hands for
    /// each message, so its size counts.
    pub(super) async fn deliver(&mut self, parcel: Parcel) {
        if self.gauge.interrupted() {
            Box::pin(self.park()).await;
        }
        // A panic beside the handler, such as one of a subscriber to its log lines.
        if let Err(panic) = guarded(self.turn(parcel)).await {
            self.now = None;
            Box::pin(self.end(Exit::Failed, panic)).await;
        }
        if !self.gauge.handled() {
            self.now = None;
        }
    }

    async fn turn(&mut self, parcel: Parcel) {
        let now = self.now.take().unwrap_or_else(Instant::now);
        let late = parcel.deadline.is_some_and(|deadline| deadline <= now);
        let route = parcel.route;
        let (ctx, input) = self.open(parcel);
        if self.state.is_none() {
            let reason = NotTaken::Stopped.to_string();
            return respond(&ctx, NotTaken::STATUS.headers(&reason), Bytes::new()).await;
        }
        if late {
            metrics::counter!(EXPIRED_TOTAL, "child" => self.path.to_string()).increment(1);
            let reason = format!("the deadline passed before {} came to it", self.path);
            return respond(&ctx, Status::DeadlinePassed.headers(&reason), Bytes::new()).await;
        }
        if ctx.is_lapsed(now) {
            // It goes back to its reader, which gives all of it up.
            return;
        }
        let ended = self.run(route, input, &ctx, now).await;
        let crash = crash_of(&ended);
        if let Some(receipt) = ctx.receipt() {
            receipt.settle(ended);
        } else if let (false, Ended::Failed(failure)) = (ctx.is_taken(), ended) {
            let (child, subject) = (&*self.path, self.plan.routes[route].0);
            ctx.span(subject).in_scope(|| match failure.not_run() {
                None => tracing::error!(child, subject, %failure, "a handler failed"),
                after => tracing::warn!(child, subject, %failure, ?after, "a command was not run"),
            });
        }
        match crash {
            Some(reason) => Box::pin(self.end(Exit::Failed, reason)).await,
            None if ctx.leaves() => Box::pin(self.leave(&ctx)).await,
            None => {}
        }
    }

    /// Runs a handler to its end, its deadline or a kill.
    async fn run(&mut self, route: usize, input: Input, ctx: &Context, started: Instant) -> Ended {
        let (subject, run) = &self.plan.routes[route];
        let state = self.state.as_mut().expect("turns run on a living state");
        let bounds = Bounds { within: self.plan.handle_within, kill: &self.gauge.kill };
        let meter = &self.meters[route];
        let turn = Turn { ctx, bounds, gauge: &self.gauge, meter: Some(meter) };
        let ended = run(state, input, turn).instrument(ctx.span(subject)).await;
        let now = Instant::now();
        if !ctx.is_taken() {
            meter.count(&ended, now.duration_since(started));
        }
        self.now = Some(now);
        ended
    }

    fn open(&self, parcel: Parcel) -> (Context, Input) {
        let by = Arc::clone(&self.actor);
        let (cause, source, input) = match parcel.work {
            Work::Local(mut call) => {
                let request = call.request().expect("a call is opened once");
                let (cause, caller) = cause_of(request, by, parcel.deadline);
                let source = Source::Command { caller, reply: None, place: None };
                (cause, source, Input::Local(call))
            }
            Work::Remote(arrived) => {
                let Arrived { request, content, place, reply } = *arrived;
                let (cause, caller) = cause_of(request, by, parcel.deadline);
                let source = Source::Command { caller, reply, place: Some(place) };
                (cause, source, Input::of(content))
            }
            Work::Job(errand) => {
                let Errand { request, due, content, receipt } = *errand;
                let (cause, caller) = cause_of(request, by, None);
                let receipt = Mutex::new(Some(receipt));
                let source = Source::Job { caller, due, receipt };
                (cause, source, Input::of(content))
            }
            Work::Event(envelope, receipt) => {
                let root = envelope.root(self.client.namespace());
                let came_as = (root != envelope.id).then(|| envelope.id.clone());
                let mut cause = Cause::new(root, envelope.correlation.clone(), by);
                cause.came_as = came_as;
                cause.trace.clone_from(&envelope.trace);
                cause.attempt = receipt.attempt;
                cause.since = receipt.since;
                let input = Input::Encoded(envelope.payload.clone());
                let receipt = Mutex::new(Some(receipt));
                (cause, Source::Event { envelope, receipt }, input)
            }
            Work::Tick(token) => {
                let id = Id::new();
                let cause = Cause::new(id.clone(), id, by);
                (cause, Source::Own(Some(token)), Input::Nothing)
            }
        };
        let ctx = Context::new(self.client.clone(), cause, source);
        (ctx, input)
    }

    /// Ends this life and waits for the supervisor's word.
    async fn end(&mut self, exit: Exit, reason: String) {
        self.drop_state();
        self.gauge.set_interrupted(true);
        let report = Report { member: self.member, life: self.life, exit, reason };
        // Without a supervisor the control channel is closed too, and parking ends.
        self.report.send(report).await.ok();
        self.park().await;
    }

    async fn leave(&mut self, ctx: &Context) {
        self.say_goodbye(ctx).await;
        self.end(Exit::Normal, "it asked to stop".to_owned()).await;
    }

    /// Stands still until there is a state to go on with, or the end.
    pub(super) async fn park(&mut self) {
        while !self.closed {
            match self.control.recv().await {
                Some(Control::Start(life, started)) => {
                    self.life = life;
                    let outcome = self.build().await;
                    let running = outcome.is_ok();
                    // Before the answer, so that the supervisor's next word is not lost.
                    self.gauge.set_interrupted(!running);
                    started.send(outcome).ok();
                    if running {
                        return;
                    }
                }
                Some(Control::Stop(stopped)) => {
                    let id = Id::new();
                    let cause = Cause::new(id.clone(), id, Arc::clone(&self.path));
                    let ctx = Context::new(self.client.clone(), cause, Source::Own(None));
                    self.say_goodbye(&ctx).await;
                    self.drop_state();
                    stopped.send(()).ok();
                }
                Some(Control::Dismiss) => {
                    self.gauge.set_interrupted(false);
                    return;
                }
                Some(Control::Close) | None => self.closed = true,
            }
        }
        self.gauge.set_interrupted(false);
        self.drop_state();
    }

    async fn build(&mut self) -> Result<(), String> {
        self.drop_state();
        // A kill that came too late for the life before must not hit this one.
        let _stale = futures_util::poll!(pin!(self.gauge.kill.notified()));
        let bounds = Bounds { within: self.plan.start_within, kill: &self.gauge.kill };
        let factory = Arc::clone(&self.plan.factory);
        let inbox = self.inbox.clone();
        let birth = Birth {
            client: self.client.clone(),
            path: Arc::clone(&self.actor),
            poke: Poke { inbox: inbox.expect("a cell knows its mailbox since it started") },
        };
        match bounds.run(async move { factory(birth).await }).await {
            Ok(Ok(state)) => {
                self.state = Some(state);
                Ok(())
            }
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(Cut::Late(within)) => Err(format!(
                "it did not start within {}",
                humantime::format_duration(within)
            )),
            Err(cut) => Err(cut.to_string()),
        }
    }

    /// Runs the actor's last handler, if it has one and lives.
    async fn say_goodbye(&mut self, ctx: &Context) {
        let (Some(run), Some(state)) = (&self.plan.on_stop, self.state.as_mut()) else {
            return;
        };
        let bounds = Bounds { within: self.plan.stop_within, kill: &self.gauge.kill };
        match run(
            state,
            Input::Nothing,
            Turn { ctx, bounds, gauge: &self.gauge, meter: None },
        )
        .await
        {
            Ended::Failed(failure) => {
                tracing::warn!(child = &*self.path, %failure, "stopping was not clean");
            }
            Ended::Crashed(reason) => {
                tracing::warn!(child = &*self.path, reason, "stopping was not clean");
            }
            Ended::Done | Ended::Unhandled => {}
        }
    }

    fn drop_state(&mut self) {
        if let Err(panic) = caught(|| drop(self.state.take())) {
            tracing::warn!(
                child = &*self.path,
                %panic,
                "dropping the state was not clean"
            );
        }
    }
}

/// A cell that ends although nobody closed it has failed: its supervisor is told.
impl<A> Drop for Host<A> {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let reason = "its task ended before it was stopped".to_owned();
        let (member, life) = (self.member, self.life);
        let report = Report { member, life, exit: Exit::Failed, reason };
        // When the whole node is dropped, nobody is left to be told.
        self.report.try_send(report).ok();
    }
}

fn crash_of(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Crashed(reason) => Some(reason.clone()),
        Ended::Failed(failure) if failure.verdict() == Verdict::Crash => Some(failure.to_string()),
        _ => None,
    }
}
