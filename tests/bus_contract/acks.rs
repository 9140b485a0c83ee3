//! Acknowledgements and redelivery.

use crate::scope::{A_WHILE, ACK_WAIT, Scope, Verdict, acked, brisk, nothing_for, taken};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long until a message that comes again must have come.
const AGAIN: Duration = ACK_WAIT.saturating_mul(2);
/// How much too early a server's clock may seem.
const SLACK: Duration = Duration::from_millis(100);

pub(crate) async fn an_acknowledged_message_does_not_come_again(scope: Scope) -> Verdict {
    let stream = scope.filled(2).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    assert_eq!(acked(&mut consumer, 2).await?, [1, 2]);
    nothing_for(&mut consumer, AGAIN).await
}

pub(crate) async fn a_confirmed_message_does_not_come_again(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    taken(&mut consumer).await?.ack_confirmed().await?;
    drop(consumer);
    let mut again = stream.consumer(&brisk("c")).await?;
    nothing_for(&mut again, AGAIN).await
}

pub(crate) async fn an_unacknowledged_message_comes_again(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    let start = Instant::now();
    for attempt in 1..=3 {
        let delivery = taken(&mut consumer).await?;
        assert_eq!((delivery.message.sequence, delivery.attempt), (1, attempt));
        assert!(start.elapsed() + SLACK >= ACK_WAIT * (attempt - 1));
    }
    Ok(())
}

pub(crate) async fn others_flow_while_one_is_unacknowledged(scope: Scope) -> Verdict {
    let stream = scope.filled(4).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    let _held = taken(&mut consumer).await?;
    assert_eq!(acked(&mut consumer, 3).await?, [2, 3, 4]);
    let again = taken(&mut consumer).await?;
    assert_eq!((again.message.sequence, again.attempt), (1, 2));
    Ok(())
}

pub(crate) async fn a_refused_message_comes_again_after_its_delay(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    let (start, delay) = (Instant::now(), Duration::from_millis(1_500));
    taken(&mut consumer).await?.nak(delay).await?;
    let again = taken(&mut consumer).await?;
    assert_eq!((again.message.sequence, again.attempt), (1, 2));
    assert!(
        start.elapsed() + SLACK >= delay,
        "after {:?}",
        start.elapsed()
    );
    Ok(())
}

pub(crate) async fn a_refused_message_may_come_again_at_once(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut config = brisk("c");
    config.ack_wait = Duration::from_mins(1);
    let mut consumer = stream.consumer(&config).await?;
    for attempt in 1..=4 {
        let delivery = taken(&mut consumer).await?;
        assert_eq!(delivery.attempt, attempt);
        delivery.nak(Duration::ZERO).await?;
    }
    Ok(())
}

pub(crate) async fn progress_keeps_a_message(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    let delivery = taken(&mut consumer).await?;
    for _ in 0..8 {
        delivery.progress().await?;
        nothing_for(&mut consumer, ACK_WAIT / 4).await?;
    }
    delivery.ack().await?;
    nothing_for(&mut consumer, AGAIN).await
}

pub(crate) async fn a_terminated_message_never_comes_again(scope: Scope) -> Verdict {
    let stream = scope.filled(2).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    taken(&mut consumer).await?.term().await?;
    assert_eq!(acked(&mut consumer, 1).await?, [2]);
    nothing_for(&mut consumer, AGAIN).await
}

pub(crate) async fn after_the_last_delivery_a_message_is_given_up(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut config = brisk("c");
    config.max_deliver = Some(2);
    config.max_ack_pending = 1;
    let mut consumer = stream.consumer(&config).await?;
    for attempt in 1..=2 {
        assert_eq!(taken(&mut consumer).await?.attempt, attempt);
    }
    scope.order(&stream, "o-1", "next").await?;
    let next = taken(&mut consumer).await?;
    assert_eq!((next.message.sequence, next.attempt), (2, 1));
    next.ack().await?;
    nothing_for(&mut consumer, AGAIN).await
}

pub(crate) async fn a_refused_last_delivery_is_the_last(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut config = brisk("c");
    config.max_deliver = Some(1);
    let mut consumer = stream.consumer(&config).await?;
    taken(&mut consumer).await?.nak(Duration::ZERO).await?;
    nothing_for(&mut consumer, AGAIN).await
}

pub(crate) async fn too_many_unacknowledged_block_and_an_ack_resumes(scope: Scope) -> Verdict {
    let stream = scope.filled(4).await?;
    let mut config = brisk("c");
    config.max_ack_pending = 2;
    config.ack_wait = Duration::from_mins(1);
    let mut consumer = stream.consumer(&config).await?;
    let first = taken(&mut consumer).await?;
    let second = taken(&mut consumer).await?;
    nothing_for(&mut consumer, A_WHILE).await?;
    second.ack().await?;
    let third = taken(&mut consumer).await?;
    assert_eq!(third.message.sequence, 3);
    nothing_for(&mut consumer, A_WHILE).await?;
    first.term().await?;
    assert_eq!(taken(&mut consumer).await?.message.sequence, 4);
    Ok(())
}

pub(crate) async fn one_at_a_time_keeps_the_order_over_redeliveries(scope: Scope) -> Verdict {
    let stream = scope.filled(3).await?;
    let mut config = brisk("c");
    config.max_ack_pending = 1;
    let mut consumer = stream.consumer(&config).await?;
    let mut order = Vec::new();
    while order.len() < 6 {
        let delivery = taken(&mut consumer).await?;
        order.push((delivery.message.sequence, delivery.attempt));
        if delivery.attempt == 1 {
            delivery.nak(Duration::from_millis(50)).await?;
        } else {
            delivery.ack().await?;
        }
    }
    assert_eq!(order, [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
    Ok(())
}

pub(crate) async fn a_late_acknowledgement_counts(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    let first = taken(&mut consumer).await?;
    let second = taken(&mut consumer).await?;
    assert_eq!(second.attempt, 2);
    first.ack().await?;
    nothing_for(&mut consumer, AGAIN).await
}

pub(crate) async fn a_second_acknowledgement_does_no_harm(scope: Scope) -> Verdict {
    let stream = scope.filled(2).await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    let first = taken(&mut consumer).await?;
    let _other = taken(&mut consumer).await?;
    let twice = loop {
        let delivery = taken(&mut consumer).await?;
        if delivery.message.sequence == 1 {
            break delivery;
        }
    };
    first.ack().await?;
    twice.ack().await?;
    assert_eq!(taken(&mut consumer).await?.message.sequence, 2);
    Ok(())
}

pub(crate) async fn a_cancelled_wait_loses_no_delivery(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let mut consumer = stream.consumer(&brisk("c")).await?;
    for number in 1..=10 {
        let given_up = timeout(Duration::from_millis(5), consumer.next()).await;
        assert!(given_up.is_err());
        scope.order(&stream, "o-1", &number.to_string()).await?;
        sleep(Duration::from_millis(number)).await;
        assert_eq!(acked(&mut consumer, 1).await?, [number]);
    }
    Ok(())
}
