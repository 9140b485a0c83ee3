//! A server that comes back empty is not taken for the one that was lost.

use crate::{
    house::{Ring, node},
    support::{
        nats::Server,
        way::{SOON, Verdict, until},
    },
};
use callboard::{
    Bus,
    bus::{Append, ConsumerConfig, Expect, Message, StreamConfig},
    message::{Headers, headers::MSG_ID},
    roster::Status,
};
use std::time::Duration;
use tokio::time::{Instant, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_is_told_and_nothing_is_made_anew() -> Verdict {
    let mut server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let running = node("n1", &bus)
        .check_every(Duration::from_millis(100))
        .start()
        .await?;
    running.client().call(Ring { bell: "door".into() }).await?;
    server.kill();
    server.empty();
    server.restart();
    let roster = running.roster();
    let reason = || {
        let house = roster.of("house");
        let mut house = house.iter().map(callboard::roster::Instance::service);
        let sick = house.find(|service| service.status == Status::Sick)?;
        sick.reason.clone()
    };
    until("the node is not healthy", async || reason().is_some()).await;
    let told = reason().unwrap_or_default();
    for fact in ["shop_", "is gone", "restore"] {
        assert!(told.contains(fact), "{told}");
    }
    let refused = running.client().call(Ring { bell: "door".into() }).await;
    assert!(refused.is_err(), "{refused:?}");
    let looking = Bus::nats(server.url()).await?;
    assert_eq!(looking.streams().await?, [], "nothing was made anew");
    running.stop().await?;
    // Begun again, it has empty streams.
    let again = node("n1", &looking).start().await?;
    again.client().call(Ring { bell: "door".into() }).await?;
    again.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_restored_is_taken_up_again() -> Verdict {
    let mut server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let running = node("n1", &bus)
        .check_every(Duration::from_millis(100))
        .start()
        .await?;
    running.client().call(Ring { bell: "door".into() }).await?;
    let sick = |status: Status| {
        let house = running.roster().of("house");
        house.iter().any(|house| house.service().status == status)
    };
    server.kill();
    let saved = server.take_store_away();
    server.restart();
    until("the node is not healthy", async || sick(Status::Sick)).await;
    server.kill();
    server.give_store_back(&saved);
    server.restart();
    until("the node is healthy", async || sick(Status::Healthy)).await;
    until("it works", async || {
        let client = running.client();
        client.call(Ring { bell: "door".into() }).await.is_ok()
    })
    .await;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn of_a_consumer_that_is_deleted_what_was_done_long_ago_stays_done() -> Verdict {
    const EVENTS: usize = 2_000;
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stream = bus
        .stream(&StreamConfig::new("ORDERS", ["orders.*".to_owned()]))
        .await?;
    let mut consumer = stream.consumer(&ConsumerConfig::new("c")).await?;
    for number in 0..EVENTS {
        let mut headers = Headers::new();
        headers.insert(MSG_ID, number.to_string())?;
        let message = Message::new("orders.o-1", "x").headers(headers);
        let told = stream.append(message, Expect::Any).await?;
        assert!(matches!(told, Append::Committed { .. }), "{told:?}");
    }
    for _ in 0..EVENTS {
        timeout(SOON, consumer.next())
            .await??
            .ack_confirmed()
            .await?;
    }
    // What is known of the acknowledgements follows soon: at last nothing comes again.
    let deadline = Instant::now() + SOON;
    loop {
        let subject = "$JS.API.CONSUMER.DELETE.ORDERS.c";
        bus.request(Message::new(subject, ""), SOON).await?;
        let mut again = 0;
        while let Ok(delivery) = timeout(Duration::from_secs(3), consumer.next()).await {
            delivery?.ack_confirmed().await?;
            again += 1;
        }
        if again == 0 {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "{again} came again");
    }
}
