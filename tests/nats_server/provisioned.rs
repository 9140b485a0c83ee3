//! A node that may not make streams and consumers asks for none.

use crate::{
    house::{Count, Ring, node},
    support::{
        nats::Server,
        way::{Verdict, until},
    },
};
use callboard::{
    Bus,
    bus::{StreamConfig, StreamError, nats::Options},
};

/// A user who may do all that a node must, and make nothing.
const USERS: &str = r#"
    authorization { users: [
        { user: admin, password: a }
        { user: node, password: n, permissions {
            publish: { allow: ["shop.>", "_INBOX.>", "$JS.ACK.>", "$JS.API.>"],
                       deny: ["$JS.API.STREAM.CREATE.>", "$JS.API.STREAM.UPDATE.>",
                              "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DURABLE.CREATE.>"] }
            subscribe: ["shop.>", "_INBOX.>", "$SRV.>"]
        } }
        { user: spy, password: s }
    ] }"#;

#[tokio::test]
async fn a_node_without_the_permission_to_make_anything_does_its_work() -> Verdict {
    let server = Server::with(USERS);
    let user = |name: &str, password: &str| Options::new(server.url()).user(name, password);
    let admin = Bus::nats(user("admin", "a")).await?;
    let bus = Bus::nats(user("node", "n")).await?;
    let refused = node("n1", &bus).declare(false).start().await;
    assert!(refused.is_err(), "nothing is there yet");
    let plan = node("n1", &admin).apply().await?;
    assert!(plan.is_settled(), "{plan}");
    let streams = admin.streams().await?.len();
    let spy = Bus::nats(user("spy", "s")).await?;
    let mut made = spy.subscribe("$JS.API.*.CREATE.>", None).await?;
    let running = node("n1", &bus).declare(false).start().await?;
    let client = running.client();
    for _ in 0..5 {
        client.call(Ring { bell: "door".into() }).await?;
    }
    client.send(Ring { bell: "gate".into() }).await?;
    until(
        "the projection reads all, and the job is done",
        async || client.call(Count).await.is_ok_and(|count| count == 6),
    )
    .await;
    running.stop().await?;
    let again = node("n1", &bus).declare(false).start().await?;
    let client = again.client();
    until("it reads the past, too", async || {
        client.call(Count).await.is_ok_and(|count| count == 6)
    })
    .await;
    again.stop().await?;
    spy.send(callboard::bus::Message::new("$JS.API.X.CREATE.mark", ""))
        .await?;
    let asked = made.next().await.map(|asked| asked.subject);
    assert_eq!(
        asked.as_deref(),
        Some("$JS.API.X.CREATE.mark"),
        "no request to make anything came before"
    );
    assert_eq!(admin.streams().await?.len(), streams);
    Ok(())
}

#[tokio::test]
async fn a_stream_with_a_setting_that_loses_messages_is_refused() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let create = r#"{"name":"shop_EVT_house","subjects":["shop.evt.house.*"],"storage":"file",
        "discard":"new","retention":"limits","num_replicas":1,"max_age":0,"max_msgs":-1,
        "max_bytes":-1,"max_consumers":-1,"max_msgs_per_subject":-1,"allow_msg_ttl":true,
        "duplicate_window":120000000000,"deny_delete":true,"deny_purge":true,
        "subject_transform":{"src":"shop.evt.house.*",
            "dest":"shop.evt.house.{{partition(8,1)}}.{{wildcard(1)}}"}}"#;
    let answer = bus
        .request(
            callboard::bus::Message::new("$JS.API.STREAM.CREATE.shop_EVT_house", create),
            std::time::Duration::from_secs(5),
        )
        .await?;
    let answer = String::from_utf8_lossy(&answer.payload).into_owned();
    assert!(!answer.contains("\"error\""), "{answer}");
    let config = StreamConfig::events(&"shop".parse()?, "house");
    let opened = bus.stream(&config).await;
    assert!(
        matches!(&opened, Err(StreamError::Differs { difference, .. }) if difference.contains("allow_msg_ttl")),
        "{opened:?}"
    );
    Ok(())
}
