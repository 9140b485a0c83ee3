//! Single messages that an operator takes out of a stream.

use crate::scope::{
    ACK_WAIT, Scope, Verdict, acked, brisk, committed, known, message, nothing_for, taken,
};
use callboard::{
    bus::{Append, ConsumerConfig, Expect, Stream, StreamConfig},
    call::{Operator, OperatorError},
    message::headers::{CB_DEAD_REASON, CB_DEAD_SEQUENCE, CB_DEAD_STREAM, CB_DEAD_SUBJECT},
    time::Clock,
};
use std::{error::Error, time::Duration};

/// Who drops messages here, and why.
const SAID: (&str, &str) = ("ada@desk", "case 4711");

impl Scope {
    fn operator(&self) -> Operator {
        Operator::new(self.bus.clone(), self.namespace())
    }

    /// Opens a stream whose messages can be dropped, and the one of dead letters.
    async fn loose(&self) -> Result<Stream, Box<dyn Error>> {
        self.letters().await?;
        let mut config = self.config("LOOSE", &["orders.*"]);
        config.immutable = false;
        Ok(self.bus.stream(&config).await?)
    }

    async fn letters(&self) -> Result<Stream, Box<dyn Error>> {
        let config = StreamConfig::dead(&self.namespace());
        Ok(self.bus.stream(&config).await?)
    }

    async fn drop_one(&self, sequence: u64) -> Result<u64, OperatorError> {
        let stream = self.name("LOOSE");
        self.operator()
            .drop_message(&stream, sequence, SAID.0, SAID.1)
            .await
    }
}

/// Fills a stream with four messages: `a`, `b`, `a`, `a`.
async fn filled(scope: &Scope) -> Result<Stream, Box<dyn Error>> {
    let stream = scope.loose().await?;
    for (key, id) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
        scope.order(&stream, key, id).await?;
    }
    Ok(stream)
}

async fn sequences(stream: &Stream, filter: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    let all = stream.read(filter, 1).await?.all().await?;
    Ok(all.iter().map(|stored| stored.sequence).collect())
}

pub(crate) async fn streams_are_listed_with_whether_messages_can_be_dropped(
    scope: Scope,
) -> Verdict {
    filled(&scope).await?;
    let mut config = scope.config("FIRM", &["bills.*"]);
    config.immutable = true;
    scope.bus.stream(&config).await?;
    let streams = scope.operator().streams().await?;
    let listed: Vec<_> = streams
        .iter()
        .map(|stream| (&*stream.name, stream.messages, stream.immutable))
        .collect();
    let names = ["DEAD", "FIRM", "LOOSE"].map(|name| scope.name(name));
    assert_eq!(
        listed,
        [
            (&*names[0], 0, false),
            (&*names[1], 0, true),
            (&*names[2], 4, false)
        ]
    );
    Ok(())
}

pub(crate) async fn a_dropped_message_is_gone_and_those_beside_it_stay(scope: Scope) -> Verdict {
    let stream = filled(&scope).await?;
    scope.drop_one(3).await?;
    assert_eq!(sequences(&stream, &scope.at("orders.*")).await?, [1, 2, 4]);
    assert_eq!(sequences(&stream, &scope.at("orders.a")).await?, [1, 4]);
    scope.drop_one(4).await?;
    let last = stream.last(&scope.at("orders.a")).await?;
    assert_eq!(last.map(|last| last.sequence), Some(1));
    let info = stream.info().await?;
    assert_eq!((info.messages, info.last_sequence), (2, 4));
    assert_eq!(scope.order(&stream, "a", "5").await?, 5);
    assert_eq!(sequences(&stream, &scope.at("orders.*")).await?, [1, 2, 5]);
    for sequence in [3, 9] {
        let again = scope.drop_one(sequence).await;
        assert!(
            matches!(again, Err(OperatorError::NotStored { .. })),
            "{sequence}: {again:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_dropped_message_counts_for_no_expectation_and_its_id_stays_known(
    scope: Scope,
) -> Verdict {
    let stream = filled(&scope).await?;
    scope.drop_one(4).await?;
    scope.drop_one(2).await?;
    let append = async |key: &str, id: &str, expect| {
        let message = message(scope.at(&format!("orders.{key}")), id);
        stream.append(message, expect).await
    };
    assert_eq!(append("a", "4", Expect::Any).await?, known(4));
    assert_eq!(append("a", "5", Expect::Last(4)).await?, Append::Conflict);
    assert_eq!(append("a", "5", Expect::Last(3)).await?, committed(5));
    assert_eq!(append("b", "6", Expect::Last(2)).await?, Append::Conflict);
    assert_eq!(append("b", "6", Expect::Last(0)).await?, committed(6));
    Ok(())
}

pub(crate) async fn a_dropped_message_is_kept_as_a_dead_letter_with_who_and_why(
    scope: Scope,
) -> Verdict {
    filled(&scope).await?;
    let number = scope.drop_one(3).await?;
    let letters = scope.letters().await?.read(">", 1).await?.all().await?;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.sequence, &letter.payload[..]), (number, &b"3"[..]));
    let said = |name| letter.headers.get(name).unwrap_or_default().to_owned();
    assert_eq!(said(CB_DEAD_REASON), "deleted by ada@desk: case 4711");
    assert_eq!(said(CB_DEAD_STREAM), scope.name("LOOSE"));
    assert_eq!(said(CB_DEAD_SUBJECT), scope.at("orders.a"));
    assert_eq!(said(CB_DEAD_SEQUENCE), "3");
    Ok(())
}

pub(crate) async fn a_dropped_message_is_not_delivered(scope: Scope) -> Verdict {
    let stream = filled(&scope).await?;
    // One that takes a message at a time has not been sent the third.
    let mut before = ConsumerConfig::new("before");
    before.max_ack_pending = 1;
    let mut before = stream.consumer(&before).await?;
    assert_eq!(acked(&mut before, 1).await?, [1]);
    scope.drop_one(3).await?;
    assert_eq!(acked(&mut before, 2).await?, [2, 4]);
    let mut after = stream.consumer(&ConsumerConfig::new("after")).await?;
    assert_eq!(acked(&mut after, 3).await?, [1, 2, 4]);
    scope.order(&stream, "c", "5").await?;
    assert_eq!(acked(&mut before, 1).await?, [5]);
    assert_eq!(acked(&mut after, 1).await?, [5]);
    Ok(())
}

pub(crate) async fn a_dropped_message_that_was_delivered_does_not_come_again(
    scope: Scope,
) -> Verdict {
    let stream = filled(&scope).await?;
    let mut consumer = stream.consumer(&brisk("slow")).await?;
    let held = taken(&mut consumer).await?;
    assert_eq!(held.message.sequence, 1);
    assert_eq!(acked(&mut consumer, 3).await?, [2, 3, 4]);
    scope.drop_one(1).await?;
    nothing_for(&mut consumer, ACK_WAIT * 2).await?;
    scope.order(&stream, "a", "5").await?;
    assert_eq!(acked(&mut consumer, 1).await?, [5]);
    Ok(())
}

pub(crate) async fn a_dropped_timer_does_not_fire(scope: Scope) -> Verdict {
    const AHEAD: Duration = Duration::from_secs(2);
    scope.letters().await?;
    let mut config = scope.config("LOOSE", &["job.*", "tmr.>"]);
    (config.immutable, config.schedules) = (false, true);
    let stream = scope.bus.stream(&config).await?;
    let due = Clock::system().now() + AHEAD;
    let (timer, job) = (scope.at("tmr.a"), scope.at("job.a"));
    let first = message(timer.clone(), "1").scheduled(due, &job);
    assert_eq!(stream.append(first, Expect::Any).await?, committed(1));
    scope.drop_one(1).await?;
    assert!(!stream.cancel(&timer).await?, "nothing is scheduled");
    let other = message(scope.at("tmr.b"), "2").scheduled(due, &scope.at("job.b"));
    stream.append(other, Expect::Any).await?;
    let mut jobs = ConsumerConfig::new("jobs");
    jobs.filter = Some(scope.at("job.*"));
    let mut jobs = stream.consumer(&jobs).await?;
    let fired = taken(&mut jobs).await?;
    assert_eq!(fired.message.subject, scope.at("job.b"));
    fired.ack().await?;
    nothing_for(&mut jobs, AHEAD / 2).await?;
    let next = message(timer, "3").scheduled(due, &job);
    stream.append(next, Expect::Last(0)).await?;
    assert_eq!(taken(&mut jobs).await?.message.subject, job);
    Ok(())
}

pub(crate) async fn the_dropped_last_message_of_a_subject_leaves_nothing_there(
    scope: Scope,
) -> Verdict {
    scope.letters().await?;
    let mut config = scope.config("LOOSE", &["orders.*"]);
    (config.immutable, config.last_per_subject) = (false, true);
    let stream = scope.bus.stream(&config).await?;
    for (key, id) in [("a", "1"), ("b", "2"), ("a", "3")] {
        scope.order(&stream, key, id).await?;
    }
    scope.drop_one(3).await?;
    let all = scope.at("orders.*");
    assert!(stream.last(&scope.at("orders.a")).await?.is_none());
    assert_eq!(sequences(&stream, &all).await?, [2]);
    let info = stream.info().await?;
    assert_eq!((info.messages, info.last_sequence), (1, 3));
    assert_eq!(scope.order(&stream, "a", "4").await?, 4);
    assert_eq!(sequences(&stream, &all).await?, [2, 4]);
    Ok(())
}

pub(crate) async fn a_message_of_an_immutable_stream_is_not_dropped(scope: Scope) -> Verdict {
    let letters = scope.letters().await?;
    let stream = scope.filled(2).await?;
    let dropped = scope.operator();
    let dropped = dropped
        .drop_message(&scope.name("ORDERS"), 1, SAID.0, SAID.1)
        .await;
    assert!(
        matches!(dropped, Err(OperatorError::Kept { .. })),
        "{dropped:?}"
    );
    assert_eq!(stream.info().await?.messages, 2);
    assert_eq!(letters.info().await?.messages, 0, "nothing is recorded");
    let missing = scope.operator();
    let missing = missing
        .drop_message(&scope.name("NONE"), 1, SAID.0, SAID.1)
        .await;
    assert!(
        matches!(missing, Err(OperatorError::NotStored { .. })),
        "{missing:?}"
    );
    Ok(())
}
