//! Processes that are killed between any two writes, looked at by a reader of
//! the database that is not part of the library.

use crate::{
    crash::child,
    kit::{SOON, Verdict, config, order, run},
    support::folder::Folder,
};
use callboard::bus::{Append, Bus, ConsumerConfig, Expect, Message, Store, Stream, StreamConfig};
use rusqlite::Connection;
use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    path::Path,
};
use tokio::{task::JoinSet, time::timeout};

const COUNT: u64 = 400;

fn outcomes() -> StreamConfig {
    StreamConfig::new("OUTCOMES", ["outcomes.*".to_owned()])
}

/// Appends orders and handles them when it is started for that: each has one
/// consequence, whose id is derived from that of the order.
#[test]
fn handles_until_killed() -> Verdict {
    let Some(folder) = env::var_os(crate::crash::FOLDER) else {
        return Ok(());
    };
    run(async {
        let bus = Bus::embedded_at(Store::at(folder))?;
        let (orders, outcomes) = (bus.stream(&config()).await?, bus.stream(&outcomes()).await?);
        let mut placed = JoinSet::new();
        placed.spawn(place(orders.clone()));
        let mut consumer = orders.consumer(&ConsumerConfig::new("handler")).await?;
        let mut done = outcomes.info().await?.messages;
        while done < COUNT {
            let delivery = timeout(SOON, consumer.next()).await??;
            let id = String::from_utf8(delivery.message.payload.to_vec())?;
            match outcomes.append(consequence(&id), Expect::Any).await? {
                Append::Committed { duplicate: false, .. } => done += 1,
                Append::Committed { .. } => {}
                other => return Err(format!("{id}: {other:?}").into()),
            }
            writeln!(io::stdout().lock(), "handled {id}")?;
            delivery.ack().await?;
        }
        while let Some(placed) = placed.join_next().await {
            placed?.map_err(|error| error.to_string())?;
        }
        drop((consumer, orders, outcomes));
        bus.close().await;
        writeln!(io::stdout().lock(), "all done")?;
        Ok(())
    })
}

async fn place(orders: Stream) -> Result<(), Box<dyn Error + Send + Sync>> {
    for number in 1..=COUNT {
        let (key, id) = (format!("o-{}", number % 7), number.to_string());
        orders.append(order(&key, &id), Expect::Any).await?;
    }
    Ok(())
}

fn consequence(id: &str) -> Message {
    let mut message = order(id, &format!("{id}/0"));
    message.subject = format!("outcomes.{id}");
    message
}

/// Lets a process go on for so many lines, then kills it; says whether it was
/// done before.
fn killed_after(folder: &Path, lines: usize) -> Result<bool, Box<dyn Error>> {
    let mut child = child("kills::handles_until_killed", folder, false)?;
    let out = child.stdout.take().ok_or("no output")?;
    let mut said = BufReader::new(out).lines().map_while(Result::ok);
    let handled = said.by_ref().filter(|line| line.contains("handled"));
    let ended = handled.take(lines).count() < lines;
    child.kill()?;
    child.wait()?;
    Ok(ended)
}

fn payloads(database: &Connection, stream: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut all = database
        .prepare("SELECT CAST(payload AS TEXT) FROM messages WHERE stream = ? ORDER BY sequence")?;
    all.query_map([stream], |row| row.get(0))?.collect()
}

/// Compares the tables with each other, as somebody who knows nothing but them.
fn look(folder: &Path) -> Result<usize, Box<dyn Error>> {
    let database = Connection::open(folder.join("callboard.sqlite"))?;
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    assert_eq!(whole, "ok");
    let placed = payloads(&database, "ORDERS")?;
    let expected: Vec<_> = (1..=placed.len())
        .map(|number| number.to_string())
        .collect();
    assert_eq!(
        placed, expected,
        "each order is there once and in its place"
    );
    let mut handled = payloads(&database, "OUTCOMES")?;
    let count = handled.len();
    handled.sort_unstable();
    handled.dedup();
    assert_eq!(handled.len(), count, "a consequence is there twice");
    let settled = "SELECT count(*) FROM consumer
         JOIN message ON message.key >> 40 = consumer.stream
         WHERE (message.key & 1099511627775) <= consumer.next
         AND NOT EXISTS(SELECT 1 FROM delivered WHERE delivered.stream = consumer.stream
             AND delivered.sequence = (message.key & 1099511627775))
         AND CAST(message.payload AS TEXT) || '/0' NOT IN
             (SELECT CAST(payload AS TEXT) FROM messages WHERE stream = 'OUTCOMES')";
    let lost: i64 = database.query_row(settled, [], |row| row.get(0))?;
    assert_eq!(lost, 0, "an order is settled and has no consequence");
    Ok(count)
}

#[test]
fn whatever_write_it_is_killed_at_each_consequence_is_stored_once() -> Verdict {
    let folder = Folder::fresh();
    let mut seen = 0;
    for round in 0..24 {
        if killed_after(folder.path(), 1 + round * 5 % 17)? {
            break;
        }
        let now = look(folder.path())?;
        assert!(now >= seen, "{now} after {seen}");
        seen = now;
        let found = Store::at(folder.path()).check()?;
        assert_eq!(found.faults, Vec::<String>::new());
    }
    while !killed_after(folder.path(), usize::MAX)? {}
    assert_eq!(look(folder.path())?, usize::try_from(COUNT)?);
    Ok(())
}
