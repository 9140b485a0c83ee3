//! Who listens beside a namespace changes nothing, and what is not permitted is told.

use crate::{
    house::{Ring, node},
    support::{nats::Server, way::Verdict},
};
use callboard::{
    Bus, Client, NodeError, breaker,
    bus::{Message, RequestError, SendError, nats::Options},
};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_listener_to_everything_keeps_no_node_from_starting() -> Verdict {
    for tap in [">", "shop.>", "_INBOX.>"] {
        let server = Server::start();
        let spy = Bus::nats(server.url()).await?;
        let _heard = spy.subscribe(tap, None).await?;
        let bus = Bus::nats(server.url()).await?;
        let running = node("n1", &bus).start().await?;
        let start = Instant::now();
        drop(bus.subscribe("elsewhere", None).await?);
        assert!(start.elapsed() < Duration::from_secs(2), "beside {tap}");
        running.client().call(Ring { bell: "door".into() }).await?;
        let beside = Client::new(bus.clone(), "shop".parse()?);
        breaker::ask(&beside, None, Duration::from_secs(2)).await?;
        let second = node("n1", &bus).start().await;
        assert!(
            matches!(second, Err(NodeError::NameTaken { .. })),
            "beside {tap}: {second:?}"
        );
        running.stop().await?;
        node("n1", &bus).start().await?.stop().await?;
    }
    Ok(())
}

const NO_WORD_TO_NODES: &str = r#"
    authorization { users: [{
        user: shop, password: a
        permissions {
            publish: ["$JS.>", "_INBOX.>", "shop.cmd.>", "shop.evt.>"]
            subscribe: ["shop.>", "_INBOX.>", "$SRV.>"]
        }
    }] }"#;

#[tokio::test]
async fn a_missing_permission_to_publish_is_told_as_one() -> Verdict {
    let server = Server::with(NO_WORD_TO_NODES);
    let bus = Bus::nats(Options::new(server.url()).user("shop", "a")).await?;
    let asked = bus
        .request(Message::new("shop.sys.x", ""), Duration::from_millis(500))
        .await;
    assert!(
        matches!(&asked, Err(RequestError::Send(SendError::Refused { subject, .. })) if subject == "shop.sys.x"),
        "{asked:?}"
    );
    let refused = node("n1", &bus).start().await.expect_err("it may not ask");
    let text = refused.to_string();
    assert!(
        text.contains("shop.sys.") && text.contains("Permissions Violation"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_refused_subscription_is_told_at_once_and_does_not_bar_others() -> Verdict {
    let config = r#"
        authorization { users: [{
            user: shop, password: a
            permissions { subscribe: ["_INBOX.>", "open.>"], publish: ">" }
        }] }"#;
    let server = Server::with(config);
    let bus = Bus::nats(Options::new(server.url()).user("shop", "a")).await?;
    let start = Instant::now();
    for _ in 0..3 {
        let refused = bus.subscribe("closed.*", Some("q")).await;
        assert!(
            matches!(&refused, Err(error) if error.to_string().contains("Permissions Violation")),
            "{refused:?}"
        );
        bus.subscribe("open.*", None).await?;
    }
    assert!(start.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[tokio::test]
async fn a_stranger_who_answers_first_confirms_no_append() -> Verdict {
    use callboard::{
        bus::{Append, Expect, StreamConfig},
        message::{Headers, headers::MSG_ID},
    };
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stranger = Bus::nats(server.url()).await?;
    let mut asked = stranger.subscribe("orders.forged", None).await?;
    let mut answering = JoinSet::new();
    answering.spawn(async move {
        while let Some(Message { reply: Some(reply), .. }) = asked.next().await {
            let forged = r#"{"stream":"x","seq":1}"#;
            stranger.send(Message::new(reply, forged)).await.ok();
        }
    });
    let stream = bus
        .stream(&StreamConfig::new(
            "ORDERS",
            ["orders.sound".to_owned(), "orders.forged".to_owned()],
        ))
        .await?;
    let message = |subject: &str, id: &str| -> Result<Message, Box<dyn std::error::Error>> {
        let mut headers = Headers::new();
        headers.insert(MSG_ID, id)?;
        Ok(Message::new(subject, "x").headers(headers))
    };
    // Whoever of the two answers first: what is told as committed stands in the stream.
    for number in 0..3 {
        let id = format!("f{number}");
        let told = stream
            .append(message("orders.forged", &id)?, Expect::Any)
            .await?;
        if let Append::Committed { sequence, .. } = told {
            let last = stream.last("orders.forged").await?;
            assert_eq!(last.map(|last| last.sequence), Some(sequence));
        }
    }
    Ok(())
}
