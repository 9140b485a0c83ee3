//! What only this carrier promises: a clock of one's own, and to say when all is quiet.

use crate::{
    bus::{Bus, Consumer, ConsumerConfig, ConsumerError, Expect, Message, Stream, StreamConfig},
    message::{Headers, headers},
    time::Clock,
};
use std::{error::Error, time::Duration};
use tokio::time::{Instant, advance, timeout};

type Verdict = Result<(), Box<dyn Error>>;

const WAIT: Duration = Duration::from_secs(30);

async fn filled(bus: &Bus, count: usize) -> Result<Stream, Box<dyn Error>> {
    let config = StreamConfig::new("S", ["a.*".to_owned()]);
    let stream = bus.stream(&config).await?;
    for number in 0..count {
        let mut named = Headers::new();
        named.put(headers::MSG_ID, number.to_string());
        let message = Message::new("a.b", "").headers(named);
        stream.append(message, Expect::Any).await?;
    }
    Ok(stream)
}

async fn consumer(stream: &Stream, max_deliver: u32) -> Result<Consumer, ConsumerError> {
    let mut config = ConsumerConfig::new("c");
    config.max_deliver = Some(max_deliver);
    stream.consumer(&config).await
}

#[tokio::test(start_paused = true)]
async fn stored_times_are_those_of_the_given_clock() -> Verdict {
    let clock = Clock::starting_now();
    let bus = Bus::embedded_with(clock);
    advance(WAIT).await;
    let stream = filled(&bus, 1).await?;
    let time = stream.last("a.b").await?.map(|last| last.time);
    assert_eq!(time, Some(clock.now()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_not_settled_is_counted_until_it_is() -> Verdict {
    let bus = Bus::embedded();
    let stream = filled(&bus, 3).await?;
    assert_eq!(bus.unsettled(), Some(0), "nobody reads it");
    let mut consumer = consumer(&stream, 2).await?;
    assert_eq!(bus.unsettled(), Some(3));
    let first = consumer.next().await?;
    let second = consumer.next().await?;
    assert_eq!(bus.unsettled(), Some(3), "delivered is not settled");
    first.ack().await?;
    second.term().await?;
    assert_eq!(bus.unsettled(), Some(1));
    consumer.next().await?;
    let again = consumer.next().await?;
    assert_eq!((again.attempt, bus.unsettled()), (2, Some(1)));
    advance(WAIT).await;
    assert_eq!(bus.unsettled(), Some(0), "given up");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_counted_until_it_ends() -> Verdict {
    let bus = Bus::embedded();
    let _silent = bus.subscribe("silent", None).await?;
    let asked = bus.request(Message::new("silent", ""), WAIT);
    let watched = async {
        assert_eq!(bus.unsettled(), Some(1));
    };
    let (refused, ()) = tokio::join!(asked, watched);
    assert!(refused.is_err());
    assert_eq!(bus.unsettled(), Some(0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_comes_when_the_ack_wait_ends_and_not_before() -> Verdict {
    let bus = Bus::embedded();
    let stream = filled(&bus, 1).await?;
    let mut consumer = consumer(&stream, 3).await?;
    let start = Instant::now();
    let held = consumer.next().await?;
    let early = WAIT.saturating_sub(Duration::from_millis(1));
    assert!(timeout(early, consumer.next()).await.is_err());
    assert_eq!(consumer.next().await?.attempt, 2);
    assert_eq!(start.elapsed(), WAIT);
    held.ack().await?;
    assert_eq!(bus.unsettled(), Some(0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_scheduled_comes_at_its_time_on_the_given_clock() -> Verdict {
    let clock = Clock::starting_now();
    let bus = Bus::embedded_with(clock);
    let mut config = StreamConfig::new("S", ["a.*".to_owned(), "t.*".to_owned()]);
    config.schedules = true;
    config.immutable = false;
    let stream = bus.stream(&config).await?;
    let mut config = ConsumerConfig::new("c");
    config.filter = Some("a.*".to_owned());
    let (mut consumer, start) = (stream.consumer(&config).await?, clock.now());
    for days in (1..=30_u32).rev() {
        let mut named = Headers::new();
        named.put(headers::MSG_ID, days.to_string());
        let timer = Message::new(format!("t.{days}"), "").headers(named);
        let due = start + days * Duration::from_hours(24);
        stream
            .append(timer.scheduled(due, "a.b"), Expect::Any)
            .await?;
    }
    for days in 1..=30_u32 {
        let fired = consumer.next().await?;
        assert_eq!(fired.message.time, start + days * Duration::from_hours(24));
        fired.ack().await?;
    }
    assert_eq!(bus.unsettled(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_subscription_holds_so_many_and_drops_the_rest() -> Verdict {
    let bus = Bus::embedded();
    let mut slow = bus.subscribe("a", None).await?;
    for _ in 0..70_000 {
        bus.send(Message::new("a", "")).await?;
    }
    let mut held = 0;
    while let Ok(Some(_)) = timeout(Duration::from_millis(50), slow.next()).await {
        held += 1;
    }
    assert_eq!(held, 65_536);
    bus.send(Message::new("a", "")).await?;
    assert!(slow.next().await.is_some(), "it goes on after that");
    Ok(())
}

#[tokio::test]
async fn a_subscription_holds_so_many_bytes_and_drops_the_rest() -> Verdict {
    let bus = Bus::embedded();
    let mut slow = bus.subscribe("a", None).await?;
    let large = Message::new("a", vec![0; 1_000_000]);
    for _ in 0..100 {
        bus.send(large.clone()).await?;
    }
    let mut held = 0;
    while let Ok(Some(_)) = timeout(Duration::from_millis(50), slow.next()).await {
        held += 1;
    }
    assert_eq!(held, 67, "64 MiB");
    bus.send(large).await?;
    assert!(slow.next().await.is_some(), "it goes on after that");
    Ok(())
}

#[tokio::test]
async fn a_subject_counts_towards_the_size_of_its_message() -> Verdict {
    let bus = Bus::embedded();
    let endless = Message::new("a".repeat(2_000_000), "");
    let refused = bus.send(endless).await;
    assert!(
        matches!(refused, Err(crate::bus::SendError::TooLarge { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn handles_work_over_runtimes_of_their_own() -> Verdict {
    let bus = Bus::embedded();
    let other = bus.clone();
    let reader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime?.block_on(async {
            let stream = other
                .stream(&StreamConfig::new("S", ["a.*".to_owned()]))
                .await?;
            let mut consumer = consumer(&stream, 1).await?;
            for _ in 0..100 {
                consumer.next().await?.ack().await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(filled(&bus, 100))?;
    let ended = reader.join().map_err(|_| "the reader panicked")?;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(bus.unsettled(), Some(0));
    Ok(())
}
