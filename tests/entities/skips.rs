//! A message that is no part of an entity can be left out of it, and put back.

use crate::{
    bank::{Account, Deposited, deposit},
    support::way::{Verdict, Way, both_buses, until},
};
use callboard::{
    Entity, Group, Projection,
    bus::{Expect, Message, StreamConfig},
    call::{Operator, OperatorError},
    message::{Headers, headers::MSG_ID},
    projection::{Lag, Seen, rebuild},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Serialize, Deserialize)]
struct Total;

impl callboard::Command for Total {
    const SUBJECT: callboard::Subject = callboard::Subject::new("totals.tell");
    type Outcome = Result<u64, callboard::Infallible>;
}

fn bank() -> Group {
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .apply(|account: &mut Account, deposited: &Deposited| account.balance += deposited.amount)
        .snapshot_every(2);
    Group::new("bank").child(account)
}

fn totals() -> Group {
    let total = Projection::new("total", u64::default)
        .fold(|total: &mut u64, deposited: &Deposited, _: &Seen| *total += deposited.amount)
        .answer(|total: &u64, _: &Total, _: &Lag| Ok(*total))
        .fresh_within(Duration::from_secs(10));
    Group::new("totals").child(total)
}

/// Puts what is no event among the events of an account.
async fn stray(way: &Way, payload: &str) -> Verdict {
    stray_among(way, payload, 1).await
}

/// The same, where the events are kept with so many copies.
async fn stray_among(way: &Way, payload: &str, copies: usize) -> Verdict {
    let mut headers = Headers::new();
    headers.insert(MSG_ID, format!("stray {payload}"))?;
    let subject = format!("{}.evt.bank.a", way.namespace);
    let message = Message::new(subject, payload.to_owned()).headers(headers);
    let events = StreamConfig::events(&way.names(), "bank").replicas(copies);
    way.bus
        .stream(&events)
        .await?
        .append(message, Expect::Any)
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_entity_goes_on_without_a_stray_message_and_has_it_back() -> Verdict {
    both_buses(async |way| {
        let node = way.node("one").group(bank()).start().await?;
        let client = node.client();
        let operator = Operator::new(way.bus.clone(), way.names());
        client.call(deposit("a", 5)).await?;
        stray(way, "one").await?;
        until("the account cannot be loaded", async || {
            let asked = client.call(deposit("a", 1)).await;
            asked.is_err_and(|error| {
                let error = error.to_string();
                error.contains("ce-type") && error.contains("entity skip bank a 2")
            })
        })
        .await;
        let nothing = operator
            .skip_message("bank", "b", 2, "a stray message")
            .await;
        assert!(
            matches!(nothing, Err(OperatorError::NoMessage { .. })),
            "{nothing:?}"
        );
        operator
            .skip_message("bank", "a", 2, "a stray message")
            .await?;
        assert_eq!(client.call(deposit("a", 1)).await?, 6, "at once");
        for balance in 7..=10 {
            assert_eq!(client.call(deposit("a", 1)).await?, balance);
        }
        let told = operator.skipped_messages().await?;
        let told: Vec<_> = told
            .iter()
            .map(|skip| (&*skip.domain, &*skip.key, skip.sequence, &*skip.reason))
            .collect();
        assert_eq!(told, [("bank", "a", 2, "a stray message")]);
        let other = way.node("two").group(bank()).start().await?;
        assert_eq!(other.client().call(deposit("a", 1)).await?, 11);
        other.stop().await?;
        assert!(operator.unskip_message("bank", "a", 2).await?);
        until("the account cannot be loaded again", async || {
            client.call(deposit("a", 1)).await.is_err()
        })
        .await;
        assert!(!operator.unskip_message("bank", "a", 2).await?);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_message_is_left_out_also_where_nodes_keep_three_copies() -> Verdict {
    let way = Way::embedded(true);
    let node = way.node("one").replicas(3).group(bank()).start().await?;
    let (client, operator) = (node.client(), Operator::new(way.bus.clone(), way.names()));
    client.call(deposit("a", 5)).await?;
    stray_among(&way, "one", 3).await?;
    operator
        .skip_message("bank", "a", 2, "a stray message")
        .await?;
    assert_eq!(client.call(deposit("a", 1)).await?, 6);
    let other = way.node("two").replicas(3).group(bank()).start().await?;
    assert_eq!(other.client().call(deposit("a", 1)).await?, 7);
    other.stop().await?;
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_readable_event_that_is_skipped_is_taken_out_of_states_snapshots_and_models() -> Verdict {
    both_buses(async |way| {
        let node = way
            .node("one")
            .group(bank())
            .group(totals())
            .start()
            .await?;
        let client = node.client();
        let operator = Operator::new(way.bus.clone(), way.names());
        for amount in [1, 1_000, 1, 1] {
            client.call(deposit("a", amount)).await?;
        }
        assert_eq!(client.call(Total).await?, 1_003);
        operator
            .skip_message("bank", "a", 2, "booked by mistake")
            .await?;
        until("the state without the event", async || {
            client
                .call(deposit("a", 1))
                .await
                .is_ok_and(|balance| balance < 1_000)
        })
        .await;
        until("the model without the event", async || {
            let rebuilt = rebuild(&client, "totals/total", Duration::from_secs(10)).await;
            rebuilt.is_ok() && client.call(Total).await.is_ok_and(|total| total < 1_000)
        })
        .await;
        let other = way.node("two").group(bank()).start().await?;
        assert!(other.client().call(deposit("a", 1)).await? < 1_000);
        other.stop().await?;
        Ok(node.stop().await?)
    })
    .await
}
