//! Commands that travel over the bus.

use super::{CallError, Cause, Client, TellError, ask::request};
use crate::{
    bus::Message,
    message::{
        Command, Refused, Rejection, Reply, Request, Status, Subject, codec,
        headers::CB_RETRY_AFTER,
    },
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Headers beside those that every command has.
pub(super) type Said = Vec<(&'static str, String)>;

pub(super) async fn ask<C: Command>(
    client: &Client,
    (command, bytes): (C, Option<Bytes>),
    said: (Request, Said),
    timeout: Duration,
) -> Result<Reply<C>, CallError<Refused<C>>> {
    let to = client.namespace().command(C::SUBJECT);
    let message = question(client, to, ((&command, bytes), said), timeout)?;
    put::<C>(client, message, timeout).await
}

/// Writes a command to a subject, which may be that of one instance.
pub(super) fn question<C: Command>(
    client: &Client,
    to: String,
    (command, (mut request, said)): ((&C, Option<Bytes>), (Request, Said)),
    timeout: Duration,
) -> Result<Message, CallError<Refused<C>>> {
    request.deadline = Some(client.clock().now() + timeout);
    let codec = |reason| CallError::Codec { subject: C::SUBJECT, reason };
    let mut message = message(to, command, &request).map_err(codec)?;
    for (name, value) in said {
        let inserted = message.headers.insert(name, value);
        inserted.map_err(|error| codec(error.to_string()))?;
    }
    Ok(message)
}

/// Puts a question and reads the answer.
pub(super) async fn put<C: Command>(
    client: &Client,
    question: Message,
    timeout: Duration,
) -> Result<Reply<C>, CallError<Refused<C>>> {
    let asked = client.bus().request(question, timeout).await;
    let reply = asked.map_err(|error| CallError::of_request(C::SUBJECT, error))?;
    answer::<C>(&reply)
}

pub(super) async fn tell<C: Command>(
    client: &Client,
    command: C,
    cause: Option<&Cause>,
) -> Result<(), TellError> {
    let subject = C::SUBJECT;
    let message = message(
        client.namespace().command(subject),
        (&command, None),
        &request(client, cause, None),
    )
    .map_err(|reason| TellError::Codec { subject, reason })?;
    Ok(client.bus().send(message).await?)
}

fn message<C: Command>(
    to: String,
    (command, bytes): (&C, Option<Bytes>),
    request: &Request,
) -> Result<Message, String> {
    let payload = bytes.map_or_else(|| codec::encode(command), Ok);
    let payload = payload.map_err(|error| error.to_string())?;
    let headers = request.headers().map_err(|error| error.to_string())?;
    Ok(Message::new(to, payload).headers(headers))
}

fn answer<C: Command>(reply: &Message) -> Result<Reply<C>, CallError<Refused<C>>> {
    let subject = C::SUBJECT;
    match Status::read(&reply.headers) {
        None => decode(subject, "reply", &reply.payload),
        Some((Status::Rejected, _)) => {
            let rejection = decode::<_, Refused<C>>(subject, "rejection", &reply.payload)?;
            Err(CallError::Rejected(rejection))
        }
        Some((status, reason)) => {
            let again = reply.headers.get(CB_RETRY_AFTER);
            let again = again
                .and_then(|ms| ms.parse().ok())
                .map(Duration::from_millis);
            Err(CallError::of(subject, status, reason.to_owned(), again))
        }
    }
}

fn decode<T: DeserializeOwned, R: Rejection>(
    subject: Subject,
    what: &str,
    payload: &Bytes,
) -> Result<T, CallError<R>> {
    codec::decode(payload).map_err(|error| CallError::Codec {
        subject,
        reason: format!("was answered, but the {what} {error}"),
    })
}
