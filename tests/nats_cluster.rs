//! What replicated streams answer: the same as single ones.

#![cfg(feature = "nats")]

mod support;

use callboard::{
    Client,
    bus::{Append, Bus, Expect, Message, Stream, StreamConfig},
    message::{Headers, headers},
};
use std::{error::Error, time::Duration};
use support::nats::Server;
use tokio::{task::JoinSet, time::Instant};

type Verdict = Result<(), Box<dyn Error>>;

const ELECTION: Duration = Duration::from_mins(1);

fn message(id: &str) -> Message {
    let mut named = Headers::new();
    let sound = named.insert(headers::MSG_ID, id);
    assert_eq!(sound, Ok(()));
    Message::new("orders.o-1", id.to_owned()).headers(named)
}

const fn committed(sequence: u64, duplicate: bool) -> Append {
    Append::Committed { sequence, duplicate }
}

fn three() -> Vec<Server> {
    Server::three("")
        .into_iter()
        .map(|(_, server)| server)
        .collect()
}

/// Opens a stream with three copies as soon as the servers have found each other.
async fn replicated(bus: &Bus) -> Result<Stream, Box<dyn Error>> {
    let mut config = StreamConfig::new("ORDERS", ["orders.*".to_owned()]).replicas(3);
    config.partitions = 4;
    let start = Instant::now();
    loop {
        match bus.stream(&config).await {
            Ok(stream) => return Ok(stream),
            Err(error) if start.elapsed() > ELECTION => return Err(error.into()),
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicated_stream_gives_the_verdicts_of_a_single_one() -> Verdict {
    let servers = three();
    let addresses: Vec<_> = servers.iter().map(Server::url).collect();
    let bus = Bus::nats(addresses.join(",")).await?;
    let stream = replicated(&bus).await?;
    let append = async |id: &str, last| stream.append(message(id), Expect::Last(last)).await;
    assert_eq!(append("1", 0).await?, committed(1, false));
    assert_eq!(append("1", 0).await?, committed(1, true));
    assert_eq!(append("1", 99).await?, committed(1, true));
    // A conflict leaves the id and the subject usable.
    for _ in 0..3 {
        assert_eq!(append("2", 0).await?, Append::Conflict);
    }
    assert_eq!(append("2", 9).await?, Append::Conflict);
    assert_eq!(append("2", 1).await?, committed(2, false));
    assert_eq!(append("2", 0).await?, committed(2, true));
    race(&stream, 2).await?;
    Ok(())
}

/// Lets six writers want the same place again and again: one of them gets it.
async fn race(stream: &Stream, mut last: u64) -> Verdict {
    for round in 0..50 {
        let mut writers = JoinSet::new();
        for writer in 0..6 {
            let (stream, claim) = (stream.clone(), message(&format!("{round}-{writer}")));
            writers.spawn(async move { stream.append(claim, Expect::Last(last)).await });
        }
        let mut won = Vec::new();
        for ended in writers.join_all().await {
            match ended? {
                Append::Conflict => {}
                Append::Committed { sequence, duplicate: false } => won.push(sequence),
                other => return Err(format!("round {round}: {other:?}").into()),
            }
        }
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        last = won[0];
    }
    assert_eq!(stream.read("orders.o-1", 1).await?.all().await?.len(), 52);
    Ok(())
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Rang {
    bell: String,
}

impl callboard::Event for Rang {
    const SUBJECT: callboard::Subject = callboard::Subject::new("bells.rang");

    fn key(&self) -> std::borrow::Cow<'_, str> {
        std::borrow::Cow::Borrowed(&self.bell)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_node_takes_streams_as_nodes_made_them() -> Verdict {
    let servers = three();
    let addresses: Vec<_> = servers.iter().map(Server::url).collect();
    let bus = Bus::nats(addresses.join(",")).await?;
    replicated(&bus).await?;
    let client = Client::new(bus.clone(), "shop".parse()?);
    let config = StreamConfig::events(client.namespace(), "bells").replicas(3);
    bus.stream(&config).await?;
    client.publish(Rang { bell: "b-1".into() }).await?;
    assert_eq!(client.events("bells").await?.info().await?.messages, 1);
    Ok(())
}
