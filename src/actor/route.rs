//! From typed handlers to one erased shape.
//!
//! Each route takes the message out of its form, runs the handler where a
//! panic is caught, and sends the answer. What is left for the cell is how it ended.

use super::{
    Context,
    bounds::{Cut, Turn, caught},
};
use crate::{
    bus::{Message, SendError},
    call::{Answer, CallError, Content, Ended, LocalCall, LocalReply, Refusal},
    error::Failure,
    message::{self, Command, Event, EventError, Headers, Status, codec, headers::CB_RETRY_AFTER},
    telemetry::JOBS_REJECTED_TOTAL,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use std::{any::Any, sync::Arc};

/// What a handler is called with.
pub(super) enum Input {
    Local(Box<dyn Any + Send>),
    Encoded(Bytes),
    Decoded(Box<dyn Any + Send>),
    Nothing,
}

impl Input {
    pub(super) fn of(content: Content) -> Self {
        match content {
            Content::Encoded(payload) => Self::Encoded(payload),
            Content::Decoded(command) => Self::Decoded(command),
        }
    }
}

/// Decodes a command to find its key; nothing if it does not decode.
pub(crate) fn peek<C: Command>(payload: &Bytes) -> Option<(Box<dyn Any + Send>, String)> {
    let opened = caught(|| {
        let command: C = codec::decode(payload).ok()?;
        let key = command.key().into_owned();
        Some((command, key))
    });
    let (command, key) = opened.ok()??;
    Some((Box::new(command), key))
}

/// A handler for one kind of message, its type erased.
pub(super) type Run<A> =
    Arc<dyn for<'a> Fn(&'a mut A, Input, Turn<'a>) -> LocalBoxFuture<'a, Ended> + Send + Sync>;

/// Gives the closure the one signature that inference does not find by itself.
pub(super) fn erase<A, F>(run: F) -> Run<A>
where
    F: for<'a> Fn(&'a mut A, Input, Turn<'a>) -> LocalBoxFuture<'a, Ended> + Send + Sync + 'static,
{
    Arc::new(run)
}

pub(super) fn answer<A: 'static, C: Command, F>(handler: F) -> Run<A>
where
    F: AsyncFn(&mut A, C, &Context) -> Answer<C> + Clone + Send + Sync + 'static,
{
    erase(move |state, input, turn| {
        let handler = handler.clone();
        Box::pin(async move {
            let Turn { ctx, bounds, .. } = turn;
            let (command, waiting) = match open::<C>(input) {
                Ok(opened) => opened,
                Err(reason) => return malformed::<C>(ctx, &reason).await,
            };
            let answer = bounds
                .run(async { handler(state, command, ctx).await })
                .await;
            let answer = answer.map_err(|cut| cut.to_string());
            match waiting {
                Waiting::Local(reply) => reply_local::<C>(reply, answer),
                Waiting::Bus if ctx.is_job() => job_ended::<C>(ctx, answer),
                Waiting::Bus => reply_remote::<C>(ctx, answer).await,
            }
        })
    })
}

pub(super) fn on<A: 'static, E: Event, F>(handler: F) -> Run<A>
where
    F: AsyncFn(&mut A, E, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
{
    erase(move |state, input, Turn { ctx, bounds, .. }| {
        let handler = handler.clone();
        Box::pin(async move {
            let event = match event::<E>(input, ctx) {
                Ok(event) => event,
                Err(ended) => return ended,
            };
            ended(bounds.run(async { handler(state, event, ctx).await }).await)
        })
    })
}

pub(super) fn tick<A: 'static, F>(handler: F) -> Run<A>
where
    F: AsyncFn(&mut A, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
{
    erase(move |state, _, Turn { ctx, bounds, .. }| {
        let handler = handler.clone();
        Box::pin(async move { ended(bounds.run(async { handler(state, ctx).await }).await) })
    })
}

fn ended(outcome: Result<Result<(), Failure>, Cut>) -> Ended {
    match outcome {
        Ok(Ok(())) => Ended::Done,
        Ok(Err(failure)) => Ended::Failed(failure),
        Err(cut) => Ended::Crashed(cut.to_string()),
    }
}

pub(super) enum Waiting<C: Command> {
    Local(Option<LocalReply<C>>),
    Bus,
}

pub(super) fn open<C: Command>(input: Input) -> Result<(C, Waiting<C>), String> {
    match input {
        Input::Local(call) => {
            let call: LocalCall<C> = *call.downcast().map_err(|_| "is of another type here")?;
            let mut reply = call.reply;
            if let Some(reply) = &mut reply {
                reply.hand_over();
            }
            Ok((call.command, Waiting::Local(reply)))
        }
        Input::Encoded(payload) => decode(&payload).map(|command| (command, Waiting::Bus)),
        Input::Decoded(command) => {
            let command = *command.downcast().map_err(|_| "is of another type here")?;
            Ok((command, Waiting::Bus))
        }
        Input::Nothing => Err("came without a payload".to_owned()),
    }
}

/// Takes the event out of its form, or says how it ended without.
pub(super) fn event<E: Event>(input: Input, ctx: &Context) -> Result<E, Ended> {
    let Input::Encoded(payload) = input else {
        return Err(Ended::Unhandled);
    };
    let version = ctx
        .envelope()
        .map_or(E::VERSION, |envelope| envelope.version);
    decode_event(version, &payload).map_err(Ended::Failed)
}

/// Decodes an event of any version that its type knows. One that is too new
/// keeps its place: a newer program can read it.
fn decode_event<E: Event>(version: u32, payload: &[u8]) -> Result<E, Failure> {
    let kind = E::SUBJECT;
    match caught(|| message::read_event(version, payload)) {
        Ok(Ok(event)) => Ok(event),
        Ok(Err(error @ EventError::Newer { .. })) => Err(Failure::retry(format!("{kind} {error}"))),
        Ok(Err(error)) => Err(Failure::discard(format!("{kind} {error}"))),
        Err(cut) => Err(Failure::discard(format!(
            "{kind} could not be decoded: {cut}"
        ))),
    }
}

/// Decodes a message; a type that panics over it has refused it.
fn decode<T: DeserializeOwned>(payload: &Bytes) -> Result<T, String> {
    match caught(|| codec::decode(payload)) {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(cut) => Err(format!("could not be decoded: {cut}")),
    }
}

/// Refuses a command that does not decode; a job never will.
pub(super) async fn malformed<C: Command>(ctx: &Context, reason: &str) -> Ended {
    let reason = format!("{} {reason}", C::SUBJECT);
    if ctx.is_job() {
        return Ended::Failed(Failure::discard(reason));
    }
    respond(ctx, Status::Malformed.headers(&reason), Bytes::new()).await;
    Ended::Done
}

/// Says how a job ended, whose answer goes nowhere.
pub(super) fn job_ended<C: Command>(ctx: &Context, answer: Result<Answer<C>, String>) -> Ended {
    match answer {
        Ok(Ok(_)) => Ended::Done,
        Ok(Err(Refusal::Rejected(rejection))) => {
            let (child, subject) = (ctx.path(), C::SUBJECT.as_str());
            tracing::info!(child, subject, id = %ctx.id(), %rejection, "a job was rejected");
            let child = child.to_owned();
            metrics::counter!(JOBS_REJECTED_TOTAL, "child" => child, "subject" => subject)
                .increment(1);
            Ended::Done
        }
        Ok(Err(Refusal::Failed(failure))) => Ended::Failed(failure),
        Err(cut) => Ended::Crashed(cut),
    }
}

pub(super) fn reply_local<C: Command>(
    reply: Option<LocalReply<C>>,
    answer: Result<Answer<C>, String>,
) -> Ended {
    let subject = C::SUBJECT;
    let (answer, ended) = match answer {
        Ok(Ok(reply)) => (Ok(reply), Ended::Done),
        Ok(Err(Refusal::Rejected(rejection))) => (Err(CallError::Rejected(rejection)), Ended::Done),
        Ok(Err(Refusal::Failed(failure))) => {
            let reason = failure.to_string();
            let error = match failure.not_run() {
                after @ Some(_) => CallError::Unavailable { subject, reason, retry_after: after },
                None => CallError::Failed { subject, reason },
            };
            (Err(error), Ended::Failed(failure))
        }
        Err(cut) => {
            let reason = cut.clone();
            (
                Err(CallError::Failed { subject, reason }),
                Ended::Crashed(cut),
            )
        }
    };
    if let Some(reply) = reply {
        reply.send(answer);
    }
    ended
}

pub(super) async fn reply_remote<C: Command>(
    ctx: &Context,
    answer: Result<Answer<C>, String>,
) -> Ended {
    let (headers, payload, ended) = match answer {
        Ok(Ok(reply)) => encoded::<C, _>(Headers::new(), &reply),
        Ok(Err(Refusal::Rejected(rejection))) => {
            encoded::<C, _>(Status::Rejected.headers(&rejection.to_string()), &rejection)
        }
        Ok(Err(Refusal::Failed(failure))) => {
            (refusal(&failure), Bytes::new(), Ended::Failed(failure))
        }
        Err(cut) => (
            Status::Failed.headers(&cut),
            Bytes::new(),
            Ended::Crashed(cut),
        ),
    };
    respond(ctx, headers, payload).await;
    ended
}

/// Writes what a caller is told of a failure.
fn refusal(failure: &Failure) -> Headers {
    let Some(after) = failure.not_run() else {
        return Status::Failed.headers(&failure.to_string());
    };
    let mut headers = Status::Unavailable.headers(&failure.to_string());
    headers.put(CB_RETRY_AFTER, after.as_millis().to_string());
    headers
}

fn encoded<C: Command, T: Serialize>(headers: Headers, reply: &T) -> (Headers, Bytes, Ended) {
    let encoded = match caught(|| codec::encode(reply)) {
        Ok(encoded) => encoded.map_err(|error| error.to_string()),
        Err(cut) => Err(format!("could not be encoded: {cut}")),
    };
    match encoded {
        Ok(payload) => (headers, payload, Ended::Done),
        Err(reason) => {
            let reason = format!("the answer to {} {reason}", C::SUBJECT);
            (
                Status::Failed.headers(&reason),
                Bytes::new(),
                Ended::Failed(Failure::discard(reason)),
            )
        }
    }
}

/// Sends a reply to a caller on the bus; without one there is nothing to do.
///
/// A caller whose reply the carrier does not take learns that, not silence.
pub(super) async fn respond(ctx: &Context, headers: Headers, payload: Bytes) {
    let Some(subject) = ctx.reply() else { return };
    let bus = ctx.client().bus();
    let message = Message::new(subject, payload).headers(headers);
    // Boxed, so that turns without a reply over the bus stay small.
    let mut sent = Box::pin(bus.send(message)).await;
    if let Err(error @ SendError::TooLarge { .. }) = &sent {
        let headers = Status::Failed.headers(&error.to_string());
        let refusal = Message::new(subject, Bytes::new()).headers(headers);
        sent = Box::pin(bus.send(refusal)).await;
    }
    if let Err(error) = sent {
        tracing::warn!(%error, "a reply could not be sent; its caller will time out");
    }
}
