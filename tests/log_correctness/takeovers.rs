//! A reader is paused while it waits for what a dead one held.

use crate::{
    Verdict,
    readers::{PARTITIONS, PATIENCE, Reader, Readers, Trial, namespace},
    support::nats::Server,
    walks::{check, walk},
};
use callboard::{Bus, Client};
use std::{error::Error, time::Duration};
use tokio::time::{Instant, sleep};

/// How many walks begin at a time.
const AT_ONCE: u32 = 16;
const STEPS: u32 = 4;

/// Begins walks until others read them in all partitions, and returns these.
///
/// The first of them come to a reader that is gone: the server does not know yet.
async fn begin_until_taken_over(
    trial: &mut Trial,
    from: &Reader,
) -> Result<Readers, Box<dyn Error>> {
    let (start, mut readers) = (Instant::now(), Readers::default());
    readers.seen = trial
        .client
        .events("prints")
        .await?
        .info()
        .await?
        .last_sequence;
    loop {
        let walks = trial.walks..trial.walks + AT_ONCE;
        trial.walks = walks.end;
        walk(&trial.client, walks, 0..1).await?;
        let by = readers.look(&trial.client).await?;
        if by.len() == PARTITIONS as usize && by.values().all(|name| name != from.name) {
            let walks = trial.walks;
            eprintln!("{} was gone after {walks} walks, {by:?} read", from.name);
            return Ok(readers);
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("nobody takes over from {}: {by:?}", from.name).into());
        }
        sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_was_paused_while_it_waited_for_older_events_keeps_the_order() -> Verdict {
    let server = Server::start();
    let client = Client::new(Bus::nats(server.url()).await?, namespace());
    let mut trial = Trial { client, walks: 64 };
    let mut readers = Vec::new();
    for name in ["one", "two", "three"] {
        readers.push(Reader::start(name, &server.url(), 1)?);
    }
    trial.walk(0..1).await?;
    trial.until(trial.total(1)).await?;

    let mut dead = trial.busiest(&mut readers).await?;
    dead.signal("-STOP")?;
    let now = begin_until_taken_over(&mut trial, &dead).await?;
    dead.kill()?;
    // These come after what the dead one held: its successors wait with them.
    trial.walk(1..2).await?;
    let begun = trial.walks;

    let paused = now.busiest(&mut readers)?;
    paused.signal("-STOP")?;
    begin_until_taken_over(&mut trial, &paused).await?;
    paused.signal("-CONT")?;
    readers.push(paused);
    walk(&trial.client, begun..trial.walks, 1..2).await?;
    trial.walk(2..STEPS).await?;
    trial.until(trial.total(STEPS)).await?;
    for reader in readers {
        reader.stop()?;
    }
    check(&trial.client, trial.walks, STEPS).await
}
