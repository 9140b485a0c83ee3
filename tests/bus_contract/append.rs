//! Appending: ids, expectations, limits.

use crate::scope::{A_WHILE, Scope, Verdict, committed, heard, known, message, until};
use callboard::{
    bus::{Append, AppendError, Expect, Message, SendError, Stream},
    message::Headers,
    time::Clock,
};
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) async fn sequences_count_from_one(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    for number in 1..=5 {
        assert_eq!(
            scope.order(&stream, "o-1", &number.to_string()).await?,
            number
        );
    }
    Ok(())
}

pub(crate) async fn a_message_without_id_is_refused(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let subject = scope.at("orders.o-1");
    let refused = stream
        .append(Message::new(subject.clone(), ""), Expect::Any)
        .await;
    assert_eq!(refused, Err(AppendError::NoId { subject }));
    assert_eq!(stream.info().await?.messages, 0);
    Ok(())
}

pub(crate) async fn an_empty_id_is_none(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let subject = scope.at("orders.o-1");
    let refused = stream.append(message(subject.clone(), ""), Expect::Any);
    assert_eq!(
        refused.await,
        Err(AppendError::NoId { subject: subject.clone() })
    );
    for payload in ["1", "2"] {
        let mut plain = message(subject.clone(), "");
        plain.payload = payload.into();
        scope.bus.request(plain, A_WHILE * 10).await?;
    }
    assert_eq!(stream.info().await?.messages, 2, "neither is the other");
    Ok(())
}

pub(crate) async fn a_foreign_subject_is_refused(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    scope.bus.stream(&scope.config("MORE", &["more.>"])).await?;
    for rest in ["nowhere.a", "orders.a.b", "more.a"] {
        let subject = scope.at(rest);
        let refused = stream
            .append(message(subject.clone(), rest), Expect::Any)
            .await;
        let expected = AppendError::NotCaptured { stream: scope.name("ORDERS"), subject };
        assert_eq!(refused, Err(expected));
    }
    Ok(())
}

pub(crate) async fn headers_beyond_what_a_stream_stores_are_refused(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let subject = scope.at("orders.o-1");
    let with = |bytes: usize| {
        let mut large = message(subject.clone(), "1");
        let inserted = large.headers.insert("x-large", "x".repeat(bytes));
        inserted.map(|()| large)
    };
    let refused = stream.append(with(65_000)?, Expect::Any).await;
    assert!(
        matches!(
            &refused,
            Err(AppendError::Headers { subject: on, bytes, limit: 65_000 })
                if *on == subject && *bytes > 65_000
        ),
        "{refused:?}"
    );
    assert_eq!(stream.info().await?.messages, 0);
    let stored = stream.append(with(64_900)?, Expect::Last(0)).await?;
    assert_eq!(stored, committed(1));
    Ok(())
}

pub(crate) async fn a_malformed_subject_is_not_appended(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    for bad in [
        scope.at("orders.*"),
        scope.at("orders."),
        scope.at("orders.a b"),
    ] {
        let refused = stream.append(message(bad.clone(), "1"), Expect::Any).await;
        let expected = SendError::Subject { subject: bad };
        assert_eq!(refused, Err(AppendError::Send(expected)));
    }
    Ok(())
}

pub(crate) async fn too_large_a_message_is_not_appended(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let mut large = message(scope.at("orders.o-1"), "1");
    large.payload = vec![0; 1024 * 1024 + 1].into();
    let refused = stream.append(large, Expect::Any).await;
    let expected = matches!(refused, Err(AppendError::Send(SendError::TooLarge { .. })));
    assert!(expected, "{refused:?}");
    Ok(())
}

pub(crate) async fn an_id_is_stored_once(scope: Scope) -> Verdict {
    let stream = scope.filled(2).await?;
    let again = message(scope.at("orders.o-1"), "1");
    assert_eq!(stream.append(again, Expect::Any).await?, known(1));
    let elsewhere = message(scope.at("orders.o-2"), "2");
    assert_eq!(stream.append(elsewhere, Expect::Any).await?, known(2));
    assert_eq!(stream.info().await?.messages, 2);
    Ok(())
}

pub(crate) async fn a_stored_id_is_a_success_whatever_is_expected(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let first = message(scope.at("orders.o-1"), "1");
    let appended = stream.append(first.clone(), Expect::Last(0)).await?;
    assert_eq!(appended, committed(1));
    assert_eq!(stream.append(first, Expect::Last(0)).await?, known(1));
    Ok(())
}

pub(crate) async fn a_stored_id_is_a_success_behind_later_ones(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let first = message(scope.at("orders.o-1"), "1");
    stream.append(first.clone(), Expect::Last(0)).await?;
    let second = message(scope.at("orders.o-1"), "2");
    stream.append(second, Expect::Last(1)).await?;
    assert_eq!(stream.append(first, Expect::Last(0)).await?, known(1));
    Ok(())
}

pub(crate) async fn an_id_is_forgotten_after_the_window(scope: Scope) -> Verdict {
    let mut config = scope.config("ORDERS", &["orders.*"]);
    config.duplicate_window = Duration::from_secs(1);
    let stream = scope.bus.stream(&config).await?;
    let first = message(scope.at("orders.o-1"), "1");
    assert_eq!(
        stream.append(first.clone(), Expect::Any).await?,
        committed(1)
    );
    assert_eq!(stream.append(first.clone(), Expect::Any).await?, known(1));
    if scope.guarantees.remembers_ids {
        tokio::time::sleep(config.duplicate_window + A_WHILE).await;
        assert_eq!(stream.append(first, Expect::Any).await?, known(1));
        return Ok(());
    }
    until(async || Ok(stream.append(first.clone(), Expect::Any).await? == committed(2))).await
}

pub(crate) async fn zero_expects_a_fresh_subject(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let used = message(scope.at("orders.o-1"), "x");
    assert_eq!(
        stream.append(used, Expect::Last(0)).await?,
        Append::Conflict
    );
    let fresh = message(scope.at("orders.o-2"), "y");
    assert_eq!(stream.append(fresh, Expect::Last(0)).await?, committed(2));
    Ok(())
}

pub(crate) async fn an_expectation_is_about_its_subject(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    scope.order(&stream, "o-2", "other").await?;
    let second = message(scope.at("orders.o-1"), "second");
    let outdated = stream.append(second.clone(), Expect::Last(2)).await?;
    assert_eq!(outdated, Append::Conflict);
    assert_eq!(stream.append(second, Expect::Last(1)).await?, committed(3));
    Ok(())
}

pub(crate) async fn a_conflict_stores_nothing_and_keeps_the_id(scope: Scope) -> Verdict {
    let stream = scope.filled(1).await?;
    let second = message(scope.at("orders.o-1"), "second");
    let conflict = stream.append(second.clone(), Expect::Last(0)).await?;
    assert_eq!(conflict, Append::Conflict);
    assert_eq!(stream.info().await?.messages, 1);
    assert_eq!(stream.append(second, Expect::Last(1)).await?, committed(2));
    Ok(())
}

async fn race(scope: &Scope, stream: Stream) -> Verdict {
    let subject = scope.at("orders.o-1");
    let mut last = 0;
    for round in 0..20 {
        let mut writers = JoinSet::new();
        for writer in 0..6 {
            let (stream, subject) = (stream.clone(), subject.clone());
            let claim = message(subject, &format!("{round}-{writer}"));
            writers.spawn(async move { stream.append(claim, Expect::Last(last)).await });
        }
        let mut won = Vec::new();
        while let Some(ended) = writers.join_next().await {
            match ended?? {
                Append::Conflict => {}
                Append::Committed { sequence, duplicate: false } => won.push(sequence),
                other => return Err(format!("round {round}: {other:?}").into()),
            }
        }
        let [winner] = won[..] else {
            return Err(format!("round {round}: {won:?} won").into());
        };
        last = winner;
    }
    assert_eq!(stream.info().await?.messages, 20);
    Ok(())
}

pub(crate) async fn of_six_writers_one_wins(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    race(&scope, stream).await
}

pub(crate) async fn of_six_writers_to_a_partition_one_wins(scope: Scope) -> Verdict {
    let stream = scope.partitioned(8).await?;
    race(&scope, stream).await
}

pub(crate) async fn writers_of_different_subjects_do_not_conflict(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let mut writers = JoinSet::new();
    for writer in 0..6 {
        let (stream, subject) = (stream.clone(), scope.at(&format!("orders.o-{writer}")));
        writers.spawn(async move {
            let mut last = 0;
            for number in 0..20 {
                let next = message(subject.clone(), &format!("{writer}-{number}"));
                match stream.append(next, Expect::Last(last)).await? {
                    Append::Committed { sequence, .. } => last = sequence,
                    _ => return Ok(None),
                }
            }
            Ok::<_, AppendError>(Some(last))
        });
    }
    while let Some(ended) = writers.join_next().await {
        assert!(ended??.is_some());
    }
    assert_eq!(stream.info().await?.messages, 120);
    Ok(())
}

pub(crate) async fn a_full_stream_refuses_and_drops_nothing(scope: Scope) -> Verdict {
    let mut config = scope.config("ORDERS", &["orders.*"]);
    config.max_messages = Some(2);
    let stream = scope.bus.stream(&config).await?;
    scope.order(&stream, "o-1", "1").await?;
    scope.order(&stream, "o-2", "2").await?;
    let refused = stream
        .append(message(scope.at("orders.o-1"), "3"), Expect::Any)
        .await;
    assert!(
        matches!(refused, Err(AppendError::Full { .. })),
        "{refused:?}"
    );
    let again = stream
        .append(message(scope.at("orders.o-1"), "1"), Expect::Any)
        .await?;
    assert_eq!(again, known(1));
    let first = stream
        .last(&scope.at("orders.o-1"))
        .await?
        .ok_or("it was dropped")?;
    assert_eq!((first.sequence, stream.info().await?.messages), (1, 2));
    Ok(())
}

pub(crate) async fn an_append_reaches_subscribers(scope: Scope) -> Verdict {
    let stream = scope.partitioned(8).await?;
    let mut orders = scope.bus.subscribe(&scope.at("orders.*"), None).await?;
    scope.order(&stream, "o-1", "1").await?;
    let got = heard(&mut orders).await?;
    assert_eq!(
        (got.subject, got.payload),
        (scope.at("orders.o-1"), "1".into())
    );
    Ok(())
}

pub(crate) async fn what_was_appended_is_kept_as_it_was(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    let mut headers = Headers::new();
    let all = [
        ("Nats-Msg-Id", "1"),
        ("ce-type", "orders.placed"),
        ("Ce-Type", "x"),
    ];
    for (name, value) in all {
        headers.insert(name, value)?;
    }
    let sent = Message::new(scope.at("orders.o-1"), vec![0, 159, 146, 150]).headers(headers);
    stream.append(sent.clone(), Expect::Last(0)).await?;
    let kept = stream.last(&sent.subject).await?.ok_or("it is not there")?;
    assert_eq!(
        (&kept.subject, &kept.payload),
        (&sent.subject, &sent.payload)
    );
    for (name, value) in all {
        assert_eq!(kept.headers.get(name), Some(value), "{name}");
    }
    Ok(())
}

pub(crate) async fn the_time_of_storage_is_kept(scope: Scope) -> Verdict {
    let before = Clock::system().now();
    let stream = scope.filled(1).await?;
    let after = Clock::system().now();
    let kept = stream
        .last(&scope.at("orders.o-1"))
        .await?
        .ok_or("it is not there")?;
    let slack = Duration::from_secs(1);
    assert!(
        before - slack <= kept.time && kept.time <= after + slack,
        "{:?}",
        kept.time
    );
    Ok(())
}
