//! Several handles of one durable consumer.

use crate::scope::{A_WHILE, SOON, Scope, Verdict, acked, brisk, nothing_for, taken};
use callboard::bus::{Consumer, ConsumerConfig};
use std::{collections::BTreeSet, error::Error, time::Duration};
use tokio::time::timeout;

/// Takes what a handle gets until it is silent.
async fn drained(consumer: &mut Consumer) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut got = Vec::new();
    while let Ok(delivery) = timeout(A_WHILE, consumer.next()).await {
        let delivery = delivery?;
        got.push(delivery.message.sequence);
        delivery.ack().await?;
        // Work takes time; without it one handle could take all.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(got)
}

fn patient(pinned: bool) -> ConsumerConfig {
    let mut config = ConsumerConfig::new("c");
    config.pinned = pinned;
    config
}

pub(crate) async fn two_handles_share_all_messages(scope: Scope) -> Verdict {
    let stream = scope.filled(100).await?;
    let mut a = stream.consumer(&patient(false)).await?;
    let mut b = stream.consumer(&patient(false)).await?;
    let (a, b) = tokio::join!(drained(&mut a), drained(&mut b));
    let (a, b) = (a?, b?);
    let distinct: BTreeSet<_> = a.iter().chain(&b).collect();
    assert_eq!((a.len() + b.len(), distinct.len()), (100, 100));
    Ok(())
}

pub(crate) async fn handles_over_two_connections_share(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let other = scope.bus.reopen().await?;
    let other = other.stream(&scope.config("ORDERS", &["orders.*"])).await?;
    let mut a = stream.consumer(&patient(false)).await?;
    let mut b = other.consumer(&patient(false)).await?;
    let fill = async {
        for number in 0..50 {
            scope.order(&stream, "o-1", &number.to_string()).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let (filled, a, b) = tokio::join!(fill, drained(&mut a), drained(&mut b));
    filled?;
    assert_eq!(a?.len() + b?.len(), 50);
    Ok(())
}

pub(crate) async fn what_a_dropped_handle_held_comes_to_another(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut a = stream.consumer(&brisk("c")).await?;
    let held = taken(&mut a).await?;
    drop(a);
    let mut b = stream.consumer(&brisk("c")).await?;
    let again = taken(&mut b).await?;
    assert_eq!((again.message.sequence, again.attempt), (1, 2));
    drop(held);
    Ok(())
}

pub(crate) async fn a_waiting_handle_gets_what_another_let_go(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut a = stream.consumer(&brisk("c")).await?;
    let held = taken(&mut a).await?;
    let mut b = stream.consumer(&brisk("c")).await?;
    let go = async {
        tokio::time::sleep(A_WHILE / 4).await;
        drop((held, a));
    };
    let (again, ()) = tokio::join!(taken(&mut b), go);
    assert_eq!(again?.attempt, 2);
    Ok(())
}

pub(crate) async fn an_acknowledgement_outlives_its_handle(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut a = stream.consumer(&brisk("c")).await?;
    let held = taken(&mut a).await?;
    drop(a);
    held.ack_confirmed().await?;
    let mut b = stream.consumer(&brisk("c")).await?;
    nothing_for(&mut b, crate::scope::ACK_WAIT * 2).await
}

pub(crate) async fn a_pinned_consumer_serves_one_handle(scope: Scope) -> Verdict {
    let stream = scope.filled(20).await?;
    let mut a = stream.consumer(&patient(true)).await?;
    let mut b = stream.consumer(&patient(true)).await?;
    let (a, b) = tokio::join!(drained(&mut a), drained(&mut b));
    let mut shares = [a?.len(), b?.len()];
    shares.sort_unstable();
    assert_eq!(shares, [0, 20]);
    Ok(())
}

pub(crate) async fn a_pinned_consumer_goes_to_the_next_handle(scope: Scope) -> Verdict {
    let stream = scope.filled(2).await?;
    // What is on its way to a handle that is dropped comes again after the ack wait.
    let mut pinned = brisk("c");
    pinned.pinned = true;
    let mut a = stream.consumer(&pinned).await?;
    assert_eq!(acked(&mut a, 2).await?, [1, 2]);
    let mut b = stream.consumer(&pinned).await?;
    nothing_for(&mut b, A_WHILE).await?;
    drop(a);
    scope.order(&stream, "o-1", "3").await?;
    // A server waits for the silent handle before it takes the next.
    let next = timeout(2 * SOON, b.next()).await??;
    assert_eq!(next.message.sequence, 3);
    next.ack().await?;
    Ok(())
}

pub(crate) async fn a_waiting_handle_takes_a_pinned_consumer_over(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    // What is on its way to a handle that is dropped comes again after the ack wait.
    let mut pinned = brisk("c");
    pinned.pinned = true;
    let mut a = stream.consumer(&pinned).await?;
    let mut b = stream.consumer(&pinned).await?;
    assert_eq!(acked(&mut a, 1).await?, [1]);
    let go = async {
        tokio::time::sleep(A_WHILE / 4).await;
        drop(a);
        scope.order(&stream, "o-1", "2").await
    };
    let (next, gone) = tokio::join!(timeout(2 * SOON, b.next()), go);
    assert_eq!(next??.message.sequence, gone?);
    Ok(())
}

pub(crate) async fn pinned_partitions_are_each_in_order(scope: Scope) -> Verdict {
    let stream = scope.partitioned(2).await?;
    for number in 0..20 {
        let key = format!("o-{}", number % 4);
        scope.order(&stream, &key, &number.to_string()).await?;
    }
    let mut seen = 0;
    for at in 0..2 {
        let mut config = brisk(&format!("p{at}"));
        config.partition = Some(at);
        config.pinned = true;
        config.max_ack_pending = 1;
        let mut consumer = stream.consumer(&config).await?;
        let got = drained(&mut consumer).await?;
        assert!(got.is_sorted(), "{got:?}");
        seen += got.len();
    }
    assert_eq!(seen, 20);
    Ok(())
}
