//! Messages that a stream passes on when they are due.

use crate::scope::{
    A_WHILE, SOON, Scope, Verdict, committed, known, message, nothing_for, taken, until,
};
use callboard::{
    bus::{
        Append, AppendError, CancelError, Consumer, ConsumerConfig, Expect, Message, Stream,
        StreamConfig, StreamError,
    },
    message::headers,
    time::Clock,
};
use std::{
    error::Error,
    time::{Duration, SystemTime},
};
use tokio::{task::JoinSet, time::timeout};

/// How far ahead a time is that a case waits for.
const AHEAD: Duration = Duration::from_millis(600);
/// How far ahead a time is that no case waits for.
const FAR: Duration = Duration::from_hours(1);

impl Scope {
    /// Describes a stream of jobs in partitions, and of what is scheduled for it.
    fn schedules(&self) -> StreamConfig {
        let mut config = self.config("JOBS", &["job.*", "tmr.>"]);
        config.immutable = false;
        config.schedules = true;
        config.partitions = 4;
        config
    }

    async fn timers(&self) -> Result<(Stream, Consumer), Box<dyn Error>> {
        let stream = self.bus.stream(&self.schedules()).await?;
        let mut config = ConsumerConfig::new(self.name("jobs"));
        config.filter = Some(self.at("job.*"));
        let consumer = stream.consumer(&config).await?;
        Ok((stream, consumer))
    }

    /// Schedules a message from `tmr.{name}` to `job.{name}`.
    async fn schedule(
        &self,
        stream: &Stream,
        (name, id): (&str, &str),
        at: SystemTime,
        expect: Expect,
    ) -> Result<Append, AppendError> {
        let target = self.at(&format!("job.{name}"));
        let message = message(self.at(&format!("tmr.{name}")), id).scheduled(at, &target);
        stream.append(message, expect).await
    }
}

fn now() -> SystemTime {
    Clock::system().now()
}

pub(crate) async fn a_scheduled_message_is_passed_on_when_it_is_due(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    let due = now() + AHEAD;
    let mut timer = message(scope.at("tmr.a"), "1");
    timer.headers.insert("x-own", "kept")?;
    let timer = timer.scheduled(due, &scope.at("job.a"));
    assert_eq!(stream.append(timer, Expect::Any).await?, committed(1));
    nothing_for(&mut consumer, AHEAD / 2).await?;
    let fired = taken(&mut consumer).await?;
    assert!(now() >= due, "too early");
    let stored = &fired.message;
    assert_eq!(
        (&*stored.subject, &*stored.payload),
        (&*scope.at("job.a"), &b"1"[..])
    );
    let header = |name| stored.headers.get(name);
    assert_eq!(header("x-own"), Some("kept"));
    assert_eq!(
        (header(headers::MSG_ID), header(headers::SCHEDULE)),
        (None, None)
    );
    assert_eq!(header(headers::SCHEDULER), Some(&*scope.at("tmr.a")));
    fired.ack().await?;
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn an_overdue_message_is_passed_on_at_once(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    scope
        .schedule(&stream, ("a", "1"), now() - FAR, Expect::Any)
        .await?;
    assert_eq!(taken(&mut consumer).await?.message.payload, "1");
    Ok(())
}

pub(crate) async fn a_message_for_the_far_future_is_not_passed_on_now(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    // Nanoseconds since 1970 leave 64 bits in 2262; RFC 3339 ends with 9999.
    for (name, years) in [("a", 230), ("b", 240), ("c", 1_000), ("d", 9_000)] {
        let at = now() + Duration::from_hours(years * 365 * 24);
        scope
            .schedule(&stream, (name, name), at, Expect::Any)
            .await?;
    }
    nothing_for(&mut consumer, A_WHILE).await?;
    assert!(stream.cancel(&scope.at("tmr.d")).await?, "it waits");
    Ok(())
}

pub(crate) async fn a_cancelled_message_is_not_passed_on(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    scope
        .schedule(&stream, ("a", "1"), now() + AHEAD, Expect::Any)
        .await?;
    scope
        .schedule(&stream, ("b", "2"), now() + AHEAD, Expect::Any)
        .await?;
    let subject = scope.at("tmr.a");
    assert!(stream.cancel(&subject).await?, "it was there");
    assert!(!stream.cancel(&subject).await?, "it is gone");
    assert!(!stream.cancel(&scope.at("tmr.c")).await?, "it never was");
    assert_eq!(taken(&mut consumer).await?.message.payload, "2");
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn a_later_schedule_replaces_an_earlier_one(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    scope
        .schedule(&stream, ("a", "1"), now() + AHEAD, Expect::Any)
        .await?;
    scope
        .schedule(&stream, ("a", "2"), now() + AHEAD * 2, Expect::Any)
        .await?;
    scope
        .schedule(&stream, ("b", "3"), now() + FAR, Expect::Any)
        .await?;
    scope
        .schedule(&stream, ("b", "4"), now() + AHEAD, Expect::Any)
        .await?;
    assert_eq!(taken(&mut consumer).await?.message.payload, "4");
    assert_eq!(taken(&mut consumer).await?.message.payload, "2");
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn what_is_passed_on_or_cancelled_is_seen_no_more(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    for (name, id, ahead) in [("a", "1", Duration::ZERO), ("b", "2", FAR), ("c", "3", FAR)] {
        scope
            .schedule(&stream, (name, id), now() + ahead, Expect::Any)
            .await?;
    }
    taken(&mut consumer).await?.ack().await?;
    stream.cancel(&scope.at("tmr.b")).await?;
    until(async || Ok(stream.last(&scope.at("tmr.a")).await?.is_none())).await?;
    assert_eq!(stream.last(&scope.at("tmr.b")).await?, None);
    let left = stream.last(&scope.at("tmr.c")).await?;
    assert_eq!(left.map(|left| left.payload), Some("3".into()));
    let left = stream.read(">", 1).await?.all().await?;
    let mut left: Vec<_> = left.into_iter().map(|stored| stored.subject).collect();
    left.sort_unstable();
    assert_eq!(left, [scope.at("job.a"), scope.at("tmr.c")]);
    assert_eq!(stream.info().await?.messages, 2);
    Ok(())
}

pub(crate) async fn zero_expects_that_nothing_is_scheduled(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    let none = Expect::Last(0);
    scope
        .schedule(&stream, ("a", "1"), now() + AHEAD, none)
        .await?;
    let second = scope
        .schedule(&stream, ("a", "2"), now() + AHEAD, none)
        .await?;
    assert_eq!(second, Append::Conflict);
    taken(&mut consumer).await?.ack().await?;
    until(async || {
        let again = scope
            .schedule(&stream, ("a", "3"), now() + FAR, none)
            .await?;
        Ok(matches!(again, Append::Committed { .. }))
    })
    .await?;
    assert!(stream.cancel(&scope.at("tmr.a")).await?);
    let again = scope
        .schedule(&stream, ("a", "4"), now() + FAR, none)
        .await?;
    assert!(matches!(again, Append::Committed { .. }), "{again:?}");
    Ok(())
}

pub(crate) async fn a_known_id_is_not_scheduled_again(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    let first = scope
        .schedule(&stream, ("a", "1"), now(), Expect::Any)
        .await?;
    assert_eq!(first, committed(1));
    taken(&mut consumer).await?.ack().await?;
    let again = scope
        .schedule(&stream, ("a", "1"), now(), Expect::Any)
        .await?;
    assert_eq!(again, known(1));
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn what_is_passed_on_is_filed_by_partition(scope: Scope) -> Verdict {
    let (stream, _) = scope.timers().await?;
    let mut config = ConsumerConfig::new(scope.name("part"));
    config.partition = Some(callboard::bus::partition("k-1", 4));
    let mut consumer = stream.consumer(&config).await?;
    scope
        .schedule(&stream, ("k-1", "1"), now(), Expect::Any)
        .await?;
    let fired = taken(&mut consumer).await?;
    assert_eq!(fired.message.subject, scope.at("job.k-1"));
    fired.ack().await?;
    stream
        .append(message(scope.at("job.k-1"), "2"), Expect::Any)
        .await?;
    assert_eq!(taken(&mut consumer).await?.message.payload, "2");
    Ok(())
}

pub(crate) async fn many_schedules_are_each_passed_on_once(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    let due = now() + AHEAD;
    for number in 0..200 {
        let (name, id) = (format!("k{number}"), number.to_string());
        scope
            .schedule(&stream, (&name, &id), due, Expect::Any)
            .await?;
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let fired = taken(&mut consumer).await?;
        assert!(seen.insert(fired.message.subject.clone()), "{fired:?}");
        fired.ack().await?;
    }
    nothing_for(&mut consumer, A_WHILE).await
}

pub(crate) async fn a_schedule_wakes_who_waits_already(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    scope
        .schedule(&stream, ("far", "1"), now() + FAR, Expect::Any)
        .await?;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { consumer.next().await });
    tokio::task::yield_now().await;
    scope
        .schedule(&stream, ("near", "2"), now() + AHEAD, Expect::Any)
        .await?;
    let fired = timeout(SOON, waiting.join_next()).await?;
    let fired = fired.ok_or("nobody waits")???;
    assert_eq!(fired.message.payload, "2");
    Ok(())
}

async fn refused(stream: &Stream, message: Message) {
    let refused = stream.append(message, Expect::Any).await;
    assert!(
        matches!(refused, Err(AppendError::Schedule { .. })),
        "{refused:?}"
    );
}

pub(crate) async fn a_stream_without_schedules_refuses_them(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let timer = message(scope.at("orders.a"), "1").scheduled(now(), &scope.at("orders.b"));
    refused(&stream, timer).await;
    assert_eq!(stream.info().await?.messages, 0);
    let subject = scope.at("orders.a");
    let expected = CancelError::NotKept { stream: scope.name("ORDERS"), subject: subject.clone() };
    assert_eq!(stream.cancel(&subject).await, Err(expected));
    Ok(())
}

pub(crate) async fn a_schedule_that_cannot_be_kept_is_refused(scope: Scope) -> Verdict {
    let (stream, _) = scope.timers().await?;
    scope.orders().await?;
    let targets = [
        "orders.a",
        "elsewhere",
        "tmr.a",
        "job.*",
        "job.a.b",
        "job.a\r\nx: y",
    ];
    for target in targets {
        let timer = message(scope.at("tmr.a"), "1").scheduled(now(), &scope.at(target));
        refused(&stream, timer).await;
    }
    for schedule in ["", "@at", "@at tomorrow", "@every 5s", "0 * * * * *"] {
        let mut timer = message(scope.at("tmr.a"), "1");
        timer.headers.insert(headers::SCHEDULE, schedule)?;
        timer
            .headers
            .insert(headers::SCHEDULE_TARGET, scope.at("job.a"))?;
        refused(&stream, timer).await;
    }
    assert_eq!(stream.info().await?.messages, 0);
    Ok(())
}

pub(crate) async fn a_plain_schedule_is_kept_or_refused_alike(scope: Scope) -> Verdict {
    let (stream, mut consumer) = scope.timers().await?;
    let good = message(scope.at("tmr.a"), "1").scheduled(now(), &scope.at("job.a"));
    let bad = message(scope.at("tmr.b"), "2").scheduled(now(), &scope.at("orders.b"));
    let answer = scope.bus.request(bad, SOON).await?;
    assert!(
        String::from_utf8_lossy(&answer.payload).contains("10190"),
        "{answer:?}"
    );
    scope.bus.request(good, SOON).await?;
    assert_eq!(taken(&mut consumer).await?.message.payload, "1");
    assert_eq!(stream.last(&scope.at("tmr.b")).await?, None);
    Ok(())
}

pub(crate) async fn schedules_need_a_stream_that_lets_go(scope: Scope) -> Verdict {
    let mut immutable = scope.schedules();
    immutable.immutable = true;
    let mut limited = scope.schedules();
    limited.max_messages = Some(10);
    let mut in_the_way = scope.schedules();
    in_the_way.subjects.push(scope.at("job.*.x"));
    for config in [immutable, limited, in_the_way] {
        let refused = scope.bus.stream(&config).await;
        assert!(
            matches!(refused, Err(StreamError::Invalid { .. })),
            "{refused:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_stream_that_keeps_none_differs(scope: Scope) -> Verdict {
    let mut config = scope.schedules();
    config.partitions = 0;
    scope.bus.stream(&config).await?;
    config.schedules = false;
    let Err(StreamError::Differs { difference, .. }) = scope.bus.stream(&config).await else {
        return Err("it was opened".into());
    };
    assert!(
        difference.contains("schedules is true, not false"),
        "{difference}"
    );
    Ok(())
}
