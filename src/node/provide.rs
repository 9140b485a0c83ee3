//! Streams and consumers as the groups need them: compared, and made.

use super::{NodeError, Plan, listeners::Listener, operation::Setup, plan::PlanItem};
use crate::{
    actor::{Begins, reads_jobs},
    bus::{Bus, ConsumerConfig, PARTITIONS, Presence, StreamConfig},
    call::Client,
    message::Namespace,
    saga::reads_errands,
    supervision::{Group, Needs},
};
use std::collections::BTreeSet;

/// Everything that a node's groups need, as it is declared.
#[derive(Debug)]
pub(super) struct Declared {
    bus: Bus,
    streams: Vec<StreamConfig>,
    /// Each stream that a reaction reads, and who reads it.
    readers: Vec<(StreamConfig, Listener)>,
    /// Each stream of jobs, or of what wakes sagas, and what reads it.
    workers: Vec<(StreamConfig, Vec<ConsumerConfig>)>,
    client: Client,
}

impl Setup {
    /// Returns what its groups need.
    pub(super) fn needs(&self) -> Declared {
        let (namespace, replicas) = (&self.namespace, self.replicas);
        let needs: Vec<_> = self
            .groups
            .iter()
            .map(|group| (group, group.needs()))
            .collect();
        let all = needs.iter().map(|(_, needs)| needs);
        let events = |domain: &str| StreamConfig::events(namespace, domain).replicas(replicas);
        let mut streams: Vec<_> = domains(all.clone()).into_iter().map(events).collect();
        streams.extend(
            jobs(&needs)
                .iter()
                .map(|domain| StreamConfig::jobs(namespace, domain)),
        );
        let sagas = all.clone().flat_map(|needs| needs.sagas.keys());
        streams.extend(sagas.flat_map(|saga| {
            [
                StreamConfig::sagas(namespace, saga),
                StreamConfig::errands(namespace, saga),
            ]
        }));
        streams.extend(common(namespace));
        let streams = streams
            .into_iter()
            .map(|stream| stream.replicas(replicas))
            .collect();
        let workers = workers(namespace, &needs)
            .into_iter()
            .map(|(stream, consumers)| (stream.replicas(replicas), consumers))
            .collect();
        let readers = all.flat_map(listeners);
        let readers = readers.map(|listener| (events(listener.domain), listener));
        let readers = readers.collect();
        let client = Client::new(self.bus.clone(), self.namespace.clone()).replicas(replicas);
        Declared { bus: self.bus.clone(), streams, readers, workers, client }
    }

    /// Returns who hears events.
    pub(super) fn listeners(&self) -> Vec<Listener> {
        let needs = self.groups.iter().map(Group::needs);
        needs.flat_map(|needs| listeners(&needs)).collect()
    }
}

/// Returns the streams of jobs and of what wakes sagas, and what reads them.
fn workers(
    namespace: &Namespace,
    needs: &[(&Group, Needs)],
) -> Vec<(StreamConfig, Vec<ConsumerConfig>)> {
    let jobs = jobs(needs).into_iter().map(|domain| {
        let consumers = (0..PARTITIONS).map(reads_jobs);
        (StreamConfig::jobs(namespace, domain), consumers.collect())
    });
    let sagas = needs.iter().flat_map(|(_, needs)| &needs.sagas);
    let sagas = sagas.map(|(saga, needs)| {
        let consumers = vec![reads_errands(
            (namespace, saga),
            needs.lease,
            needs.in_flight,
        )];
        (StreamConfig::errands(namespace, saga), consumers)
    });
    jobs.chain(sagas).collect()
}

fn listeners(needs: &Needs) -> Vec<Listener> {
    let hears = needs.hears.iter();
    let listener = |(&(ref path, domain), (begins, formerly)): (&(String, _), &(Begins, _))| {
        let (path, formerly) = (path.clone(), Option::clone(formerly));
        Listener { path, domain, begins: *begins, formerly }
    };
    hears.map(listener).collect()
}

/// Returns the domains whose events are told or heard.
fn domains<'a>(all: impl Iterator<Item = &'a Needs>) -> BTreeSet<&'static str> {
    all.flat_map(|needs| {
        needs
            .answers
            .iter()
            .chain(needs.hears.keys().map(|(_, domain)| domain))
    })
    .copied()
    .collect()
}

/// Returns the domains that have jobs: all that are answered, and those of
/// groups that repeat something.
fn jobs<'a>(needs: &'a [(&'a Group, Needs)]) -> BTreeSet<&'a str> {
    let own = needs.iter().filter(|(_, needs)| needs.repeats);
    let own = own.map(|(group, _)| group.name());
    let answered = needs
        .iter()
        .flat_map(|(_, needs)| needs.answers.iter().copied());
    own.chain(answered).collect()
}

/// Returns the streams that every node may need.
fn common(namespace: &Namespace) -> [StreamConfig; 4] {
    [
        StreamConfig::dead(namespace),
        StreamConfig::parked(namespace),
        StreamConfig::snapshots(namespace),
        StreamConfig::skipped(namespace),
    ]
}

/// Compares what is needed with what is there.
pub(super) async fn compare(needs: &Declared) -> Result<Plan, NodeError> {
    let mut items = Vec::new();
    let snapshots = needs.client.namespace().snapshot_stream();
    for stream in &needs.streams {
        let found = needs.bus.compare(stream).await?;
        items.push(PlanItem {
            kind: "stream",
            name: stream.name.clone(),
            found,
            made: false,
            // Jobs are in partitions; what sagas wait for is not.
            on_demand: stream.name == snapshots || (stream.schedules && stream.partitions == 0),
            past: None,
        });
    }
    for (stream, listener) in &needs.readers {
        let consumers = &listener.consumers();
        let found = compare_all(&needs.bus, stream, consumers).await?;
        let past = listener.past(&needs.bus, needs.client.namespace()).await?;
        items.push(PlanItem {
            kind: "consumers",
            name: named(stream, consumers),
            found,
            made: false,
            on_demand: false,
            past,
        });
    }
    for (stream, consumers) in &needs.workers {
        items.push(PlanItem {
            kind: "consumers",
            name: named(stream, consumers),
            found: compare_all(&needs.bus, stream, consumers).await?,
            made: false,
            on_demand: false,
            past: None,
        });
    }
    Ok(Plan { items })
}

/// Compares, and makes what is missing.
pub(super) async fn apply(needs: &Declared) -> Result<Plan, NodeError> {
    let mut plan = compare(needs).await?;
    let (streams, consumers) = plan.items.split_at_mut(needs.streams.len());
    let (readers, workers) = consumers.split_at_mut(needs.readers.len());
    for (item, config) in streams.iter_mut().zip(&needs.streams) {
        if item.found == Presence::Missing {
            needs.bus.stream(config).await?;
            item.made = true;
        }
    }
    for (item, (stream, listener)) in readers.iter_mut().zip(&needs.readers) {
        if item.found == Presence::Missing && needs.bus.compare(stream).await? == Presence::Same {
            listener.settle(&needs.client).await?;
            let stream = needs.bus.stream(stream).await?;
            for consumer in listener.consumers() {
                stream.consumer(&consumer).await?;
            }
            item.made = true;
        }
    }
    for (item, (stream, consumers)) in workers.iter_mut().zip(&needs.workers) {
        if item.found == Presence::Missing && needs.bus.compare(stream).await? == Presence::Same {
            let stream = needs.bus.stream(stream).await?;
            for consumer in consumers {
                stream.consumer(consumer).await?;
            }
            item.made = true;
        }
    }
    Ok(plan)
}

/// Compares the consumers of one reader: all are as the worst of them is.
async fn compare_all(
    bus: &Bus,
    stream: &StreamConfig,
    consumers: &[ConsumerConfig],
) -> Result<Presence, NodeError> {
    let mut worst = Presence::Same;
    for consumer in consumers {
        match bus.compare_consumer(stream, consumer).await? {
            Presence::Same => {}
            Presence::Missing => worst = Presence::Missing,
            differs @ Presence::Differs { .. } => return Ok(differs),
        }
    }
    Ok(worst)
}

fn named(stream: &StreamConfig, consumers: &[ConsumerConfig]) -> String {
    if let [only] = consumers {
        return format!("{} of {}", only.name, stream.name);
    }
    let first = consumers.first().map(|first| first.name.as_str());
    let reader = first
        .and_then(|name| name.rsplit_once('_'))
        .map_or("", |(reader, _)| reader);
    format!(
        "{reader}_0..{} of {}",
        consumers.len().saturating_sub(1),
        stream.name
    )
}
