//! What an operator sees of jobs and does about them.

use crate::{
    bank::{Pay, Sweep, Trouble, fine, payment, start},
    support::{
        log::Log,
        way::{Verdict, Way, both_buses, until},
    },
};
use callboard::{
    Command,
    bus::{Expect, Message, Stored, Stream, StreamConfig},
    call::{JobState, LetterState, NewJob, Operator, OperatorError},
    message::{
        Headers, Id, codec,
        headers::{CB_DUE, MSG_ID},
    },
    time::Clock,
};
use std::time::{Duration, UNIX_EPOCH};

const FAR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn timers_and_jobs_that_wait_are_listed_and_no_more_than_asked_for() -> Verdict {
    both_buses(async |way| {
        let operator = Operator::new(way.bus.clone(), way.names());
        assert_eq!(
            operator.jobs("bank", 10).await?.jobs.len(),
            0,
            "nobody was here"
        );
        let client = way.client();
        client.send_in(fine("a b"), FAR).named("timeout").await?;
        client
            .send_in(Sweep { floor: 1 }, FAR)
            .named("broom")
            .await?;
        client.send(fine("c")).id(Id::from("c-1")).await?;
        let found = operator.jobs("bank", 10).await?;
        let told: Vec<_> = found
            .jobs
            .iter()
            .map(|job| (&*job.command, &*job.key, job.name.as_deref(), job.state))
            .collect();
        assert_eq!(
            told,
            [
                ("bank.pay", "a b", Some("timeout"), JobState::Timer),
                ("bank.sweep", "", Some("broom"), JobState::Timer),
                ("bank.pay", "c", None, JobState::Waiting),
            ]
        );
        assert!(found.jobs[0].due > Some(Clock::system().now()));
        assert_eq!((&*found.jobs[2].id, found.more), ("c-1", false));
        let few = operator.jobs("bank", 2).await?;
        assert_eq!((few.jobs.len(), few.more), (2, true));
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        log.of(1).await;
        until("an empty list", async || {
            let found = operator.jobs("bank", 10).await;
            found.is_ok_and(|found| found.jobs.len() == 2 && found.outstanding == 0)
        })
        .await;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_job_is_sent_by_name_and_a_timer_is_replaced_and_taken_back() -> Verdict {
    both_buses(async |way| {
        let operator = Operator::new(way.bus.clone(), way.names());
        let early = operator.send_job(NewJob::of(&fine("a"))?).await;
        assert!(
            matches!(early, Err(OperatorError::NoStream { .. })),
            "{early:?}"
        );
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let payload = codec::encode(&fine("a"))?;
        let job = NewJob::new(Pay::SUBJECT, payload)
            .key("a")
            .id(Id::from("by hand"));
        let sent = operator.send_job(job).await?;
        assert_eq!((sent.id, sent.duplicate), (Id::from("by hand"), false));
        assert_eq!(log.of(1).await, ["a 1"]);
        let later = |account| {
            NewJob::of(&fine(account))
                .map(|job| job.key("b").named("x").at(Clock::system().now() + FAR))
        };
        operator.send_job(later("b")?).await?;
        operator.send_job(later("b2")?).await?;
        assert_eq!(
            operator.jobs("bank", 10).await?.jobs.len(),
            1,
            "it was replaced"
        );
        assert!(operator.cancel_job(Pay::SUBJECT, "b", "x").await?);
        assert!(!operator.cancel_job(Pay::SUBJECT, "b", "x").await?);
        Ok(node.stop().await?)
    })
    .await
}

/// Returns what the messages have of a header, in order.
fn values(messages: &[Stored], name: &str) -> Vec<String> {
    let values = messages.iter().filter_map(|job| job.headers.get(name));
    let mut values: Vec<_> = values.map(str::to_owned).collect();
    values.sort_unstable();
    values
}

/// Stores a job as a plain client does that gives it no id of its own, and as if it
/// had waited for its time.
async fn store_plainly(way: &Way, stream: &Stream) -> Verdict {
    let mut headers = Headers::new();
    headers.insert(MSG_ID, "plain")?;
    headers.insert(CB_DUE, "1000")?;
    let subject = format!("{}.job.bank.pay.b", way.namespace);
    let payload = codec::encode(&payment("b", Trouble::Discard))?;
    let message = Message::new(subject, payload).headers(headers);
    stream.append(message, Expect::Any).await?;
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_given_up_is_done_again_as_it_was() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = node.client();
        client
            .send(payment("a", Trouble::Until(4)))
            .id(Id::from("pay"))
            .await?;
        let config = StreamConfig::jobs(&way.names(), "bank");
        let stream = way.bus.stream(&config).await?;
        store_plainly(way, &stream).await?;
        let operator = Operator::new(way.bus.clone(), way.names());
        let letters = async || operator.dead(1, 10).await.unwrap_or_default();
        until("two letters", async || letters().await.len() == 2).await;
        let mut found = letters().await;
        found.sort_by(|a, b| a.subject.cmp(&b.subject));
        assert_eq!((&*found[0].kind, found[0].attempts), ("bank.pay", 3));
        log.clear();
        for letter in &found {
            operator.redrive(letter).await?;
        }
        // Attempts begin anew; the one fails as before.
        until("another letter", async || letters().await.len() == 4).await;
        let mut lines = log.lines();
        lines.sort_unstable();
        assert_eq!(lines, ["a 1", "a 2", "a 3", "b 1"]);
        let states: Vec<_> = letters()
            .await
            .into_iter()
            .map(|letter| letter.state)
            .collect();
        assert_eq!(states[..2], [LetterState::Resent, LetterState::Resent]);
        assert_eq!(states[2..], [LetterState::Dead, LetterState::Dead]);
        let again = operator.redrive(&found[0]).await;
        assert!(
            matches!(again, Err(OperatorError::Asked { .. })),
            "{again:?}"
        );
        let resent = stream.read(">", 3).await?.all().await?;
        assert_eq!(values(&resent, "cb-id"), ["pay", "plain"]);
        assert_eq!(values(&resent, CB_DUE), ["1000"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_job_that_no_node_could_read_is_refused_before_it_is_stored() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let started = start(way, "n", &log).await?;
        let operator = Operator::new(way.bus.clone(), way.names());
        let job = || NewJob::of(&fine("a"));
        let id = Id::from("i".repeat(257).as_str());
        let refused = operator.send_job(job()?.id(id)).await;
        assert!(
            matches!(&refused, Err(OperatorError::Record { reason }) if reason.contains("256")),
            "{refused:?}"
        );
        let large = NewJob::new(<Pay as Command>::SUBJECT, vec![0; 300 * 1024]).key("a");
        let refused = operator.send_job(large).await;
        assert!(
            matches!(&refused, Err(OperatorError::Record { reason }) if reason.contains("262144")),
            "{refused:?}"
        );
        operator.send_job(job()?).await?;
        log.of(1).await;
        assert_eq!(way.dead_letters().await?.len(), 0);
        started.stop().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_job_whose_time_no_calendar_has_is_listed_as_any_other() -> Verdict {
    both_buses(async |way| {
        let operator = Operator::new(way.bus.clone(), way.names());
        let client = way.client();
        client.send(fine("a")).await?;
        let stream = way
            .bus
            .stream(&StreamConfig::jobs(&way.names(), "bank"))
            .await?;
        let mut headers = Headers::new();
        headers.insert(MSG_ID, "far")?;
        headers.insert(CB_DUE, u64::MAX.to_string())?;
        let message = Message::new(format!("{}.job.bank.pay.b", way.namespace), "x");
        stream.append(message.headers(headers), Expect::Any).await?;
        let found = operator.jobs("bank", 10).await?;
        assert_eq!(found.jobs.len(), 2);
        let due = found.jobs.iter().find_map(|job| job.due).ok_or("a time")?;
        let due = due.duration_since(UNIX_EPOCH)?.as_secs();
        assert_eq!(due, 253_402_300_799, "the end of 9999");
        Ok(())
    })
    .await
}
