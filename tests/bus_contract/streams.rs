//! Declaring streams.

use crate::scope::{Scope, Verdict, committed, message};
use callboard::bus::{Expect, Presence, StreamConfig, StreamError};
use tokio::task::JoinSet;

pub(crate) async fn a_stream_is_opened_again_as_it_was_made(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    scope.order(&stream, "o-1", "1").await?;
    let again = scope.orders().await?;
    assert_eq!(again.info().await?.messages, 1);
    Ok(())
}

pub(crate) async fn other_limits_differ_and_are_named(scope: Scope) -> Verdict {
    let mut config = scope.config("ORDERS", &["orders.*"]);
    config.max_messages = Some(71);
    scope.bus.stream(&config).await?;
    config.max_messages = Some(93);
    let Err(StreamError::Differs { name, difference }) = scope.bus.stream(&config).await else {
        return Err("it was opened".into());
    };
    assert_eq!(name, config.name);
    assert!(
        difference.contains("71") && difference.contains("93"),
        "{difference}"
    );
    Ok(())
}

async fn differs(scope: &Scope, change: impl FnOnce(&mut StreamConfig)) -> Verdict {
    let mut config = scope.config("ORDERS", &["orders.*"]);
    scope.bus.stream(&config).await?;
    change(&mut config);
    let refused = scope.bus.stream(&config).await;
    assert!(
        matches!(refused, Err(StreamError::Differs { .. })),
        "{refused:?}"
    );
    Ok(())
}

pub(crate) async fn other_subjects_differ(scope: Scope) -> Verdict {
    let more = scope.at("more.*");
    differs(&scope, |config| config.subjects.push(more)).await
}

pub(crate) async fn another_count_of_partitions_differs(scope: Scope) -> Verdict {
    differs(&scope, |config| config.partitions = 4).await
}

pub(crate) async fn another_duplicate_window_differs(scope: Scope) -> Verdict {
    differs(&scope, |config| config.duplicate_window *= 2).await
}

pub(crate) async fn another_immutability_differs(scope: Scope) -> Verdict {
    let mut config = scope.config("ORDERS", &["orders.*"]);
    config.immutable = false;
    scope.bus.stream(&config).await?;
    config.immutable = true;
    let refused = scope.bus.stream(&config).await;
    assert!(
        matches!(refused, Err(StreamError::Differs { .. })),
        "{refused:?}"
    );
    Ok(())
}

pub(crate) async fn a_stream_that_is_immutable_without_need_is_accepted(scope: Scope) -> Verdict {
    let mut config = scope.config("ORDERS", &["orders.*"]);
    scope.bus.stream(&config).await?;
    config.immutable = false;
    scope.bus.stream(&config).await?;
    assert_eq!(scope.bus.compare(&config).await?, Presence::Same);
    Ok(())
}

pub(crate) async fn overlapping_streams_are_refused(scope: Scope) -> Verdict {
    scope.orders().await?;
    let config = scope.config("OTHER", &["else", "*.o-1"]);
    let expected = StreamError::Overlaps {
        name: scope.name("OTHER"),
        subject: scope.at("*.o-1"),
        other: scope.name("ORDERS"),
    };
    assert_eq!(scope.bus.stream(&config).await.err(), Some(expected));
    Ok(())
}

pub(crate) async fn a_malformed_stream_name_is_refused(scope: Scope) -> Verdict {
    for bad in ["", "a.b", "a b", "a*", "a>", "a\tb"] {
        let config = StreamConfig::new(bad, [scope.at("orders.*")]);
        let refused = scope.bus.stream(&config).await;
        assert!(
            matches!(refused, Err(StreamError::Invalid { .. })),
            "{bad:?}: {refused:?}"
        );
    }
    Ok(())
}

pub(crate) async fn malformed_subjects_are_refused(scope: Scope) -> Verdict {
    for bad in [
        &[][..],
        &["a..b"],
        &["a.>.b"],
        &["a b"],
        &["a."],
        &["a.*", "a.b"],
    ] {
        let refused = scope.bus.stream(&scope.config("ORDERS", bad)).await;
        assert!(
            matches!(refused, Err(StreamError::Invalid { .. })),
            "{bad:?}: {refused:?}"
        );
    }
    Ok(())
}

pub(crate) async fn partitions_need_one_subject_that_ends_in_a_star(scope: Scope) -> Verdict {
    for bad in [&["a.*", "b.*"][..], &["a.>"], &["a"]] {
        let mut config = scope.config("ORDERS", bad);
        config.partitions = 8;
        let refused = scope.bus.stream(&config).await;
        assert!(
            matches!(refused, Err(StreamError::Invalid { .. })),
            "{bad:?}: {refused:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_new_stream_is_empty(scope: Scope) -> Verdict {
    let info = scope.orders().await?.info().await?;
    assert_eq!(info.name, scope.name("ORDERS"));
    assert_eq!(info.subjects, [scope.at("orders.*")]);
    assert_eq!((info.messages, info.last_sequence), (0, 0));
    Ok(())
}

pub(crate) async fn a_stream_says_what_it_holds(scope: Scope) -> Verdict {
    let info = scope.filled(3).await?.info().await?;
    assert_eq!((info.messages, info.last_sequence), (3, 3));
    Ok(())
}

pub(crate) async fn all_streams_are_listed(scope: Scope) -> Verdict {
    scope.filled(2).await?;
    scope.bus.stream(&scope.config("MORE", &["more.>"])).await?;
    let all = scope.bus.reopen().await?.streams().await?;
    let found = |name: String| all.iter().find(|info| info.name == name);
    let orders = found(scope.name("ORDERS")).ok_or("ORDERS is not listed")?;
    let more = found(scope.name("MORE")).ok_or("MORE is not listed")?;
    assert_eq!((orders.messages, more.messages), (2, 0));
    assert_eq!(more.subjects, [scope.at("more.>")]);
    Ok(())
}

pub(crate) async fn each_stream_counts_for_itself(scope: Scope) -> Verdict {
    let orders = scope.filled(2).await?;
    let more = scope.bus.stream(&scope.config("MORE", &["more.>"])).await?;
    let first = message(scope.at("more.a.b"), "1");
    assert_eq!(more.append(first, Expect::Last(0)).await?, committed(1));
    assert_eq!(scope.order(&orders, "o-2", "9").await?, 3);
    Ok(())
}

pub(crate) async fn many_may_make_the_same_stream_at_once(scope: Scope) -> Verdict {
    let mut makers = JoinSet::new();
    for _ in 0..6 {
        let (bus, config) = (scope.bus.clone(), scope.config("ORDERS", &["orders.*"]));
        makers.spawn(async move { bus.stream(&config).await.map(drop) });
    }
    while let Some(made) = makers.join_next().await {
        made??;
    }
    Ok(())
}
