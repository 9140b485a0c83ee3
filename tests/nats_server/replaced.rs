//! A server that comes back empty is not taken for the one that was lost.

use crate::{
    house::{Ring, node},
    support::{
        log::Log,
        nats::Server,
        way::{SOON, Verdict, until},
    },
};
use callboard::{
    Actor, Bus, Context, Event, Failure, Group, Node, Subject,
    bus::{Append, ConsumerConfig, Expect, Message, StreamConfig, partition},
    message::{Headers, headers::MSG_ID},
    roster::Status,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};
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

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rung {
    bell: String,
    fails: bool,
}

impl Event for Rung {
    const SUBJECT: Subject = Subject::new("house.rung");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.bell)
    }
}

async fn rung(log: &mut Log, rung: Rung, _: &Context) -> Result<(), Failure> {
    if rung.fails && log.count("open") == 0 {
        log.note("failed");
        return Err(Failure::unavailable(Duration::from_millis(300)));
    }
    log.note(rung.bell);
    Ok(())
}

/// How many partitions the events of a domain are filed in.
const PARTITIONS: u32 = 8;

/// An event that fails holds back up to where all is acknowledged; a consumer that is made
/// again begins there.
#[tokio::test]
async fn of_a_consumer_that_is_deleted_its_reader_does_nothing_twice() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let log = Log::default();
    let kept = log.clone();
    let porter = Actor::new("porter", async move || Ok::<_, Failure>(kept.clone())).on(rung);
    let group = Group::new("house").child(porter);
    let node = Node::new("n", bus.clone()).namespace("shop").group(group);
    let node = node.start().await?;
    let client = node.client();
    let ring = async |bell: &str, fails| {
        let bell = bell.to_owned();
        client.publish(Rung { bell, fails }).await
    };
    // One partition for all: only then one floor is that of all.
    let first = "door".to_owned();
    let of = partition(&first, PARTITIONS);
    let others: Vec<String> = (0..)
        .map(|number| format!("bell-{number}"))
        .filter(|bell| partition(bell, PARTITIONS) == of)
        .take(5)
        .collect();
    ring(&first, true).await?;
    for bell in &others {
        ring(bell, false).await?;
        ring(bell, false).await?;
    }
    until("the others are heard", async || {
        others.iter().all(|bell| log.count(bell) == 2)
    })
    .await;
    let subject = format!("$JS.API.CONSUMER.DELETE.shop_EVT_house.house_porter_{of}");
    bus.request(Message::new(subject, ""), SOON).await?;
    ring(&others[0], false).await?;
    until("the next one is heard", async || log.count(&others[0]) > 2).await;
    log.note("open");
    until("what failed is heard", async || log.count(&first) > 0).await;
    for bell in [&first, &others[0]] {
        let before = log.count(bell);
        ring(bell, false).await?;
        until("one behind it is heard", async || log.count(bell) > before).await;
    }
    assert_eq!(log.count(&first), 2, "of the one that failed");
    assert_eq!(log.count(&others[0]), 4);
    for bell in &others[1..] {
        assert_eq!(log.count(bell), 2, "of {bell}");
    }
    Ok(node.stop().await?)
}
