//! What a call promises: one typed answer, one deadline, and who asked for it.

#[path = "../support/mod.rs"]
mod support;

mod detached;
mod till;
mod unavailable;

use callboard::{
    CallError,
    bus::{Message, StreamConfig},
    message::{
        Headers, Id, Status, codec,
        headers::{CB_DEADLINE, CE_CAUSATION, CE_CORRELATION, CE_TYPE},
    },
};
use std::time::Duration;
use support::way::{SOON, Verdict, every_way, until};
use till::{Charge, ChargeAbroad, Counter, Declined, Forget, Nowhere, Probe, Relay, Wait, open};
use tokio::time::Instant;

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_rejection_arrives_typed_and_is_no_failure() -> Verdict {
    every_way(async |way| {
        let Counter { node, log, .. } = open(way).await?;
        let client = node.client();
        assert_eq!(client.call(Charge { amount: 100 }).await?, 100);
        let refused = client.call(Charge { amount: 101 }).await;
        assert!(
            matches!(
                refused,
                Err(CallError::Rejected(Declined::OverLimit { limit: 100 }))
            ),
            "{refused:?}"
        );
        assert_eq!(
            refused.expect_err("it is refused").to_string(),
            "over the limit of 100"
        );
        let outcome = client.call(Charge { amount: 102 }).outcome().await?;
        assert_eq!(outcome, Err(Declined::OverLimit { limit: 100 }));
        assert_eq!(client.call(Charge { amount: 1 }).outcome().await?, Ok(1));
        assert_eq!(log.lines().len(), 4, "a no is not tried again");
        assert_eq!(node.tree().groups[0].children[0].restarts, 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_call_ends_with_its_timeout_and_what_is_late_is_not_run() -> Verdict {
    every_way(async |way| {
        let Counter { node, log, gate } = open(way).await?;
        let client = node.client();
        let waiting = client.call(Wait).timeout(SHORT).await;
        assert!(
            matches!(waiting, Err(CallError::Timeout { timeout: SHORT, .. })),
            "{waiting:?}"
        );
        let late = client.call(Charge { amount: 1 }).timeout(SHORT).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
        assert_eq!(
            late.expect_err("it is late").to_string(),
            "no reply from till.charge within 100ms"
        );
        gate.add_permits(1);
        assert_eq!(client.call(Charge { amount: 2 }).await?, 2);
        assert_eq!(
            log.lines(),
            ["wait", "charge 2"],
            "the expired command was not run"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_expired_command_of_a_plain_client_is_a_408() -> Verdict {
    every_way(async |way| {
        let Counter { node, log, .. } = open(way).await?;
        let mut headers = Headers::new();
        headers.insert(CB_DEADLINE, "1000")?;
        let charge = codec::encode(&Charge { amount: 1 })?;
        let reply = way
            .ask("cmd.till.charge", Message::new("", charge).headers(headers))
            .await?;
        let (status, reason) = Status::read(&reply.headers).ok_or("it was answered")?;
        assert_eq!(status, Status::DeadlinePassed);
        assert!(
            reason.contains("`till.charge`") || reason.contains("till/till"),
            "{reason}"
        );
        assert_eq!(log.lines().len(), 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_nested_call_inherits_what_is_left_of_the_time() -> Verdict {
    every_way(async |way| {
        let Counter { node, log, .. } = open(way).await?;
        let client = node.client();
        let brief = Duration::from_secs(2);
        let known = client.call(Relay { after: SHORT }).timeout(brief).await?;
        let left = known.left.ok_or("it knows no deadline")?;
        assert!(left + SHORT <= brief, "{left:?}");
        log.clear();
        let late = client.call(Relay { after: 3 * SHORT }).timeout(SHORT).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
        let lines = log.of(1).await;
        assert_eq!(
            lines,
            ["the deadline of till.probe passed before it was run"]
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn nobody_is_known_at_once_and_a_missing_command_is_a_404() -> Verdict {
    every_way(async |way| {
        let Counter { node, .. } = open(way).await?;
        let client = node.client();
        let asked = Instant::now();
        let nobody = client.call(Nowhere).timeout(SOON).await;
        assert!(
            matches!(nobody, Err(CallError::NoResponders { .. })),
            "{nobody:?}"
        );
        assert!(asked.elapsed() < SOON / 4, "{:?}", asked.elapsed());
        let text = nobody.expect_err("nobody is there").to_string();
        assert!(
            text.contains("nowhere.go") && text.contains("is a node"),
            "{text}"
        );
        let missing = client.call(Forget).await;
        assert!(
            matches!(
                &missing,
                Err(CallError::Refused { status: Status::NotFound, reason, .. })
                    if reason.contains("`till`") && reason.contains("`till.forget`")
            ),
            "{missing:?}"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn two_types_behind_one_subject_meet_in_the_codec() -> Verdict {
    every_way(async |way| {
        let Counter { node, .. } = open(way).await?;
        let client = node.client();
        let abroad = ChargeAbroad { note: "from afar".to_owned(), amount: 7 };
        assert_eq!(client.call(abroad).await?, 7);
        assert_eq!(client.call(Charge { amount: 8 }).await?, 8);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn ids_and_callers_travel_with_what_follows() -> Verdict {
    every_way(async |way| {
        let Counter { node, .. } = open(way).await?;
        let story = Id::new();
        let relay = Relay { after: Duration::ZERO };
        let known = node.client().call(relay).id(story.clone()).await?;
        assert_eq!(known.correlation, story.to_string());
        assert_eq!(
            known.caller.as_deref(),
            Some("desk"),
            "a nested group speaks for its domain"
        );
        assert_ne!(known.id, story.to_string());
        let events = way
            .bus
            .stream(&StreamConfig::events(&way.names(), "till"))
            .await?;
        let stored = events.read(">", 1).await?.all().await?;
        let header = |name| stored[0].headers.get(name).unwrap_or_default().to_owned();
        assert_eq!(stored.len(), 1);
        assert_eq!(header(CE_TYPE), "till.probed");
        assert_eq!(header(CE_CORRELATION), story.to_string());
        assert_eq!(header(CE_CAUSATION), known.id);
        let outside = node.client().call(Probe).await?;
        assert_eq!(outside.caller.as_deref(), Some("client"));
        assert_eq!(outside.correlation, outside.id);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn the_longest_timeout_is_a_timeout_too() -> Verdict {
    every_way(async |way| {
        let Counter { node, .. } = open(way).await?;
        let client = node.client();
        assert_eq!(
            client
                .call(Charge { amount: 1 })
                .timeout(Duration::MAX)
                .await?,
            1
        );
        let none = client
            .call(Charge { amount: 2 })
            .timeout(Duration::ZERO)
            .await;
        assert!(
            matches!(none, Err(CallError::DeadlinePassed { .. })),
            "{none:?}"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_told_command_is_run_once_and_nobody_waits() -> Verdict {
    every_way(async |way| {
        let Counter { node, log, .. } = open(way).await?;
        node.client().tell(Charge { amount: 5 }).await?;
        until("the charge", async || log.count("charge 5") == 1).await;
        Ok(node.stop().await?)
    })
    .await
}
