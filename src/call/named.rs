//! Commands that are known by their names only: those that were written down.

use super::{
    Client,
    ask::TIMEOUT,
    routed::{find, gone, settle, told},
};
use crate::{
    bus::{Message, RequestError},
    message::{Headers, Status, codec},
    route::{Sign, Wish},
};
use bytes::Bytes;
use serde_json::Value;
use std::{borrow::Cow, cell::OnceCell, time::Duration};
use tokio::time::Instant;

/// A command as it was written down.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    /// What it is, as `domain.name`.
    pub(crate) subject: &'a str,
    /// Its key; empty if it has none.
    pub(crate) key: &'a str,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// Asks where the routing table says, as for any command; if nobody listens there
/// any more, it goes the usual way.
pub(crate) async fn ask_named(
    client: &Client,
    named: Named<'_>,
    within: Duration,
) -> Result<Message, RequestError> {
    let (started, ways) = (Instant::now(), client.ways());
    client.note_named(named.subject, &named.payload);
    let wish = Wanted { named: &named, fields: OnceCell::new() };
    let here = (&*ways.instance, &*ways.region);
    let chosen = ways.routes.choose(&wish, &ways.roster, here, &[]);
    let usual = client.namespace().command_named(named.subject);
    let message =
        Message::new(usual.as_str(), named.payload.clone()).headers(named.headers.clone());
    let Some(chosen) = chosen else {
        return client.bus().request(message, within).await;
    };
    let mut first = message.clone();
    let space = client.namespace();
    first.subject = space.instance_named(chosen.instance().id(), named.subject);
    let answer = client.bus().request(first, within).await;
    let silent = Sign::Silent { had: within, given: TIMEOUT };
    let sign = match &answer {
        Ok(reply) => {
            let status = Status::read(&reply.headers);
            status.map_or(Some(Sign::Answered), |(status, _)| told(status, silent))
        }
        // What ends this side's connection is no fault of the target's.
        Err(RequestError::Send(_) | RequestError::Lost { .. }) => None,
        Err(RequestError::Timeout { .. }) => Some(silent),
        Err(_) => Some(Sign::Failed),
    };
    settle(client, &chosen, sign).await;
    let Err(RequestError::NoResponders { .. }) = answer else {
        return answer;
    };
    gone(named.subject);
    drop(chosen);
    let left = within.saturating_sub(started.elapsed());
    client.bus().request(message, left).await
}

struct Wanted<'a> {
    named: &'a Named<'a>,
    /// Read only if a rule asks for a field.
    fields: OnceCell<Value>,
}

impl Wish for Wanted<'_> {
    fn command(&self) -> &str {
        self.named.subject
    }

    fn domain(&self) -> &str {
        let subject = self.named.subject;
        subject.split('.').next().unwrap_or(subject)
    }

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.named.key)
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.named.headers.iter();
        headers.find_map(|(own, value)| own.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    }

    fn field(&self, path: &str) -> Option<String> {
        let read = || codec::decode(&self.named.payload).unwrap_or_default();
        find(self.fields.get_or_init(read), path)
    }
}
