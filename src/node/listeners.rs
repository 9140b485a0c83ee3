//! Listeners that are new: what becomes of the events from before they were there.

use super::NodeError;
use crate::{
    actor::{Begins, reads},
    bus::{
        Bus, ConsumerConfig, ConsumerError, PARTITIONS, Progress, Start, Stream, StreamConfig,
        StreamError,
    },
    call::{Client, ParkRecord, ParkingError, Parks, open_as_declared},
    message::{Act, Namespace},
};
use futures_util::future::try_join_all;
use std::{collections::BTreeMap, fmt};

/// An actor that hears events of a domain, and where it begins if it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) path: String,
    pub(super) domain: &'static str,
    pub(super) begins: Begins,
    /// The path under which it was known before.
    pub(super) formerly: Option<String>,
}

/// What a listener that is new makes of the events that are there already.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Past {
    /// It hears them, those that it has a handler for.
    Heard {
        /// How many there are in the domain.
        events: u64,
    },
    /// It leaves them.
    Left {
        /// How many there are in the domain.
        events: u64,
    },
    /// It goes on where another listener stood: it was renamed.
    TakenOver {
        /// The path of the other one.
        from: String,
    },
}

impl fmt::Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard { events } => write!(f, "new, will hear {events} old events"),
            Self::Left { events } => write!(f, "new, leaves {events} old events"),
            Self::TakenOver { from } => write!(f, "new, goes on where `{from}` stood"),
        }
    }
}

impl Listener {
    /// Describes its consumers.
    pub(super) fn consumers(&self) -> Vec<ConsumerConfig> {
        (0..PARTITIONS)
            .map(|partition| reads(&self.path, partition, self.begins))
            .collect()
    }

    /// Returns what it makes of the past; nothing if it is not new, or there is none.
    pub(super) async fn past(
        &self,
        bus: &Bus,
        namespace: &Namespace,
    ) -> Result<Option<Past>, NodeError> {
        let config = StreamConfig::events(namespace, self.domain);
        if !bus.has_stream(&config.name).await? {
            return Ok(None);
        }
        // It looks, and makes nothing.
        let stream = match open_as_declared(&bus.provisioned(), config).await {
            Ok(stream) => stream,
            // The plan says so, and nothing is changed.
            Err(StreamError::Differs { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if self.place(&stream, &self.path, 0).await?.is_some() {
            return Ok(None);
        }
        if let Some(from) = &self.formerly
            && self.place(&stream, from, 0).await?.is_some()
        {
            return Ok(Some(Past::TakenOver { from: from.clone() }));
        }
        let events = stream.info().await?.messages;
        Ok(match self.begins {
            _ if events == 0 => None,
            Begins::AtTheOldest => Some(Past::Heard { events }),
            Begins::Now => Some(Past::Left { events }),
        })
    }

    /// Makes its consumers where it is to begin, if it is new; the first one last,
    /// by which it is known to be there.
    pub(super) async fn settle(&self, client: &Client) -> Result<(), NodeError> {
        let past = self.past(client.bus(), client.namespace()).await?;
        let child = &*self.path;
        if let Some(past) = &past {
            tracing::warn!(child, domain = self.domain, "a listener is {past}");
        }
        let from = match &past {
            Some(Past::TakenOver { from }) => Some(&**from),
            _ if self.begins == Begins::AtTheOldest => return Ok(()),
            _ => None,
        };
        let stream = client.events(self.domain).await?;
        if self.place(&stream, child, 0).await?.is_some() {
            return Ok(());
        }
        if let Some(from) = from {
            self.take_keys(client, from).await?;
        }
        let others = (1..PARTITIONS).map(|partition| self.begin(&stream, from, partition));
        try_join_all(others).await?;
        Ok(self.begin(&stream, from, 0).await?)
    }

    async fn begin(
        &self,
        stream: &Stream,
        from: Option<&str>,
        partition: u32,
    ) -> Result<(), ConsumerError> {
        let mut config = reads(&self.path, partition, self.begins);
        if let Some(from) = from
            && let Some(place) = self.place(stream, from, partition).await?
        {
            config.start = Start::Sequence(place.floor + 1);
        }
        drop(stream.consumer(&config).await?);
        Ok(())
    }

    /// Returns how far a listener of this domain is in a partition.
    async fn place(
        &self,
        stream: &Stream,
        path: &str,
        partition: u32,
    ) -> Result<Option<Progress>, ConsumerError> {
        let name = reads(path, partition, self.begins).name;
        stream.progress_of(&name).await
    }

    /// Takes over the keys that are parked under another path.
    async fn take_keys(&self, client: &Client, from: &str) -> Result<(), NodeError> {
        let unreadable = |reason: String| NodeError::Parked { path: from.to_owned(), reason };
        let parks = client.parks().await?;
        let records = parked(&parks, client.namespace(), (from, self.domain)).await;
        let records = records.map_err(unreadable)?;
        for record in records.into_values() {
            let taken = self.take_key(client, &parks, &record).await;
            taken.map_err(|error| unreadable(error.to_string()))?;
        }
        Ok(())
    }

    async fn take_key(
        &self,
        client: &Client,
        parks: &Parks,
        record: &ParkRecord,
    ) -> Result<(), ParkingError> {
        let mut park = record.park.clone();
        park.child.clone_from(&self.path);
        let at = crate::bus::partition(&park.key, PARTITIONS);
        let subject = client
            .namespace()
            .park(&self.path, self.domain, at, &park.key);
        // What a reader was at is the operator's again.
        let act = match record.act {
            Act::Draining => Act::Parked,
            act => act,
        };
        match parks.append(act, &park, (subject, 0)).await {
            // It was taken over before.
            Ok(_) | Err(ParkingError::Conflict) => {}
            Err(error) => return Err(error),
        }
        let place = (record.subject.clone(), record.sequence);
        match parks.append(Act::Released, &record.park, place).await {
            Ok(_) | Err(ParkingError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Returns the last record of each key that is parked under a path.
async fn parked(
    parks: &Parks,
    namespace: &Namespace,
    (path, domain): (&str, &str),
) -> Result<BTreeMap<String, ParkRecord>, String> {
    let mut last = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let filter = namespace.park(path, domain, partition, "*");
        let records = parks.since(&filter, 1).await;
        let mut records = records.map_err(|error| error.to_string())?;
        while let Some(stored) = records.next().await.map_err(|error| error.to_string())? {
            match parks.read(&stored) {
                Some(record) if record.act == Act::Released => {
                    last.remove(&record.subject);
                }
                Some(record) => {
                    last.insert(record.subject.clone(), record);
                }
                None => {}
            }
        }
    }
    Ok(last)
}
