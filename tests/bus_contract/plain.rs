//! Plain messages on subjects that a stream keeps.

use crate::scope::{SOON, Scope, Verdict, heard, message, until};
use callboard::bus::{Message, Stream};
use serde_json::Value;

async fn holds(stream: &Stream, count: u64) -> Verdict {
    until(async || Ok(stream.info().await?.messages == count)).await
}

pub(crate) async fn a_plain_message_is_stored_and_heard(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let mut orders = scope.bus.subscribe(&scope.at("orders.*"), None).await?;
    scope
        .bus
        .send(Message::new(scope.at("orders.o-1"), "plain"))
        .await?;
    assert_eq!(heard(&mut orders).await?.payload, "plain");
    holds(&stream, 1).await?;
    let kept = stream
        .last(&scope.at("orders.o-1"))
        .await?
        .ok_or("it is not there")?;
    assert_eq!((kept.payload, kept.sequence), ("plain".into(), 1));
    Ok(())
}

pub(crate) async fn a_plain_message_of_a_known_id_is_not_stored_again(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    for id in ["1", "1", "2"] {
        scope.bus.send(message(scope.at("orders.o-1"), id)).await?;
    }
    let at_two = async || {
        let last = stream.last(&scope.at("orders.o-1")).await?;
        Ok(last.is_some_and(|last| last.payload == "2"))
    };
    until(at_two).await?;
    assert_eq!(stream.info().await?.messages, 2);
    Ok(())
}

pub(crate) async fn plain_messages_without_id_are_all_stored(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    for _ in 0..3 {
        scope
            .bus
            .send(Message::new(scope.at("orders.o-1"), "same"))
            .await?;
    }
    holds(&stream, 3).await
}

pub(crate) async fn a_request_to_a_stream_is_answered_by_it(scope: Scope) -> Verdict {
    scope.orders().await?;
    for duplicate in [None, Some(true)] {
        let asked = message(scope.at("orders.o-1"), "1");
        let reply = scope.bus.request(asked, SOON).await?;
        let reply: Value = serde_json::from_slice(&reply.payload)?;
        assert_eq!(reply["stream"], scope.name("ORDERS"));
        assert_eq!(reply["seq"], 1);
        assert_eq!(reply["duplicate"].as_bool(), duplicate);
    }
    Ok(())
}

pub(crate) async fn a_plain_message_reaches_a_consumer(scope: Scope) -> Verdict {
    let stream = scope.partitioned(8).await?;
    let config = crate::scope::brisk("c");
    let mut consumer = stream.consumer(&config).await?;
    scope
        .bus
        .send(Message::new(scope.at("orders.o-1"), "plain"))
        .await?;
    let delivery = crate::scope::taken(&mut consumer).await?;
    assert_eq!(delivery.message.subject, scope.at("orders.o-1"));
    assert_eq!(delivery.message.payload, "plain");
    delivery.ack().await?;
    Ok(())
}

pub(crate) async fn an_expectation_in_a_header_holds_for_plain_messages(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    for (id, expected) in [("outdated", "0"), ("right", "1")] {
        let mut sent = message(scope.at("orders.o-1"), id);
        sent.headers
            .insert("Nats-Expected-Last-Subject-Sequence", expected)?;
        scope.bus.send(sent).await?;
    }
    holds(&stream, 2).await?;
    let last = stream.last(&scope.at("orders.o-1")).await?;
    assert_eq!(last.map(|last| last.payload), Some("right".into()));
    Ok(())
}
