//! Streams that keep the last message of each subject.

use crate::scope::{Scope, Verdict, committed, message};
use callboard::bus::{Append, ConsumerConfig, ConsumerError, Expect, Stream};

async fn latest(scope: &Scope) -> Result<Stream, Box<dyn std::error::Error>> {
    let mut config = scope.config("LATEST", &["orders.*"]);
    config.last_per_subject = true;
    Ok(scope.bus.stream(&config).await?)
}

pub(crate) async fn a_newer_message_replaces_the_one_on_its_subject(scope: Scope) -> Verdict {
    let stream = latest(&scope).await?;
    for (key, id) in [("a", "1"), ("b", "2"), ("a", "3")] {
        scope.order(&stream, key, id).await?;
    }
    let all = stream.read(&scope.at("orders.*"), 1).await?.all().await?;
    let held: Vec<_> = all.iter().map(|stored| &*stored.payload).collect();
    assert_eq!(held, [b"2", b"3"]);
    let one = stream.read(&scope.at("orders.a"), 1).await?.all().await?;
    assert_eq!(one.len(), 1);
    let info = stream.info().await?;
    assert_eq!((info.messages, info.last_sequence), (2, 3));
    Ok(())
}

pub(crate) async fn a_replaced_message_still_counts_for_expectations(scope: Scope) -> Verdict {
    let stream = latest(&scope).await?;
    scope.order(&stream, "a", "1").await?;
    let second = message(scope.at("orders.a"), "2");
    assert_eq!(stream.append(second, Expect::Last(1)).await?, committed(2));
    let third = message(scope.at("orders.a"), "3");
    assert_eq!(
        stream.append(third, Expect::Last(1)).await?,
        Append::Conflict
    );
    let last = stream.last(&scope.at("orders.a")).await?;
    assert_eq!(last.map(|stored| stored.sequence), Some(2));
    Ok(())
}

pub(crate) async fn what_is_replaced_is_read_and_not_consumed(scope: Scope) -> Verdict {
    let stream = latest(&scope).await?;
    let refused = stream
        .consumer(&ConsumerConfig::new(scope.name("reader")))
        .await;
    assert!(
        matches!(refused, Err(ConsumerError::Invalid { .. })),
        "{refused:?}"
    );
    Ok(())
}
