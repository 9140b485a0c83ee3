//! Doing what was sent.

use crate::{
    bank::{Deposit, Sweep, Trouble, bank, events, fine, payment, start, teller},
    support::{
        log::Log,
        way::{Verdict, both_buses, until},
    },
};
use callboard::{
    Actor, Context, Replay, Restart,
    bus::{Expect, Message},
    message::{
        Headers, Id, codec,
        headers::{CB_DEAD_ATTEMPTS, CB_DEAD_REASON, CE_CAUSATION, MSG_ID},
    },
};

#[tokio::test]
async fn a_job_is_done_though_nobody_ran_when_it_was_sent() -> Verdict {
    both_buses(async |way| {
        let (log, client) = (Log::default(), way.client());
        for account in ["a", "b", "a", "a"] {
            client.send(fine(account)).await?;
        }
        client.send(Sweep { floor: 1 }).await?;
        let node = start(way, "n", &log).await?;
        let mut lines = log.of(5).await;
        lines.sort_unstable();
        assert_eq!(lines, ["a 1", "a 1", "a 1", "b 1", "floor 1"]);
        client.send(fine("c")).await?;
        assert_eq!(log.of(6).await[5], "c 1");
        node.stop().await?;
        let node = start(way, "n", &log).await?;
        client.send(fine("d")).await?;
        assert_eq!(log.of(7).await[6], "d 1", "what was done is not done again");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn the_first_job_may_come_from_a_plain_client() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let subject = format!("{}.job.bank.pay.b", way.namespace);
        let message = Message::new(subject, codec::encode(&fine("b"))?);
        let within = std::time::Duration::from_secs(5);
        way.bus.request(message, within).await?;
        assert_eq!(log.of(1).await, ["b 1"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn the_first_job_is_noticed_by_who_runs_already() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        way.client().send(fine("a")).await?;
        log.of(1).await;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_fails_is_tried_again_while_its_key_waits() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = node.client();
        for trouble in [Trouble::Until(3), Trouble::PanicUntil(3)] {
            client.send(payment("a", trouble)).await?;
            client.send(fine("a")).await?;
            assert_eq!(log.of(4).await, ["a 1", "a 2", "a 3", "a 1"], "{trouble:?}");
            log.clear();
        }
        assert_eq!(way.dead_letters().await?.len(), 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_is_given_up_is_a_dead_letter_and_a_no_is_done() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = node.client();
        for trouble in [
            Trouble::Reject,
            Trouble::Discard,
            Trouble::Always,
            Trouble::None,
        ] {
            client.send(payment("a", trouble)).await?;
        }
        assert_eq!(log.of(6).await, ["a 1", "a 1", "a 1", "a 2", "a 3", "a 1"]);
        assert_eq!(way.dead(2, CB_DEAD_REASON).await, ["weeds", "drought"]);
        assert_eq!(way.dead(2, CB_DEAD_ATTEMPTS).await, ["1", "3"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_cannot_be_read_is_a_dead_letter() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let stream = way
            .bus
            .stream(&callboard::bus::StreamConfig::jobs(&way.names(), "bank"))
            .await?;
        let mut headers = Headers::new();
        headers.insert(MSG_ID, "pay")?;
        let subject = format!("{}.job.bank.pay.a", way.namespace);
        let message = Message::new(subject, vec![0xC1]).headers(headers);
        stream.append(message, Expect::Any).await?;
        let reasons = way.dead(1, CB_DEAD_REASON).await;
        assert!(reasons[0].starts_with("bank.pay "), "{reasons:?}");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_plain_message_is_a_job() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        way.client().send(fine("a")).await?;
        let subject = format!("{}.job.bank.pay.b", way.namespace);
        let message = Message::new(subject, codec::encode(&fine("b"))?);
        way.bus
            .request(message, std::time::Duration::from_secs(5))
            .await?;
        let mut lines = log.of(2).await;
        lines.sort_unstable();
        assert_eq!(lines, ["a 1", "b 1"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_entity_decides_a_job_once_whoever_sends_it_again() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = node.client();
        let id = Id::from("payday");
        let deposit = |amount| Deposit { account: "a".to_owned(), amount };
        let sent = client.send(deposit(5)).id(id.clone()).await?;
        assert_eq!((&sent.id, sent.duplicate), (&id, false));
        until("the first event", async || {
            events(way).await.is_ok_and(|all| all.len() == 1)
        })
        .await;
        assert!(client.send(deposit(5)).id(id.clone()).await?.duplicate);
        // Also past the window of the stream, which a timer under a name gets around.
        client.call(deposit(5)).id(id.clone()).await?;
        client.send(deposit(0)).await?;
        client.send(deposit(7)).await?;
        until("the second event", async || {
            events(way).await.is_ok_and(|all| all.len() == 2)
        })
        .await;
        let causes = events(way).await.unwrap_or_default();
        assert_eq!(causes[0].headers.get(CE_CAUSATION), Some("payday"));
        assert_eq!(way.dead_letters().await?.len(), 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn two_nodes_share_the_jobs_and_keep_the_order_of_a_key() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let client = way.client();
        let first = start(way, "first", &log).await?;
        let second = start(way, "second", &log).await?;
        for round in 0..20 {
            for account in ["a", "b", "c", "d"] {
                client.send(fine(&format!("{account}{round}"))).await?;
            }
        }
        let lines = log.of(80).await;
        assert_eq!(lines.len(), 80);
        first.stop().await?;
        client.send(fine("late")).await?;
        assert_eq!(log.of(81).await[80], "late 1");
        Ok(second.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_a_lost_actor_held_goes_to_another_node() -> Verdict {
    both_buses(async |way| {
        let (log, other) = (Log::default(), Log::default());
        let brittle = teller(&log).restart(Restart::Temporary);
        let group = callboard::Group::new("bank").child(brittle);
        let first = way.node("first").group(group).start().await?;
        let client = first.client();
        client.send(payment("a", Trouble::PanicUntil(2))).await?;
        log.of(1).await;
        let second = start(way, "second", &other).await?;
        client.send(fine("b")).await?;
        let mut lines = other.of(3).await;
        lines.sort_unstable();
        // Each node counts its own attempts.
        assert_eq!(lines, ["a 1", "a 2", "b 1"]);
        assert_eq!(log.lines(), ["a 1"]);
        first.stop().await?;
        Ok(second.stop().await?)
    })
    .await
}

#[tokio::test]
async fn several_instances_do_the_jobs_of_a_key_in_order() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = way
            .node("n")
            .group(bank(teller(&log).instances(3)))
            .start()
            .await?;
        let client = node.client();
        client.send(payment("a", Trouble::Until(2))).await?;
        client.send(payment("a", Trouble::Reject)).await?;
        client.send(Sweep { floor: 2 }).await?;
        let lines = log.of(4).await;
        let of_key: Vec<_> = lines.iter().filter(|line| line.starts_with('a')).collect();
        assert_eq!(of_key, ["a 1", "a 2", "a 1"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_replay_hears_jobs_and_what_became_of_them() -> Verdict {
    let log = Log::default();
    let boss = Actor::new("boss", async || Ok(())).every(
        std::time::Duration::from_secs(1),
        async |(): &mut (), ctx: &Context| {
            ctx.send(payment("a", Trouble::Discard)).await?;
            Ok(())
        },
    );
    let heard = Replay::of(bank(teller(&log)))
        .with(callboard::Group::new("office").child(boss))
        .after(std::time::Duration::from_millis(1_500))
        .settle()
        .await?;
    let jobs = heard.jobs::<crate::bank::Pay>();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].0, payment("a", Trouble::Discard));
    assert_eq!(heard.dead_letters()[0].kind, "bank.pay");
    Ok(())
}
