//! NATS's own service protocol: its tools list the groups, and what they do.

use super::{Mesh, card::Own};
use crate::{
    actor::{Actor, Context},
    bus::{Message, Subscription},
    error::Failure,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often it is looked whether all is still listened to.
const GLANCE: Duration = Duration::from_secs(10);

/// Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`: to all, by a service's
/// name, and by name and id.
#[derive(Debug)]
pub(super) struct Services {
    answering: JoinSet<()>,
}

/// What is asked of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Services {
    pub(super) fn actor(mesh: &Mesh) -> Actor<Self> {
        let mesh = mesh.clone();
        Actor::new("services", async move || Self::open(&mesh.clone()).await)
            .every(GLANCE, Self::check)
    }

    async fn open(mesh: &Mesh) -> Result<Self, Failure> {
        let mut answering = JoinSet::new();
        let every = (0..mesh.0.groups.len()).collect();
        let asked = mesh.0.bus.subscribe("$SRV.*", None).await?;
        answering.spawn_local(answer(mesh.clone(), asked, every));
        for (at, own) in mesh.0.groups.iter().enumerate() {
            let (name, id) = (&own.name, mesh.instance());
            for filter in [format!("$SRV.*.{name}"), format!("$SRV.*.{name}.{id}")] {
                let asked = mesh.0.bus.subscribe(&filter, None).await?;
                answering.spawn_local(answer(mesh.clone(), asked, vec![at]));
            }
        }
        Ok(Self { answering })
    }

    async fn check(&mut self, _: &Context) -> Result<(), Failure> {
        match self.answering.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Failure::crash("what answers NATS's tools has ended")),
        }
    }
}

/// Answers for some groups until the bus is closed.
async fn answer(mesh: Mesh, mut asked: Subscription, groups: Vec<usize>) {
    while let Some(question) = asked.next().await {
        let (Some(reply), Some(verb)) = (question.reply, Verb::of(&question.subject)) else {
            continue;
        };
        for &at in &groups {
            let answer = mesh.service(verb, &mesh.0.groups[at]).to_string();
            if let Err(error) = mesh.0.bus.send(Message::new(&*reply, answer)).await {
                tracing::debug!(%error, "a service could not answer");
            }
        }
    }
}

impl Verb {
    fn of(subject: &str) -> Option<Self> {
        Some(match subject.split('.').nth(1)? {
            "PING" => Self::Ping,
            "INFO" => Self::Info,
            "STATS" => Self::Stats,
            _ => return None,
        })
    }
}

impl Mesh {
    /// Says one thing of one group.
    fn service(&self, verb: Verb, own: &Own) -> Value {
        let mut metadata = own.about.metadata.clone();
        for (name, value) in [
            ("callboard.namespace", self.0.namespace.as_str()),
            ("callboard.node", self.node()),
            ("callboard.region", &self.0.ways.region),
        ] {
            metadata.insert(name.to_owned(), value.to_owned());
        }
        for (event, version) in &own.says.schemas {
            metadata.insert(format!("callboard.reads.{event}"), version.to_string());
        }
        let kind = match verb {
            Verb::Ping => "ping",
            Verb::Info => "info",
            Verb::Stats => "stats",
        };
        let mut said = json!({
            "type": format!("io.nats.micro.v1.{kind}_response"),
            "name": own.name,
            "id": **self.instance(),
            "version": own.version.to_string(),
            "metadata": metadata,
        });
        match verb {
            Verb::Ping => {}
            Verb::Info => {
                let tags: Vec<_> = own.about.tags.iter().map(String::as_str).collect();
                said["description"] = match tags[..] {
                    [] => "a group of actors".into(),
                    _ => format!("a group of actors: {}", tags.join(", ")).into(),
                };
                said["endpoints"] = self.endpoints(
                    own,
                    |command| json!({ "metadata": { "callboard.command": command } }),
                );
            }
            Verb::Stats => {
                // Not to the nanosecond: the Python client reads no more than this.
                let started = humantime::format_rfc3339_micros(self.0.started);
                said["started"] = started.to_string().into();
                said["endpoints"] = self.endpoints(own, |command| self.statistics(command));
            }
        }
        said
    }

    /// Describes each command of a group, with something beside its address.
    fn endpoints(&self, own: &Own, beside: impl Fn(&str) -> Value) -> Value {
        let endpoint = |command: &&'static str| {
            let (domain, name) = command.split_once('.').unwrap_or((command, ""));
            let mut endpoint = beside(command);
            endpoint["name"] = name.into();
            endpoint["subject"] = self.0.namespace.command_named(command).into();
            endpoint["queue_group"] = domain.into();
            endpoint
        };
        own.says.answers.iter().map(endpoint).collect()
    }

    fn statistics(&self, command: &str) -> Value {
        let told = self.0.ways.traffic.told(command);
        let nanos = u64::try_from(told.time.as_nanos()).unwrap_or(u64::MAX);
        json!({
            "num_requests": told.requests,
            "num_errors": told.errors,
            "last_error": told.last_error,
            "processing_time": nanos,
            "average_processing_time": nanos.checked_div(told.requests).unwrap_or(0),
            // It may be left out, but the Python client misses it.
            "data": {},
        })
    }
}
