use super::{
    Context,
    bounds::{Turn, caught},
    inbox::Stay,
    meter::Meter,
    route::{
        Run, Waiting, erase, event, job_ended, malformed, open, reply_local, reply_remote, respond,
    },
};
use crate::{
    call::{Answer, CallError, Ended},
    error::Failure,
    message::{Command, Event, Status, headers::CB_RETRY_AFTER},
    telemetry::EXPIRED_TOTAL,
};
use bytes::Bytes;
use std::{cell::Cell, sync::Arc, time::Duration};
use tokio::{runtime::Handle, time::Instant};
use tracing::Span;

/// How long a command may take that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is said of a command that was given up while it was worked on.
const LOST: &str = "it was given up while it was worked on, and may have been run";

/// What is said of a command that was given up before its turn.
const NOT_BEGUN: &str = "it stopped before it came to this command";

/// A command that was taken out of the mailbox and is answered later.
///
/// The mailbox goes on, and counts it until it is answered or dropped. Who waits for
/// one that is dropped is told, and whether it may have been run.
pub(crate) struct Taken<C: Command> {
    pub(crate) command: C,
    pub(crate) key: String,
    pub(crate) ctx: Context,
    /// Nothing once it is answered.
    waiting: Option<Waiting<C>>,
    /// Whether it may have been run, should it be dropped.
    begun: Cell<bool>,
    meter: Option<Arc<Meter>>,
    since: Instant,
    _stay: Stay,
}

impl<C: Command> Taken<C> {
    /// Whether its caller has stopped waiting.
    pub(crate) fn is_late(&self) -> bool {
        self.ctx.remaining().is_some_and(|left| left.is_zero())
    }

    /// Returns how long its caller waits; 30 s if nobody does.
    pub(crate) fn patience(&self) -> Duration {
        self.ctx.remaining().unwrap_or(PATIENCE)
    }

    /// Returns the span in which it is worked on.
    pub(crate) fn span(&self) -> Span {
        self.ctx.span(C::SUBJECT.as_str())
    }

    /// Notes that from now on it may have been run.
    pub(crate) fn begin(&self) {
        self.begun.set(true);
    }

    /// Gives it up: its deadline passed before its turn came.
    pub(crate) async fn expire(mut self) {
        let path = self.ctx.path();
        metrics::counter!(EXPIRED_TOTAL, "child" => path.to_owned()).increment(1);
        if let Some(Waiting::Local(Some(reply))) = self.waiting.take() {
            reply.send(Err(CallError::DeadlinePassed { subject: C::SUBJECT }));
        }
        let reason = format!("the deadline passed before {path} came to it");
        respond(
            &self.ctx,
            Status::DeadlinePassed.headers(&reason),
            Bytes::new(),
        )
        .await;
    }

    /// Sends the answer; a panic's text stands for a handler that failed.
    pub(crate) async fn answer(mut self, answer: Result<Answer<C>, String>) {
        let ended = match self.waiting.take() {
            Some(Waiting::Local(reply)) => reply_local::<C>(reply, answer),
            _ if self.ctx.is_job() => job_ended::<C>(&self.ctx, answer),
            _ => reply_remote::<C>(&self.ctx, answer).await,
        };
        self.end(ended);
    }

    /// Answers with a status that is neither a reply nor a failure. Of a job, whose
    /// answer goes nowhere, one below 300 is the end.
    pub(crate) async fn tell(mut self, status: Status, reason: String, again: Option<Duration>) {
        let ended = match self.waiting.take() {
            Some(Waiting::Local(reply)) => {
                let error = CallError::of(C::SUBJECT, status, reason, again);
                if let Some(reply) = reply {
                    reply.send(Err(error));
                }
                Ended::Done
            }
            _ if self.ctx.is_job() && status.code() >= 300 => {
                Ended::Failed(Failure::discard(reason))
            }
            _ => {
                let mut headers = status.headers(&reason);
                if let Some(again) = again {
                    headers.put(CB_RETRY_AFTER, again.as_millis().to_string());
                }
                respond(&self.ctx, headers, Bytes::new()).await;
                Ended::Done
            }
        };
        self.end(ended);
    }

    fn end(&self, ended: Ended) {
        if let Some(meter) = &self.meter {
            meter.count(&ended, self.since.elapsed());
        }
        if let Some(receipt) = self.ctx.receipt() {
            receipt.settle(ended);
        } else if let Ended::Failed(failure) = ended {
            let (child, subject) = (self.ctx.path(), C::SUBJECT.as_str());
            self.span().in_scope(|| match failure.not_run() {
                None => tracing::error!(child, subject, %failure, "a decision failed"),
                after => tracing::warn!(child, subject, %failure, ?after, "a command was not run"),
            });
        }
    }
}

/// Tells who waits for a command that is given up, such as when its actor is cut off;
/// a job and an event go back to their reader by themselves.
impl<C: Command> Drop for Taken<C> {
    fn drop(&mut self) {
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        let (status, reason) = if self.begun.get() {
            (Status::Failed, LOST)
        } else {
            (Status::Unavailable, NOT_BEGUN)
        };
        match waiting {
            Waiting::Local(reply) => {
                let error = CallError::of(C::SUBJECT, status, reason.to_owned(), None);
                if let Some(reply) = reply {
                    reply.send(Err(error));
                }
            }
            Waiting::Bus if self.ctx.is_job() => {}
            Waiting::Bus => {
                let Ok(runtime) = Handle::try_current() else {
                    return;
                };
                let ctx = self.ctx.detached();
                runtime.spawn(async move {
                    respond(&ctx, status.headers(reason), Bytes::new()).await;
                });
            }
        }
    }
}

/// An event that was taken out of the mailbox and ends later.
///
/// The mailbox goes on, and counts it until it ends or is dropped; its key waits.
pub(crate) struct Heard {
    ctx: Context,
    meter: Option<Arc<Meter>>,
    since: Instant,
    _stay: Stay,
}

impl Heard {
    pub(crate) const fn ctx(&self) -> &Context {
        &self.ctx
    }

    /// Says how it ended.
    pub(crate) fn end(self, outcome: Result<(), Failure>) {
        let ended = match outcome {
            Ok(()) => Ended::Done,
            Err(failure) => Ended::Failed(failure),
        };
        if let Some(meter) = &self.meter {
            meter.count(&ended, self.since.elapsed());
        }
        if let Some(receipt) = self.ctx.receipt() {
            receipt.settle(ended);
        }
    }
}

/// Makes the route of a handler that hears events and lets the mailbox go on.
pub(super) fn hear<A: 'static, E: Event, F>(handler: F) -> Run<A>
where
    F: AsyncFn(&mut A, E, Heard) + Clone + Send + Sync + 'static,
{
    erase(move |state, input, Turn { ctx, bounds, gauge, meter }| {
        let handler = handler.clone();
        Box::pin(async move {
            let event = match event::<E>(input, ctx) {
                Ok(event) => event,
                Err(ended) => return ended,
            };
            let ctx = ctx.detached();
            let (meter, since) = (meter.cloned(), Instant::now());
            let heard = Heard { ctx, meter, since, _stay: gauge.stay() };
            let taken = async { handler(state, event, heard).await };
            match bounds.run(taken).await {
                Ok(()) => Ended::Done,
                Err(cut) => Ended::Crashed(cut.to_string()),
            }
        })
    })
}

/// Makes the route of a handler that takes messages and lets the mailbox go on.
pub(super) fn take<A: 'static, C: Command, F>(handler: F) -> Run<A>
where
    F: AsyncFn(&mut A, Taken<C>) + Clone + Send + Sync + 'static,
{
    erase(move |state, input, Turn { ctx, bounds, gauge, meter }| {
        let handler = handler.clone();
        Box::pin(async move {
            let (command, waiting) = match open::<C>(input) {
                Ok(opened) => opened,
                Err(reason) => return malformed::<C>(ctx, &reason).await,
            };
            let key = caught(|| command.key().into_owned());
            let ctx = ctx.detached();
            let (key, cut) = match key {
                Ok(key) => (key, None),
                Err(cut) => (String::new(), Some(cut)),
            };
            let taken = Taken {
                command,
                key,
                ctx,
                waiting: Some(waiting),
                begun: Cell::new(false),
                meter: meter.cloned(),
                since: Instant::now(),
                _stay: gauge.stay(),
            };
            if let Some(cut) = cut {
                taken.answer(Err(cut.to_string())).await;
                return Ended::Done;
            }
            match bounds.run(async { handler(state, taken).await }).await {
                Ok(()) => Ended::Done,
                Err(cut) => Ended::Crashed(cut.to_string()),
            }
        })
    })
}
