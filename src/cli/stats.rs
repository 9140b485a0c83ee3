//! What instances of services have done, as they answer it to NATS's own tools.

use super::{columns::columns, error::CommandError, json};
use crate::{
    bus::{Bus, Message},
    message::Id,
    roster::Instance,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// How long they may take to answer, all of them.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an instance answers.
#[derive(Deserialize)]
struct Answer {
    name: String,
    id: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    name: String,
    #[serde(default)]
    num_requests: u64,
    #[serde(default)]
    num_errors: u64,
    #[serde(default)]
    average_processing_time: u64,
}

/// What one instance did with one command.
#[derive(Serialize)]
struct Row {
    service: String,
    version: String,
    node: String,
    instance: String,
    command: String,
    requests: u64,
    errors: u64,
    mean_us: u64,
}

/// Shows how often each instance was sent each command, since its node started.
pub(super) async fn show(
    bus: &Bus,
    asked: &[Instance],
    as_json: bool,
) -> Result<Vec<String>, CommandError> {
    let mut told = ask(bus, asked).await?;
    let mut rows = Vec::new();
    for it in asked {
        let (name, id) = (it.service().name.clone(), it.id().to_owned());
        let endpoints = told.remove(&(name.clone(), id.clone()));
        rows.extend(endpoints.into_iter().flatten().map(|endpoint| Row {
            service: name.clone(),
            version: it.service().version.to_string(),
            node: it.node().to_owned(),
            instance: id.clone(),
            command: endpoint.name,
            requests: endpoint.num_requests,
            errors: endpoint.num_errors,
            mean_us: endpoint.average_processing_time / 1_000,
        }));
    }
    if as_json {
        return Ok(rows.iter().map(json::text).collect());
    }
    let rows: Vec<_> = rows.into_iter().map(Row::words).collect();
    let head = [
        "SERVICE", "VERSION", "NODE", "COMMAND", "REQUESTS", "ERRORS", "MEAN",
    ];
    Ok(columns(head, &rows))
}

/// Asks all services at once; who does not answer in time is left out.
async fn ask(
    bus: &Bus,
    asked: &[Instance],
) -> Result<BTreeMap<(String, String), Vec<Endpoint>>, CommandError> {
    let name = |it: &Instance| (it.service().name.clone(), it.id().to_owned());
    let mut missing: BTreeSet<_> = asked.iter().map(name).collect();
    let inbox = format!("_INBOX.callboard.{}", Id::new());
    let mut answers = bus.subscribe(&inbox, None).await?;
    let mut question = Message::new("$SRV.STATS", Bytes::new());
    question.reply = Some(inbox);
    bus.send(question).await?;
    let (mut told, deadline) = (BTreeMap::new(), Instant::now() + PATIENCE);
    while !missing.is_empty() {
        let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await else {
            break;
        };
        let Ok(answer) = serde_json::from_slice::<Answer>(&answer.payload) else {
            continue;
        };
        // Other namespaces of the server answer, too.
        let who = (answer.name, answer.id);
        if missing.remove(&who) {
            told.insert(who, answer.endpoints);
        }
    }
    Ok(told)
}

impl Row {
    fn words(self) -> [String; 7] {
        let mean = Duration::from_micros(self.mean_us).as_secs_f64() * 1e3;
        [
            self.service,
            self.version,
            self.node,
            self.command,
            self.requests.to_string(),
            self.errors.to_string(),
            format!("{mean:.1} ms"),
        ]
    }
}
