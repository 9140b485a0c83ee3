//! Many writers want the same place; one gets it.

use crate::{Verdict, support::folder::Folder};
#[cfg(feature = "nats")]
use crate::{
    cluster::{opened, three},
    support::nats::Server,
};
use callboard::{
    Bus,
    bus::{Append, Expect, Message, Stream, StreamConfig},
    message::{Headers, headers},
};
use tokio::task::JoinSet;

const KEYS: u32 = 20;
const ROUNDS: u32 = 100;
const WRITERS: u32 = 6;

fn config() -> StreamConfig {
    let mut config = StreamConfig::new("ORDERS", ["orders.*".to_owned()]);
    config.partitions = 8;
    config
}

/// Lets six writers race for each of a hundred places of a key.
async fn race(stream: Stream, key: u32) -> Result<(), String> {
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let mut named = Headers::new();
            let id = format!("{key}-{round}-{writer}");
            named
                .insert(headers::MSG_ID, id.clone())
                .map_err(|error| error.to_string())?;
            let claim = Message::new(format!("orders.o-{key}"), id).headers(named);
            let stream = stream.clone();
            writers.spawn(async move { stream.append(claim, Expect::Last(last)).await });
        }
        let mut won = Vec::new();
        for ended in writers.join_all().await {
            match ended.map_err(|error| error.to_string())? {
                Append::Conflict => {}
                Append::Committed { sequence, duplicate: false } => won.push(sequence),
                other => return Err(format!("{key} in round {round}: {other:?}")),
            }
        }
        match won[..] {
            [sequence] => last = sequence,
            _ => {
                return Err(format!(
                    "{key} in round {round}: {won:?} were all told they won"
                ));
            }
        }
    }
    Ok(())
}

/// Runs 2,000 races of 6 writers on 20 keys, and counts what is stored.
async fn races(stream: Stream) -> Verdict {
    let mut keys = JoinSet::new();
    for key in 0..KEYS {
        keys.spawn(race(stream.clone(), key));
    }
    for ended in keys.join_all().await {
        ended?;
    }
    for key in 0..KEYS {
        let stored = stream
            .read(&format!("orders.o-{key}"), 1)
            .await?
            .all()
            .await?;
        assert_eq!(
            stored.len(),
            ROUNDS as usize,
            "one winner for each place of {key}"
        );
    }
    eprintln!(
        "{} races, {} appends, one winner each",
        KEYS * ROUNDS,
        KEYS * ROUNDS * WRITERS
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_six_writers_wins_in_memory() -> Verdict {
    races(Bus::embedded().stream(&config()).await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_six_writers_wins_in_a_directory() -> Verdict {
    let folder = Folder::fresh();
    races(Bus::embedded_at(folder.path())?.stream(&config()).await?).await
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_six_writers_wins_on_a_server() -> Verdict {
    let server = Server::start();
    races(Bus::nats(server.url()).await?.stream(&config()).await?).await
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_six_writers_wins_on_three_servers() -> Verdict {
    let servers = three();
    let addresses: Vec<_> = servers.iter().map(|(_, server)| server.url()).collect();
    let bus = Bus::nats(addresses.join(",")).await?;
    races(opened(&bus, &config().replicas(3)).await?).await
}
