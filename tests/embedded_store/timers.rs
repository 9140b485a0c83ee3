//! What was scheduled when a directory is opened again.

use crate::{
    kit::{Verdict, order, run, taken},
    support::folder::Folder,
};
use callboard::{
    bus::{Bus, Consumer, ConsumerConfig, Expect, Stream, StreamConfig},
    time::Clock,
};
use std::{
    error::Error,
    path::Path,
    time::{Duration, SystemTime},
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_millis(300);
/// Until when a hundred messages are stored also on a slow disk.
const LATER: Duration = Duration::from_secs(3);
const FAR: Duration = Duration::from_hours(1);

async fn opened(path: &Path) -> Result<(Bus, Stream, Consumer), Box<dyn Error>> {
    let bus = Bus::embedded_at(path)?;
    let subjects = ["orders.*", "later.*"].map(ToOwned::to_owned);
    let mut config = StreamConfig::new("ORDERS", subjects);
    config.schedules = true;
    config.immutable = false;
    config.partitions = 8;
    let stream = bus.stream(&config).await?;
    let mut config = ConsumerConfig::new("c");
    config.filter = Some("orders.*".to_owned());
    let consumer = stream.consumer(&config).await?;
    Ok((bus, stream, consumer))
}

async fn schedule(stream: &Stream, name: &str, at: SystemTime) -> Verdict {
    let mut timer = order(name, name).scheduled(at, &format!("orders.{name}"));
    timer.subject = format!("later.{name}");
    stream.append(timer, Expect::Any).await?;
    Ok(())
}

fn now() -> SystemTime {
    Clock::system().now()
}

#[test]
fn what_fell_due_while_nothing_ran_is_passed_on_at_once_and_once() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream, consumer) = opened(folder.path()).await?;
        let due = now() + LATER;
        for name in ["fired", "cancelled", "replaced"] {
            schedule(&stream, name, due).await?;
        }
        let mut later = order("replaced", "newer").scheduled(now() + FAR, "orders.replaced");
        later.subject = "later.replaced".to_owned();
        stream.append(later, Expect::Any).await?;
        assert!(stream.cancel("later.cancelled").await?);
        drop((bus, stream, consumer));
        while now() <= due {
            tokio::task::yield_now().await;
        }
        let (bus, stream, mut consumer) = opened(folder.path()).await?;
        let fired = taken(&mut consumer).await?;
        assert_eq!(fired.message.subject, "orders.fired");
        assert_eq!(fired.message.headers.get("x"), Some("y"));
        fired.ack_confirmed().await?;
        drop((bus, stream, consumer));
        let (_bus, stream, mut consumer) = opened(folder.path()).await?;
        assert!(timeout(SOON, consumer.next()).await.is_err());
        assert_eq!(stream.last("later.fired").await?, None);
        assert_eq!(stream.last("later.cancelled").await?, None);
        let left = stream.last("later.replaced").await?;
        assert_eq!(left.map(|left| left.payload), Some("newer".into()));
        assert_eq!(stream.info().await?.messages, 2);
        assert!(stream.cancel("later.replaced").await?, "it still stands");
        Ok(())
    })
}

#[test]
fn what_fell_due_comes_in_the_order_of_its_times() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream, consumer) = opened(folder.path()).await?;
        let due = now() + LATER;
        let all = (0..100_u64).rev().map(async |number| {
            let at = due + Duration::from_millis(number);
            schedule(&stream, &number.to_string(), at).await
        });
        for scheduled in futures_util::future::join_all(all).await {
            scheduled?;
        }
        drop((bus, stream, consumer));
        while now() <= due + SOON {
            tokio::task::yield_now().await;
        }
        let (_bus, _stream, mut consumer) = opened(folder.path()).await?;
        for number in 0..100 {
            let fired = taken(&mut consumer).await?;
            assert_eq!(fired.message.subject, format!("orders.{number}"));
            fired.ack().await?;
        }
        Ok(())
    })
}
