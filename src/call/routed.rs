//! Commands that go where the routing table says.

use super::{CallError, Client, ask::TIMEOUT, local, remote};
use crate::{
    bus::Message,
    message::{Command, Refused, Rejection, Reply, Request, Status, codec},
    policy::Line,
    roster::Instance,
    route::{Chosen, News, Sign, Wish},
    telemetry::{EJECTED_TOTAL, RESTORED_TOTAL, ROUTED_GONE_TOTAL},
};
use bytes::Bytes;
use serde_json::Value;
use std::{borrow::Cow, cell::OnceCell, time::Duration};
use tokio::time::Instant;

/// Chooses an instance that has not been tried; nothing if the command goes the
/// usual way. Without any route this costs one look at a flag.
pub(super) fn choose<C: Command>(
    client: &Client,
    (command, request): (&C, &Request),
    headers: &remote::Said,
    tried: &[Instance],
) -> Option<Chosen> {
    let ways = client.ways();
    if !ways.routes.any() {
        return None;
    }
    let wish = Wanted { command, request, headers, fields: OnceCell::new() };
    ways.routes
        .choose(&wish, &ways.roster, (&ways.instance, &ways.region), tried)
}

/// Asks the instance that was chosen. If nobody listens there any more, the
/// command was not delivered, and goes the usual way.
pub(super) async fn ask<C: Command>(
    (client, line): (&Client, Option<&Line>),
    ((command, bytes), (request, headers)): ((C, Option<Bytes>), (Request, remote::Said)),
    chosen: Chosen,
    (started, timeout): (Instant, Duration),
) -> Result<Reply<C>, CallError<Refused<C>>> {
    let given = line.map_or(TIMEOUT, |line| line.gives(TIMEOUT));
    let silent = Sign::Silent { had: timeout, given };
    let here = chosen.is_here().then(|| client.door::<C>()).flatten();
    if let Some(door) = here {
        let answer = local::ask((client, line), &door, command, request, (started, timeout)).await;
        settle(client, &chosen, sign(answer.as_ref().err(), silent)).await;
        return answer;
    }
    let to = client
        .namespace()
        .instance(chosen.instance().id(), C::SUBJECT);
    let mut question =
        remote::question(client, to, ((&command, bytes), (request, headers)), timeout)?;
    drop(command);
    let answer = remote::put::<C>(client, question.clone(), timeout).await;
    settle(client, &chosen, sign(answer.as_ref().err(), silent)).await;
    let Err(CallError::NoResponders { .. }) = answer else {
        return answer;
    };
    gone(C::SUBJECT.as_str());
    drop(chosen);
    question.subject = client.namespace().command(C::SUBJECT);
    let left = timeout.saturating_sub(started.elapsed());
    remote::put::<C>(client, question, left).await
}

/// Counts an instance that was chosen and was not there.
pub(super) fn gone(subject: &str) {
    metrics::counter!(ROUTED_GONE_TOTAL, "subject" => subject.to_owned()).increment(1);
}

/// Notes how a call ended, and tells others of an instance that is left out.
pub(super) async fn settle(client: &Client, chosen: &Chosen, sign: Option<Sign>) {
    let Some(news) = sign.and_then(|sign| chosen.ended(sign, client.source())) else {
        return;
    };
    let News { route, instance, ejected_ms, .. } = &news;
    if let Some(ms) = ejected_ms {
        metrics::counter!(EJECTED_TOTAL, "route" => route.clone()).increment(1);
        tracing::warn!(
            route,
            instance,
            ms,
            "an instance fails and is left out for a while"
        );
    } else {
        metrics::counter!(RESTORED_TOTAL, "route" => route.clone()).increment(1);
        tracing::info!(
            route,
            instance,
            "an instance that was left out is trusted again"
        );
    }
    let Ok(payload) = codec::encode(&news) else {
        return;
    };
    let subject = client.namespace().system("node.routes.news");
    if let Err(error) = client.bus().send(Message::new(subject, payload)).await {
        tracing::debug!(%error, "nobody hears of it");
    }
}

/// Returns what the end of a call says of its instance; nothing if it does not say.
fn sign<R: Rejection>(error: Option<&CallError<R>>, silent: Sign) -> Option<Sign> {
    match error.map(CallError::status) {
        None => Some(Sign::Answered),
        Some(status) => status.and_then(|status| told(status, silent)),
    }
}

/// Returns what a status says of who was asked; nothing if it is about what was asked.
pub(super) const fn told(status: Status, silent: Sign) -> Option<Sign> {
    match status {
        // A domain that says no, or that limits a caller, is in good health.
        Status::Rejected | Status::Limited => Some(Sign::Answered),
        Status::DeadlinePassed => Some(silent),
        status if status.code() >= 500 => Some(Sign::Failed),
        _ => None,
    }
}

/// A command that looks for its way.
struct Wanted<'a, C> {
    command: &'a C,
    request: &'a Request,
    headers: &'a remote::Said,
    /// Written out only if a rule asks for a field.
    fields: OnceCell<Value>,
}

impl<C: Command> Wish for Wanted<'_, C> {
    fn command(&self) -> &str {
        C::SUBJECT.as_str()
    }

    fn domain(&self) -> &str {
        C::SUBJECT.domain()
    }

    fn key(&self) -> Cow<'_, str> {
        self.command.key()
    }

    fn header(&self, name: &str) -> Option<String> {
        let is_it = |other: &str| other.eq_ignore_ascii_case(name);
        let own = self.headers.iter().find(|(own, _)| is_it(own));
        if let Some((_, value)) = own {
            return Some(value.clone());
        }
        let sent = self.request.headers().ok()?;
        let mut sent = sent.iter();
        sent.find_map(|(own, value)| is_it(own).then(|| value.to_owned()))
    }

    fn field(&self, path: &str) -> Option<String> {
        let all = self
            .fields
            .get_or_init(|| serde_json::to_value(self.command).unwrap_or_default());
        find(all, path)
    }
}

/// Returns a field by its path, such as `address.country`, as text.
pub(super) fn find(all: &Value, path: &str) -> Option<String> {
    let found = path
        .split('.')
        .try_fold(all, |value, name| value.get(name))?;
    Some(match found {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}
