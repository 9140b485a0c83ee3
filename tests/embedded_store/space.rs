//! How much room a store takes, on disk and in memory.

use crate::{
    kit::{Verdict, config, consumer, fill, opened, order, run, taken},
    support::folder::Folder,
};
use callboard::{
    bus::{Bus, Durability, Expect, Store, Stream, StreamConfig},
    time::Clock,
};
use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

fn size(folder: &Path) -> Result<u64, std::io::Error> {
    Ok(fs::metadata(folder.join("callboard.sqlite"))?.len())
}

async fn quick(folder: &Path) -> Result<Bus, Box<dyn Error>> {
    Ok(Bus::embedded_at(
        Store::at(folder).durability(Durability::EVERY_SECOND),
    )?)
}

#[test]
fn what_is_replaced_makes_room() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let bus = quick(folder.path()).await?;
        let mut latest = StreamConfig::new("LATEST", ["latest.*".to_owned()]);
        latest.last_per_subject = true;
        let latest = bus.stream(&latest).await?;
        for number in 0..2_000 {
            let mut message = order("a", &number.to_string());
            message.subject = format!("latest.{}", number % 4);
            message.payload = vec![b'x'; 20_000].into();
            latest.append(message, Expect::Any).await?;
        }
        assert_eq!(latest.info().await?.messages, 4);
        drop((bus, latest));
        let bytes = size(folder.path())?;
        assert!(
            bytes < 4_000_000,
            "40 MB were written, and {bytes} are there"
        );
        let found = Store::at(folder.path()).check()?;
        assert_eq!((found.messages, found.faults), (4, vec![]));
        Ok(())
    })
}

#[test]
fn what_is_taken_back_makes_room_while_the_bus_is_open() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let bus = quick(folder.path()).await?;
        let subjects = ["jobs.*", "later.*"].map(ToOwned::to_owned);
        let mut config = StreamConfig::new("JOBS", subjects);
        (config.schedules, config.immutable) = (true, false);
        let jobs = bus.stream(&config).await?;
        let far = Clock::system().now() + Duration::from_hours(1);
        for number in 0..500 {
            let mut timer = order("a", &number.to_string()).scheduled(far, "jobs.a");
            timer.subject = format!("later.{number}");
            timer.payload = vec![b'x'; 20_000].into();
            jobs.append(timer, Expect::Any).await?;
        }
        for number in 0..500 {
            assert!(jobs.cancel(&format!("later.{number}")).await?);
        }
        let deadline = Instant::now() + crate::kit::SOON;
        loop {
            let stats = rusqlite::Connection::open(folder.path().join("callboard.sqlite"))?;
            let pages: i64 = stats.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            if pages < 600 {
                break;
            }
            assert!(Instant::now() < deadline, "{pages} pages are still there");
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(jobs.info().await?.messages, 0);
        drop((bus, jobs));
        let stats = Store::at(folder.path()).stats()?;
        assert_eq!(
            (stats.streams[0].subjects, stats.streams[0].scheduled),
            (0, 0)
        );
        let (before, after) = Store::at(folder.path()).compact()?;
        assert!(after <= before && after < 100_000, "{before} {after}");
        Ok(())
    })
}

/// Appends so much in large messages, and returns how long the slowest one took.
async fn fill_with_large_ones(
    stream: &Stream,
    from: u64,
    count: u64,
) -> Result<Duration, Box<dyn Error>> {
    let mut longest = Duration::ZERO;
    for number in from..from + count {
        let mut message = order("o-1", &number.to_string());
        message.payload = vec![b'x'; 200_000].into();
        let start = Instant::now();
        stream.append(message, Expect::Any).await?;
        longest = longest.max(start.elapsed());
    }
    Ok(longest)
}

/// Another program looks at the database for as long as it likes.
#[test]
fn a_long_look_from_outside_holds_nobody_up() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let bus = quick(folder.path()).await?;
        let stream = bus.stream(&config()).await?;
        fill_with_large_ones(&stream, 0, 1).await?;
        let outside = rusqlite::Connection::open(folder.path().join("callboard.sqlite"))?;
        outside.execute_batch("BEGIN")?;
        let count = "SELECT count(*) FROM messages";
        let seen: i64 = outside.query_row(count, [], |row| row.get(0))?;
        let longest = fill_with_large_ones(&stream, 1, 400).await?;
        assert!(longest < Duration::from_secs(3), "one took {longest:?}");
        let same: i64 = outside.query_row(count, [], |row| row.get(0))?;
        assert_eq!((seen, same), (1, 1), "it sees what was there");
        outside.execute_batch("COMMIT")?;
        drop(outside);
        // What could not be moved meanwhile makes room again.
        let log = folder.path().join("callboard.sqlite-wal");
        let deadline = Instant::now() + crate::kit::SOON;
        let mut number = 401;
        while fs::metadata(&log)?.len() > 32 * 1024 * 1024 {
            assert!(Instant::now() < deadline, "the log stays as long as it was");
            fill_with_large_ones(&stream, number, 1).await?;
            number += 1;
        }
        Ok(())
    })
}

/// A sync waits for the disk also when all that comes with it stores nothing.
#[test]
fn what_is_stored_already_leaves_nothing_unsynced() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let never = Durability::Interval(Duration::from_hours(1));
        let bus = Bus::embedded_at(Store::at(folder.path()).durability(never))?;
        let stream = bus.stream(&config()).await?;
        fill(&stream, "o-1", 1).await?;
        let outside = rusqlite::Connection::open(folder.path().join("callboard.sqlite"))?;
        let syncs = || {
            let sql = "SELECT value FROM meta WHERE name = 'syncs'";
            outside.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        let again = async |key: usize| {
            loop {
                let known = crate::kit::append(&stream, &format!("o-{key}"), "1").await;
                assert_eq!(known, Ok(crate::kit::known(1)));
            }
        };
        let before = syncs()?;
        let close = async {
            for _ in 0..50 {
                bus.close().await;
            }
        };
        tokio::select! {
            () = close => {}
            _ = futures_util::future::join_all((0..16).map(again)) => {}
        }
        let done = syncs()? - before;
        assert_eq!(done, 50, "each sync has a commit of its own to wait for");
        Ok(())
    })
}

#[test]
fn stats_tell_what_is_there_and_where_consumers_stand() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        for key in ["a", "b"] {
            for number in 1..=3 {
                stream
                    .append(order(key, &format!("{key}{number}")), Expect::Any)
                    .await?;
            }
        }
        let mut reader = consumer(&stream).await?;
        let held = taken(&mut reader).await?;
        taken(&mut reader).await?.ack_confirmed().await?;
        drop((bus, stream, reader, held));
        let stats = Store::at(folder.path()).stats()?;
        let [orders] = &stats.streams[..] else {
            return Err(format!("{stats:?}").into());
        };
        let counted = (orders.messages, orders.last_sequence, orders.subjects);
        assert_eq!((orders.name.as_str(), counted), ("ORDERS", (6, 6, 2)));
        let place = &orders.consumers[0];
        assert_eq!(
            (place.name.as_str(), place.delivered, place.outstanding),
            ("c", 2, 1)
        );
        Ok(())
    })
}

#[test]
fn a_consumer_far_behind_gets_everything_in_order() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let bus = quick(folder.path()).await?;
        let stream = bus.stream(&config()).await?;
        fill_many(&stream, 10_000).await?;
        let mut reader = consumer(&stream).await?;
        let mut partition = callboard::bus::ConsumerConfig::new("p");
        partition.partition = Some(callboard::bus::partition("o-3", 8));
        let mut part = stream.consumer(&partition).await?;
        for sequence in 1..=5_000 {
            let delivery = taken(&mut reader).await?;
            assert_eq!((delivery.message.sequence, delivery.attempt), (sequence, 1));
            delivery.ack().await?;
        }
        fill(&stream, "late", 10).await?;
        for sequence in 5_001..=10_010 {
            let delivery = taken(&mut reader).await?;
            assert_eq!(delivery.message.sequence, sequence);
            assert!(
                delivery.pending >= 10_010 - sequence,
                "{}",
                delivery.pending
            );
            delivery.ack().await?;
        }
        let mut last = 0;
        loop {
            let delivery = taken(&mut part).await?;
            assert!(delivery.message.sequence > last);
            last = delivery.message.sequence;
            let pending = delivery.pending;
            delivery.ack().await?;
            if pending == 0 {
                break;
            }
        }
        let of_part = stream.read("orders.o-3", 1).await?.all().await?;
        assert!(of_part.last().is_some_and(|of| of.sequence <= last));
        Ok(())
    })
}

async fn fill_many(stream: &Stream, count: u64) -> Verdict {
    let lines = (0..64_u64).map(async |line| {
        let mut number = line;
        while number < count {
            let mut message = order(&format!("o-{}", number % 50), &format!("n-{number}"));
            message.payload = vec![b'x'; 200].into();
            stream.append(message, Expect::Any).await?;
            number += 64;
        }
        Ok::<_, callboard::bus::AppendError>(())
    });
    for ended in futures_util::future::join_all(lines).await {
        ended?;
    }
    Ok(())
}

/// How much memory this process has, in bytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? * 1_024)
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "a million events take half a minute to write"]
fn a_store_with_a_million_events_opens_in_half_a_second_and_takes_no_memory() -> Verdict {
    let folder = Folder::fresh();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let count: u64 =
        std::env::var("CALLBOARD_TEST_EVENTS").map_or(Ok(1_000_000), |text| text.parse())?;
    runtime.block_on(async {
        let bus = quick(folder.path()).await?;
        let stream = bus.stream(&config()).await?;
        fill_many(&stream, count).await?;
        drop(consumer(&stream).await?);
        Ok::<_, Box<dyn Error>>(())
    })?;
    let before = resident()?;
    let start = Instant::now();
    let (_bus, stream) = runtime.block_on(opened(folder.path()))?;
    let mut reader = runtime.block_on(consumer(&stream))?;
    let first = runtime.block_on(taken(&mut reader))?;
    let took = start.elapsed();
    let grown = resident()?.saturating_sub(before);
    eprintln!("{count} events: {took:?} to open and to get the first, {grown} bytes of memory");
    assert_eq!(first.message.sequence, 1);
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes");
    Ok(())
}
