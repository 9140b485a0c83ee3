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

pub(super) async fn ask<C: Command>(
    client: &Client,
    command: C,
    mut request: Request,
    timeout: Duration,
) -> Result<Reply<C>, CallError<Refused<C>>> {
    let subject = C::SUBJECT;
    request.deadline = Some(client.clock().now() + timeout);
    let message = message(client, &command, &request)
        .map_err(|reason| CallError::Codec { subject, reason })?;
    let reply = client
        .bus()
        .request(message, timeout)
        .await
        .map_err(|error| CallError::of_request(subject, error))?;
    answer::<C>(&reply)
}

pub(super) async fn tell<C: Command>(
    client: &Client,
    command: C,
    cause: Option<&Cause>,
) -> Result<(), TellError> {
    let subject = C::SUBJECT;
    let message = message(client, &command, &request(client, cause, None))
        .map_err(|reason| TellError::Codec { subject, reason })?;
    Ok(client.bus().send(message).await?)
}

fn message<C: Command>(client: &Client, command: &C, request: &Request) -> Result<Message, String> {
    let payload = codec::encode(command).map_err(|error| error.to_string())?;
    let headers = request.headers().map_err(|error| error.to_string())?;
    Ok(Message::new(client.namespace().command(C::SUBJECT), payload).headers(headers))
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
