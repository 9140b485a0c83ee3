//! Durable consumers: what they read and where they start.

use crate::scope::{A_WHILE, Scope, Verdict, acked, brisk, nothing_for, taken};
use callboard::bus::{ConsumerConfig, ConsumerError, Start, partition};
use std::{collections::BTreeMap, time::Duration};
use tokio::{task::JoinSet, time::timeout};

pub(crate) async fn a_consumer_gets_what_was_published_before_it(scope: Scope) -> Verdict {
    let stream = scope.filled(3).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    for number in 1..=3 {
        let delivery = taken(&mut consumer).await?;
        let message = &delivery.message;
        assert_eq!((message.sequence, delivery.attempt), (number, 1));
        assert_eq!(message.subject, scope.at("orders.o-1"));
        assert_eq!(
            message.headers.get("Nats-Msg-Id"),
            Some(&*number.to_string())
        );
        assert_eq!(message.payload, number.to_string());
        delivery.ack().await?;
    }
    Ok(())
}

pub(crate) async fn a_waiting_consumer_gets_what_is_published_then(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    for number in 1..=3 {
        let append = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            scope.order(&stream, "o-1", &number.to_string()).await
        };
        let (delivery, appended) = tokio::join!(taken(&mut consumer), append);
        assert_eq!(delivery?.message.sequence, appended?);
    }
    Ok(())
}

pub(crate) async fn a_consumer_may_start_at_a_sequence(scope: Scope) -> Verdict {
    let stream = scope.filled(4).await?;
    let mut config = brisk("c");
    config.start = Start::Sequence(3);
    let mut consumer = stream.consumer(&config).await?;
    assert_eq!(acked(&mut consumer, 2).await?, [3, 4]);
    Ok(())
}

pub(crate) async fn a_consumer_may_start_at_what_is_new(scope: Scope) -> Verdict {
    let stream = scope.filled(2).await?;
    let mut config = brisk("c");
    config.start = Start::New;
    let mut consumer = stream.consumer(&config).await?;
    scope.order(&stream, "o-1", "new").await?;
    assert_eq!(acked(&mut consumer, 1).await?, [3]);
    Ok(())
}

pub(crate) async fn a_consumer_keeps_its_place_however_it_is_declared_to_begin(
    scope: Scope,
) -> Verdict {
    let stream = scope.filled(2).await?;
    let mut config = brisk("c");
    config.start = Start::New;
    drop(stream.consumer(&config).await?);
    scope.order(&stream, "o-1", "new").await?;
    for start in [Start::First, Start::Sequence(2), Start::New] {
        config.start = start;
        drop(stream.consumer(&config).await?);
    }
    let mut consumer = stream.consumer(&config).await?;
    assert_eq!(acked(&mut consumer, 1).await?, [3]);
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn a_consumer_may_read_one_subject(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut config = brisk("c");
    config.filter = Some(scope.at("orders.o-2"));
    let mut consumer = stream.consumer(&config).await?;
    for (key, id) in [("o-2", "b"), ("o-1", "c"), ("o-2", "d")] {
        scope.order(&stream, key, id).await?;
    }
    assert_eq!(acked(&mut consumer, 2).await?, [2, 4]);
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn a_consumer_may_read_by_wildcard(scope: Scope) -> Verdict {
    let stream = scope.bus.stream(&scope.config("DEEP", &["deep.>"])).await?;
    let mut config = brisk("c");
    config.filter = Some(scope.at("deep.*.x"));
    for rest in ["deep.a.x", "deep.a.y", "deep.x", "deep.b.x"] {
        let next = crate::scope::message(scope.at(rest), rest);
        stream.append(next, callboard::bus::Expect::Any).await?;
    }
    let mut consumer = stream.consumer(&config).await?;
    assert_eq!(acked(&mut consumer, 2).await?, [1, 4]);
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn a_filter_names_subjects_of_a_partitioned_stream_as_published(
    scope: Scope,
) -> Verdict {
    let stream = scope.partitioned(8).await?;
    let mut config = brisk("c");
    config.filter = Some(scope.at("orders.o-2"));
    let mut consumer = stream.consumer(&config).await?;
    for (key, id) in [("o-1", "a"), ("o-2", "b"), ("o-3", "c")] {
        scope.order(&stream, key, id).await?;
    }
    assert_eq!(acked(&mut consumer, 1).await?, [2]);
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn consumers_of_different_names_get_all(scope: Scope) -> Verdict {
    let stream = scope.filled(3).await?;
    for name in ["a", "b", "c"] {
        let mut consumer = stream.consumer(&brisk(name)).await?;
        assert_eq!(acked(&mut consumer, 3).await?, [1, 2, 3]);
    }
    Ok(())
}

pub(crate) async fn a_consumer_goes_on_where_its_name_left_off(scope: Scope) -> Verdict {
    let stream = scope.filled(4).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    for _ in 0..2 {
        taken(&mut consumer).await?.ack_confirmed().await?;
    }
    drop(consumer);
    let mut again = scope.orders().await?.consumer(&brisk("c")).await?;
    assert_eq!(acked(&mut again, 2).await?, [3, 4]);
    Ok(())
}

pub(crate) async fn pending_counts_what_waits_behind(scope: Scope) -> Verdict {
    let stream = scope.filled(3).await?;
    scope.order(&stream, "o-2", "other").await?;
    let mut config = brisk("c");
    config.filter = Some(scope.at("orders.o-1"));
    let mut consumer = stream.consumer(&config).await?;
    for pending in [2, 1, 0] {
        let delivery = taken(&mut consumer).await?;
        assert_eq!(delivery.pending, pending);
        delivery.ack().await?;
    }
    Ok(())
}

pub(crate) async fn another_filter_under_the_same_name_differs(scope: Scope) -> Verdict {
    let stream = scope.partitioned(4).await?;
    let mut config = brisk("c");
    config.filter = Some(scope.at("orders.o-1"));
    let _first = stream.consumer(&config).await?;
    config.filter = Some(scope.at("orders.o-2"));
    let Err(ConsumerError::Differs { name, difference }) = stream.consumer(&config).await else {
        return Err("it was taken up".into());
    };
    assert_eq!(name, "c");
    assert!(
        difference.contains("o-1") && difference.contains("o-2"),
        "{difference}"
    );
    config.filter = None;
    let refused = stream.consumer(&config).await.err();
    assert!(
        matches!(refused, Some(ConsumerError::Differs { .. })),
        "{refused:?}"
    );
    Ok(())
}

pub(crate) async fn another_partition_under_the_same_name_differs(scope: Scope) -> Verdict {
    let stream = scope.partitioned(4).await?;
    let mut config = brisk("c");
    config.partition = Some(1);
    let _first = stream.consumer(&config).await?;
    config.partition = Some(2);
    let refused = stream.consumer(&config).await.err();
    assert!(
        matches!(refused, Some(ConsumerError::Differs { .. })),
        "{refused:?}"
    );
    Ok(())
}

pub(crate) async fn a_consumer_that_cannot_be_is_refused(scope: Scope) -> Verdict {
    type Change<'a> = &'a dyn Fn(&mut ConsumerConfig);
    let stream = scope.partitioned(4).await?;
    let (orders, more) = (scope.at("orders.o-1"), scope.at("more.*"));
    let bad: [(&str, Change<'_>); 8] = [
        ("an empty name", &|config| config.name = String::new()),
        ("a dotted name", &|config| config.name = "a.b".into()),
        ("no ack wait", &|config| config.ack_wait = Duration::ZERO),
        ("no ack pending", &|config| config.max_ack_pending = 0),
        ("a malformed filter", &|config| {
            config.filter = Some("a..b".into());
        }),
        ("a foreign filter", &|config| {
            config.filter = Some(more.clone());
        }),
        ("a partition too many", &|config| config.partition = Some(4)),
        ("a filter and a partition", &|config| {
            config.filter = Some(orders.clone());
            config.partition = Some(1);
        }),
    ];
    for (what, change) in bad {
        let mut config = brisk("c");
        change(&mut config);
        let refused = stream.consumer(&config).await;
        assert!(
            matches!(refused, Err(ConsumerError::Invalid { .. })),
            "{what}: {refused:?}"
        );
    }
    Ok(())
}

pub(crate) async fn an_unpartitioned_stream_has_no_partition(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let mut config = brisk("c");
    config.partition = Some(0);
    let refused = stream.consumer(&config).await;
    assert!(
        matches!(refused, Err(ConsumerError::Invalid { .. })),
        "{refused:?}"
    );
    Ok(())
}

pub(crate) async fn partitions_are_those_of_the_function(scope: Scope) -> Verdict {
    const KEYS: usize = 200;
    let stream = scope.partitioned(8).await?;
    for key in 0..KEYS {
        let key = format!("key-{key}_{}", key * 7919);
        scope.order(&stream, &key, &key).await?;
    }
    let mut seen = 0;
    for at in 0..8 {
        let mut config = brisk(&format!("p{at}"));
        config.partition = Some(at);
        let mut consumer = stream.consumer(&config).await?;
        loop {
            let delivery = taken(&mut consumer).await?;
            let key = delivery
                .message
                .subject
                .rsplit('.')
                .next()
                .unwrap_or_default();
            assert_eq!(partition(key, 8), at, "{key}");
            assert_eq!(delivery.message.payload, key.to_owned());
            seen += 1;
            let pending = delivery.pending;
            delivery.ack().await?;
            if pending == 0 {
                break;
            }
        }
    }
    assert_eq!(seen, KEYS);
    Ok(())
}

pub(crate) async fn a_key_keeps_its_order_in_its_partition(scope: Scope) -> Verdict {
    let stream = scope.partitioned(4).await?;
    for number in 0..100 {
        scope
            .order(&stream, &format!("o-{}", number % 5), &number.to_string())
            .await?;
    }
    let mut last = BTreeMap::new();
    let mut seen = 0;
    for at in 0..4 {
        let mut config = brisk(&format!("p{at}"));
        config.partition = Some(at);
        let mut consumer = stream.consumer(&config).await?;
        while let Ok(delivery) = timeout(A_WHILE, consumer.next()).await {
            let delivery = delivery?;
            let (subject, sequence) = (&delivery.message.subject, delivery.message.sequence);
            let earlier = last.insert(subject.clone(), sequence);
            assert!(
                earlier.is_none_or(|earlier| earlier < sequence),
                "{subject}"
            );
            seen += 1;
            delivery.ack().await?;
        }
    }
    assert_eq!((seen, last.len()), (100, 5));
    Ok(())
}

pub(crate) async fn many_may_make_the_same_consumer_at_once(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut makers = JoinSet::new();
    for _ in 0..6 {
        let stream = stream.clone();
        makers.spawn(async move { stream.consumer(&brisk("c")).await.map(drop) });
    }
    while let Some(made) = makers.join_next().await {
        made??;
    }
    Ok(())
}
