//! What an entity remembers of the commands it has seen.

use crate::{
    bank::{Outcome, Short, bank, deposit, node, stored, withdraw},
    support::way::until,
};
use callboard::{
    Actor, Bus, CallError, Context, Event, Failure, Group, Node, Subject,
    bus::{Expect, Message, StreamConfig},
    message::{
        Headers, Id, Status, codec,
        headers::{CB_ID, CE_CORRELATION, CE_ID, CE_SOURCE, CE_TYPE, MSG_ID},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

#[tokio::test]
async fn one_id_for_two_keys_is_two_commands() -> Outcome {
    let node = node("one", &Bus::embedded()).await?;
    let (client, id) = (node.client(), Id::from("transfer-1"));
    let started = Instant::now();
    assert_eq!(client.call(deposit("a", 5)).id(id.clone()).await?, 5);
    assert_eq!(client.call(deposit("b", 7)).id(id.clone()).await?, 7);
    assert_eq!(client.call(deposit("b", 7)).id(id).await?, 7, "done once");
    assert_eq!(client.call(withdraw("b", 7)).await?, 0);
    assert!(started.elapsed() < Duration::from_secs(5), "nothing spins");
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_retry_after_two_thousand_other_commands_gets_the_first_reply() -> Outcome {
    let bus = Bus::embedded();
    let one = node("one", &bus).await?;
    let (client, id) = (one.client(), Id::from("withdraw-x"));
    client.call(deposit("a", 100)).await?;
    assert_eq!(client.call(withdraw("a", 10)).id(id.clone()).await?, 90);
    for _ in 0..1_000 {
        client.call(deposit("a", 1)).await?;
        client.call(withdraw("a", 1)).await?;
    }
    assert_eq!(client.call(withdraw("a", 90)).await?, 0);
    assert_eq!(
        client.call(withdraw("a", 10)).id(id.clone()).await?,
        90,
        "it was done, whatever the state says now"
    );
    let two = node("two", &bus).await?;
    assert_eq!(two.client().call(withdraw("a", 10)).id(id).await?, 90);
    one.stop().await?;
    two.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_command_that_was_refused_is_refused_again_under_the_same_id() -> Outcome {
    let node = node("one", &Bus::embedded()).await?;
    let (client, id) = (node.client(), Id::from("withdraw-y"));
    let short = client
        .call(withdraw("a", 10))
        .id(id.clone())
        .outcome()
        .await?;
    assert_eq!(short, Err(Short { balance: 0 }));
    client.call(deposit("a", 50)).await?;
    let again = client.call(withdraw("a", 10)).id(id).outcome().await?;
    assert_eq!(
        again,
        Err(Short { balance: 0 }),
        "the same no, word for word"
    );
    let new = client.call(withdraw("a", 10)).outcome().await?;
    assert_eq!(new, Ok(40), "another id is another command");
    let refused = stored(&client).await?.len();
    assert_eq!(refused, 2, "a refusal costs no append");
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_one_node_remembers_does_not_hide_what_another_did_since() -> Outcome {
    let bus = Bus::embedded();
    let (one, two) = (node("one", &bus).await?, node("two", &bus).await?);
    let id = || Id::from("withdraw-z");
    let at_one = async || {
        one.client()
            .call(withdraw("a", 10))
            .id(id())
            .outcome()
            .await
    };
    assert_eq!(at_one().await?, Err(Short { balance: 0 }));
    two.client().call(deposit("a", 50)).await?;
    assert_eq!(at_one().await?, Err(Short { balance: 0 }), "said again");
    let done = two.client().call(withdraw("a", 10)).id(id()).await?;
    assert_eq!(done, 40, "the other node never heard of it");
    assert_eq!(
        at_one().await?,
        Ok(40),
        "it is done now, wherever it is asked"
    );
    one.stop().await?;
    two.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_key_is_the_callers_400() -> Outcome {
    let node = node("one", &Bus::embedded()).await?;
    for key in [String::new(), "k".repeat(129)] {
        let refused = node.client().call(deposit(&key, 1)).await;
        assert!(
            matches!(
                refused,
                Err(CallError::Refused { status: Status::Malformed, ref reason, .. })
                    if reason.contains("key")
            ),
            "{refused:?}"
        );
    }
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_empty_id_is_no_id() -> Outcome {
    let bus = Bus::embedded();
    let node = node("one", &bus).await?;
    for _ in 0..2 {
        let mut headers = Headers::new();
        headers.insert(CB_ID, "")?;
        let payload = codec::encode(&deposit("a", 5))?;
        let asked = Message::new("callboard.cmd.bank.deposit", payload).headers(headers);
        bus.request(asked, Duration::from_secs(5)).await?;
    }
    assert_eq!(
        node.client().call(withdraw("a", 10)).await?,
        0,
        "both were done"
    );
    node.stop().await?;
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Wished {
    account: String,
}

impl Event for Wished {
    const SUBJECT: Subject = Subject::new("wishes.wished");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

/// Puts an event of another system among the wishes.
async fn wish(bus: &Bus, (source, id): (&str, &str), stored_as: &str) -> Outcome {
    let mut headers = Headers::new();
    headers.insert(CE_TYPE, "wishes.wished")?;
    headers.insert(CE_SOURCE, source)?;
    headers.insert(CE_ID, id)?;
    headers.insert(MSG_ID, stored_as)?;
    let payload = codec::encode(&Wished { account: "a".into() })?;
    let message = Message::new("callboard.evt.wishes.a", payload).headers(headers);
    let events = StreamConfig::events(&"callboard".parse()?, "wishes");
    bus.stream(&events)
        .await?
        .append(message, Expect::Any)
        .await?;
    Ok(())
}

#[tokio::test]
async fn ids_of_other_systems_are_told_apart_by_their_source() -> Outcome {
    let bus = Bus::embedded();
    let granter = Actor::new("granter", async || Ok::<_, Failure>(())).on(
        async |(): &mut (), wished: Wished, ctx: &Context| {
            ctx.call(deposit(&wished.account, 1)).await?;
            Ok(())
        },
    );
    let node = Node::new("one", bus.clone())
        .group(bank())
        .group(Group::new("wishes").child(granter))
        .start()
        .await?;
    for (source, stored_as) in [("/crm", "a"), ("/erp", "b"), ("/crm", "c")] {
        wish(&bus, (source, "1"), stored_as).await?;
    }
    wish(&bus, ("/crm", "2"), "d").await?;
    let client = node.client();
    until("three deposits", async || {
        stored(&client).await.is_ok_and(|stored| stored.len() == 3)
    })
    .await;
    assert_eq!(client.call(withdraw("a", 3)).await?, 0);
    let config = StreamConfig::events(client.namespace(), "bank");
    let events = bus.stream(&config).await?.read(">", 1).await?.all().await?;
    assert_eq!(
        events[0].headers.get(CE_CORRELATION),
        Some("1"),
        "the story is theirs"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_id_of_more_than_256_bytes_is_refused_before_it_is_sent() -> Outcome {
    let node = node("one", &Bus::embedded()).await?;
    let id = Id::from("i".repeat(257).as_str());
    let refused = node.client().call(deposit("a", 1)).id(id.clone()).await;
    assert!(
        matches!(
            refused,
            Err(CallError::Refused { status: Status::Malformed, .. })
        ),
        "{refused:?}"
    );
    assert!(node.client().send(deposit("a", 1)).id(id).await.is_err());
    let id = Id::from("i".repeat(256).as_str());
    assert_eq!(node.client().call(deposit("a", 1)).id(id).await?, 1);
    node.stop().await?;
    Ok(())
}
