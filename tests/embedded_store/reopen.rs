//! What is there when a directory is opened again.

use crate::{
    kit::{
        Verdict, append, committed, config, consumer, fill, known, opened, order, payloads, run,
        taken,
    },
    support::folder::Folder,
};
use callboard::bus::{
    Append, Bus, ConsumerConfig, ConsumerError, Durability, Expect, OpenError, Start, Store,
    StreamConfig, StreamError,
};
use std::{
    fs,
    time::{Duration, Instant},
};

#[test]
fn messages_are_there_as_they_were() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        for number in 1..=20 {
            append(&stream, &format!("o-{}", number % 3), &number.to_string()).await?;
        }
        let before = stream.read("orders.*", 1).await?.all().await?;
        drop((bus, stream));
        let (bus, stream) = opened(folder.path()).await?;
        assert_eq!(stream.read("orders.*", 1).await?.all().await?, before);
        assert_eq!(stream.last("orders.o-1").await?.as_ref(), Some(&before[18]));
        assert_eq!(
            payloads(&stream, "orders.o-2").await?,
            ["2", "5", "8", "11", "14", "17", "20"]
        );
        assert_eq!(bus.streams().await?[0].messages, 20);
        let conflict = stream.append(order("o-1", "new"), Expect::Last(16)).await?;
        assert_eq!(conflict, Append::Conflict);
        let next = stream.append(order("o-1", "new"), Expect::Last(19)).await?;
        assert_eq!(next, committed(21));
        Ok(())
    })
}

#[test]
fn an_id_is_known_as_long_as_its_message_is_kept() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        let mut brief = StreamConfig::new("BRIEF", ["brief.*".to_owned()]);
        brief.duplicate_window = Duration::from_millis(5);
        let brief_stream = bus.stream(&brief).await?;
        let mut message = order("o-1", "1");
        message.subject = "brief.a".into();
        brief_stream.append(message.clone(), Expect::Any).await?;
        let start = Instant::now();
        fill(&stream, "o-1", 3).await?;
        drop((bus, stream, brief_stream));
        while start.elapsed() < Duration::from_millis(10) {
            tokio::task::yield_now().await;
        }
        let (bus, stream) = opened(folder.path()).await?;
        assert_eq!(append(&stream, "o-1", "2").await?, known(2));
        let brief = bus.stream(&brief).await?;
        assert_eq!(brief.append(message, Expect::Any).await?, known(1));
        Ok(())
    })
}

#[test]
fn a_consumer_goes_on_where_it_was() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 6).await?;
        let mut reader = consumer(&stream).await?;
        for attempt in 1..=2 {
            let delivery = taken(&mut reader).await?;
            assert_eq!((delivery.message.sequence, delivery.attempt), (1, attempt));
            delivery.nak(Duration::ZERO).await?;
        }
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(taken(&mut reader).await?);
        }
        held.remove(2).ack().await?;
        held.remove(1).ack_confirmed().await?;
        drop((bus, stream, reader, held));
        let (_bus, stream) = opened(folder.path()).await?;
        let mut reader = consumer(&stream).await?;
        let mut found = Vec::new();
        for _ in 0..4 {
            let delivery = taken(&mut reader).await?;
            found.push((delivery.message.sequence, delivery.attempt));
            delivery.ack().await?;
        }
        assert_eq!(found, [(1, 4), (4, 2), (5, 1), (6, 1)]);
        Ok(())
    })
}

#[test]
fn the_last_attempt_stays_the_last() -> Verdict {
    let folder = Folder::fresh();
    let mut twice = ConsumerConfig::new("c");
    twice.max_deliver = Some(2);
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 2).await?;
        let mut reader = stream.consumer(&twice).await?;
        assert_eq!(taken(&mut reader).await?.attempt, 1);
        drop((bus, stream, reader));
        for (sequence, attempt) in [(1, 2), (2, 1)] {
            let (_bus, stream) = opened(folder.path()).await?;
            let mut reader = stream.consumer(&twice).await?;
            let delivery = taken(&mut reader).await?;
            assert_eq!(
                (delivery.message.sequence, delivery.attempt),
                (sequence, attempt)
            );
        }
        Ok(())
    })
}

#[test]
fn a_consumer_of_what_is_new_misses_nothing_while_all_is_closed() -> Verdict {
    let folder = Folder::fresh();
    let mut fresh = ConsumerConfig::new("c");
    fresh.start = Start::New;
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 2).await?;
        drop(stream.consumer(&fresh).await?);
        append(&stream, "o-1", "3").await?;
        drop((bus, stream));
        let (_bus, stream) = opened(folder.path()).await?;
        append(&stream, "o-1", "4").await?;
        let mut reader = stream.consumer(&fresh).await?;
        for sequence in [3, 4] {
            assert_eq!(taken(&mut reader).await?.message.sequence, sequence);
        }
        Ok(())
    })
}

#[test]
fn declarations_are_held_to() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        let mut partitioned = ConsumerConfig::new("c");
        partitioned.partition = Some(3);
        stream.consumer(&partitioned).await?;
        let mut brief = config();
        (brief.name, brief.memory, brief.partitions) = ("BRIEF".into(), true, 0);
        brief.subjects = vec!["brief.*".into()];
        bus.stream(&brief).await?;
        drop((bus, stream));
        let bus = Bus::embedded_at(folder.path())?;
        assert_eq!(bus.streams().await?.len(), 1, "what is in memory is gone");
        let mut other = config();
        other.partitions = 4;
        let refused = bus.stream(&other).await;
        assert!(
            matches!(refused, Err(StreamError::Differs { .. })),
            "{refused:?}"
        );
        let stream = bus.stream(&config()).await?;
        let refused = stream.consumer(&ConsumerConfig::new("c")).await;
        assert!(
            matches!(refused, Err(ConsumerError::Differs { .. })),
            "{refused:?}"
        );
        Ok(())
    })
}

#[test]
fn what_no_memory_holds_is_read_from_the_disk() -> Verdict {
    let folder = Folder::fresh();
    let count = 3_000;
    run(async {
        let store = Store::at(folder.path()).durability(Durability::EVERY_SECOND);
        let bus = Bus::embedded_at(store)?;
        let stream = bus.stream(&config()).await?;
        for number in 1..=count {
            let mut message = order(&format!("o-{}", number % 100), &number.to_string());
            message.payload = number.to_string().repeat(500).into();
            stream.append(message, Expect::Any).await?;
        }
        let mut reader = consumer(&stream).await?;
        let all = stream.read("orders.*", 1).await?.all().await?;
        assert_eq!(all.len(), count);
        for (number, stored) in (1..=count).zip(all) {
            assert_eq!(stored.payload, number.to_string().repeat(500));
            let delivery = taken(&mut reader).await?;
            assert_eq!(delivery.message, stored);
            delivery.ack().await?;
        }
        assert_eq!(
            stream.read("orders.o-7", 1).await?.all().await?.len(),
            count / 100
        );
        let last = stream.last("orders.o-1").await?.map(|last| last.sequence);
        assert_eq!(last, Some(2_901));
        Ok(())
    })
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() -> Verdict {
    let folder = Folder::fresh();
    let text = "the diary of somebody else, who would not like to lose it";
    fs::write(folder.path().join("log"), text)?;
    let refused = Bus::embedded_at(folder.path()).err();
    assert!(
        matches!(refused, Some(OpenError::Unreadable { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(folder.path().join("log"))?, text);
    let file = folder.path().join("log");
    let refused = Bus::embedded_at(file.as_path()).err();
    assert!(matches!(refused, Some(OpenError::Io { .. })), "{refused:?}");
    Ok(())
}

#[test]
fn a_directory_is_opened_once_at_a_time() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        let reader = consumer(&stream).await?;
        let refused = Bus::embedded_at(folder.path()).err();
        let expected =
            OpenError::InUse { path: folder.path().into(), holder: Some(std::process::id()) };
        assert_eq!(refused, Some(expected));
        drop((bus, stream));
        assert!(
            Bus::embedded_at(folder.path()).is_err(),
            "the consumer is still there"
        );
        drop(reader);
        Bus::embedded_at(folder.path())?;
        Ok(())
    })
}
