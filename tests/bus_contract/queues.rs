//! Queues: of all subscriptions of one, one gets each message.

use crate::scope::{A_WHILE, SOON, Scope, Verdict, heard, text, until};
use callboard::bus::{Message, Subscription};
use futures_util::future::join_all;
use std::{collections::BTreeSet, error::Error, time::Duration};
use tokio::time::timeout;

const COUNT: usize = 300;

async fn send_numbers(scope: &Scope, subject: &str) -> Verdict {
    for number in 0..COUNT {
        let sent = Message::new(scope.at(subject), number.to_string());
        scope.bus.send(sent).await?;
    }
    Ok(())
}

/// Takes what members have until they are silent.
async fn drained(members: &mut [Subscription]) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let drain = async |member: &mut Subscription| {
        let mut got = Vec::new();
        while let Ok(Some(next)) = timeout(A_WHILE, member.next()).await {
            got.push(String::from_utf8(next.payload.into())?);
        }
        Ok(got)
    };
    join_all(members.iter_mut().map(drain))
        .await
        .into_iter()
        .collect()
}

pub(crate) async fn one_member_gets_each_message(scope: Scope) -> Verdict {
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(scope.bus.subscribe(&scope.at("work"), Some("crew")).await?);
    }
    send_numbers(&scope, "work").await?;
    let got = drained(&mut members).await?;
    let distinct: BTreeSet<_> = got.iter().flatten().collect();
    assert_eq!(got.iter().map(Vec::len).sum::<usize>(), COUNT);
    assert_eq!(distinct.len(), COUNT);
    for share in got {
        assert!(
            share.len() > COUNT / 10,
            "a fair share, not {}",
            share.len()
        );
    }
    Ok(())
}

pub(crate) async fn each_queue_and_each_loner_gets_a_copy(scope: Scope) -> Verdict {
    let mut all = Vec::new();
    for queue in [Some("red"), Some("blue"), None] {
        all.push(scope.bus.subscribe(&scope.at("work"), queue).await?);
    }
    scope.bus.send(Message::new(scope.at("work"), "1")).await?;
    for subscription in &mut all {
        assert_eq!(text(subscription).await?, "1");
        assert!(timeout(A_WHILE / 4, subscription.next()).await.is_err());
    }
    Ok(())
}

pub(crate) async fn a_queue_spans_filters(scope: Scope) -> Verdict {
    let mut members = Vec::new();
    for filter in ["work.*", "work.a", "work.>"] {
        members.push(scope.bus.subscribe(&scope.at(filter), Some("crew")).await?);
    }
    send_numbers(&scope, "work.a").await?;
    let got = drained(&mut members).await?;
    assert_eq!(got.iter().map(Vec::len).sum::<usize>(), COUNT);
    Ok(())
}

pub(crate) async fn a_queue_goes_on_when_a_member_leaves(scope: Scope) -> Verdict {
    let subject = scope.at("work");
    let mut stays = scope.bus.subscribe(&subject, Some("crew")).await?;
    let leaves = scope.bus.subscribe(&subject, Some("crew")).await?;
    drop(leaves);
    // A remote carrier may still count the one that left for a moment.
    let mut row = 0;
    until(async || {
        scope.bus.send(Message::new(subject.clone(), "")).await?;
        let got = timeout(Duration::from_millis(200), stays.next()).await;
        row = if got.is_ok() { row + 1 } else { 0 };
        Ok(row == 10)
    })
    .await
}

pub(crate) async fn a_queue_spans_connections(scope: Scope) -> Verdict {
    let other = scope.bus.reopen().await?;
    let mut members = vec![
        scope.bus.subscribe(&scope.at("work"), Some("crew")).await?,
        other.subscribe(&scope.at("work"), Some("crew")).await?,
    ];
    send_numbers(&scope, "work").await?;
    let got = drained(&mut members).await?;
    assert_eq!(got.iter().map(Vec::len).sum::<usize>(), COUNT);
    Ok(())
}

pub(crate) async fn a_request_reaches_one_member(scope: Scope) -> Verdict {
    let mut a = scope.bus.subscribe(&scope.at("work"), Some("crew")).await?;
    let mut b = scope.bus.subscribe(&scope.at("work"), Some("crew")).await?;
    let asked = scope.bus.request(Message::new(scope.at("work"), ""), SOON);
    let answered = async {
        let got = tokio::select! {
            got = heard(&mut a) => got?,
            got = heard(&mut b) => got?,
        };
        let reply = got.reply.ok_or("no reply subject")?;
        scope.bus.send(Message::new(reply, "done")).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (reply, answered) = tokio::join!(asked, answered);
    answered?;
    assert_eq!(reply?.payload, "done");
    assert!(timeout(A_WHILE / 2, a.next()).await.is_err());
    assert!(timeout(A_WHILE / 2, b.next()).await.is_err());
    Ok(())
}
