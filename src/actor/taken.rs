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
    call::{Answer, Ended},
    error::Failure,
    message::{Command, Event, Status},
    telemetry::EXPIRED_TOTAL,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a command may take that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that was taken out of the mailbox and is answered later.
///
/// The mailbox goes on, and counts it until it is answered or dropped.
pub(crate) struct Taken<C: Command> {
    pub(crate) command: C,
    pub(crate) key: String,
    pub(crate) ctx: Context,
    waiting: Waiting<C>,
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
    pub(crate) fn span(&self) -> tracing::Span {
        self.ctx.span(C::SUBJECT.as_str())
    }

    /// Gives it up: its deadline passed before its turn came.
    pub(crate) async fn expire(self) {
        let path = self.ctx.path();
        metrics::counter!(EXPIRED_TOTAL, "child" => path.to_owned()).increment(1);
        // A caller of this process sees the end of its wait by itself.
        let reason = format!("the deadline passed before {path} came to it");
        respond(
            &self.ctx,
            Status::DeadlinePassed.headers(&reason),
            Bytes::new(),
        )
        .await;
    }

    /// Sends the answer; a panic's text stands for a handler that failed.
    /// Returns the context, for what is to be done after.
    pub(crate) async fn answer(self, answer: Result<Answer<C>, String>) -> Context {
        let ended = match self.waiting {
            Waiting::Local(reply) => reply_local::<C>(reply, answer),
            Waiting::Bus if self.ctx.is_job() => job_ended::<C>(&self.ctx, answer),
            Waiting::Bus => reply_remote::<C>(&self.ctx, answer).await,
        };
        if let Some(meter) = &self.meter {
            meter.count(&ended, self.since.elapsed());
        }
        if let Some(receipt) = self.ctx.receipt() {
            receipt.settle(ended);
        } else if let Ended::Failed(failure) = ended {
            let (child, subject) = (self.ctx.path(), C::SUBJECT.as_str());
            tracing::error!(child, subject, %failure, "a decision failed");
        }
        self.ctx
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
    erase(move |state, input, Turn { ctx, gauge, meter, .. }| {
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
                waiting,
                meter: meter.cloned(),
                since: Instant::now(),
                _stay: gauge.stay(),
            };
            match cut {
                None => handler(state, taken).await,
                Some(cut) => drop(taken.answer(Err(cut.to_string())).await),
            }
            Ended::Done
        })
    })
}
