//! Reading streams.

use crate::scope::{SOON, Scope, Verdict};
use callboard::bus::{ReadError, Stored, Stream};
use std::error::Error;
use tokio::time::timeout;

async fn read(stream: &Stream, filter: &str, from: u64) -> Result<Vec<Stored>, Box<dyn Error>> {
    Ok(timeout(SOON, stream.read(filter, from).await?.all()).await??)
}

async fn sequences(stream: &Stream, filter: &str, from: u64) -> Result<Vec<u64>, Box<dyn Error>> {
    let all = read(stream, filter, from).await?;
    Ok(all.iter().map(|stored| stored.sequence).collect())
}

/// Opens a stream with messages of `a`, `b`, `a`, `b`, `a`.
async fn mixed(scope: &Scope, partitions: u32) -> Result<Stream, Box<dyn Error>> {
    let stream = scope.partitioned(partitions).await?;
    for (at, key) in ["a", "b", "a", "b", "a"].iter().enumerate() {
        scope.order(&stream, key, &at.to_string()).await?;
    }
    Ok(stream)
}

pub(crate) async fn the_last_message_of_a_subject_is_found(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 0).await?;
    let last = async |key: &str| stream.last(&scope.at(&format!("orders.{key}"))).await;
    assert_eq!(last("a").await?.map(|last| last.sequence), Some(5));
    assert_eq!(last("b").await?.map(|last| last.sequence), Some(4));
    assert_eq!(last("c").await?, None);
    Ok(())
}

pub(crate) async fn the_last_message_is_found_in_a_partition(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 8).await?;
    let subject = scope.at("orders.a");
    let last = stream.last(&subject).await?.ok_or("it is not there")?;
    assert_eq!((last.sequence, last.subject), (5, subject));
    assert_eq!(stream.last(&scope.at("orders.c")).await?, None);
    Ok(())
}

pub(crate) async fn there_is_no_last_message_of_many_subjects(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 0).await?;
    for bad in [
        scope.at("orders.*"),
        scope.at(">"),
        "a..b".into(),
        scope.at("more.a"),
    ] {
        let refused = stream.last(&bad).await;
        assert!(
            matches!(refused, Err(ReadError::Filter { .. })),
            "{bad} {refused:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_stream_is_read_whole_and_in_order(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 0).await?;
    let all = read(&stream, &scope.at("orders.*"), 1).await?;
    let payloads: Vec<_> = all.iter().map(|stored| &stored.payload[..]).collect();
    assert_eq!(payloads, [b"0", b"1", b"2", b"3", b"4"]);
    assert_eq!(
        sequences(&stream, &scope.at(">"), 0).await?,
        [1, 2, 3, 4, 5]
    );
    Ok(())
}

pub(crate) async fn one_subject_is_read_from_a_sequence(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 0).await?;
    let subject = scope.at("orders.a");
    assert_eq!(sequences(&stream, &subject, 1).await?, [1, 3, 5]);
    assert_eq!(sequences(&stream, &subject, 2).await?, [3, 5]);
    assert_eq!(sequences(&stream, &subject, 5).await?, [5]);
    assert_eq!(sequences(&stream, &subject, 6).await?, [0; 0]);
    Ok(())
}

pub(crate) async fn one_key_of_a_partitioned_stream_is_read(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 8).await?;
    let all = read(&stream, &scope.at("orders.a"), 2).await?;
    for stored in &all {
        assert_eq!(stored.subject, scope.at("orders.a"));
    }
    assert_eq!(all.len(), 2);
    assert_eq!(
        sequences(&stream, &scope.at("orders.*"), 1).await?,
        [1, 2, 3, 4, 5]
    );
    Ok(())
}

pub(crate) async fn beyond_the_end_there_is_nothing(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 0).await?;
    assert_eq!(sequences(&stream, &scope.at("orders.*"), 6).await?, [0; 0]);
    assert_eq!(sequences(&stream, &scope.at("orders.*"), 99).await?, [0; 0]);
    assert_eq!(sequences(&stream, &scope.at("orders.c"), 1).await?, [0; 0]);
    Ok(())
}

pub(crate) async fn an_empty_stream_is_read_at_once(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    assert_eq!(sequences(&stream, &scope.at("orders.*"), 1).await?, [0; 0]);
    Ok(())
}

pub(crate) async fn a_read_ends_where_the_stream_ended(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 0).await?;
    let every = stream.read(&scope.at("orders.*"), 1).await?;
    let one = stream.read(&scope.at("orders.a"), 1).await?;
    scope.order(&stream, "a", "later").await?;
    assert_eq!(timeout(SOON, every.all()).await??.len(), 5);
    assert_eq!(timeout(SOON, one.all()).await??.len(), 3);
    Ok(())
}

pub(crate) async fn a_filter_selects_among_deeper_subjects(scope: Scope) -> Verdict {
    let stream = scope.bus.stream(&scope.config("DEEP", &["deep.>"])).await?;
    for (at, rest) in ["deep.a.x", "deep.b.x", "deep.a.y", "deep.a.x.1"]
        .iter()
        .enumerate()
    {
        let next = crate::scope::message(scope.at(rest), &at.to_string());
        stream.append(next, callboard::bus::Expect::Any).await?;
    }
    assert_eq!(sequences(&stream, &scope.at("deep.a.*"), 1).await?, [1, 3]);
    assert_eq!(
        sequences(&stream, &scope.at("deep.a.>"), 1).await?,
        [1, 3, 4]
    );
    assert_eq!(sequences(&stream, &scope.at("deep.*.x"), 1).await?, [1, 2]);
    Ok(())
}

pub(crate) async fn a_malformed_or_foreign_filter_is_not_read(scope: Scope) -> Verdict {
    let stream = mixed(&scope, 0).await?;
    for bad in [
        scope.at("orders..a"),
        scope.at("a b"),
        String::new(),
        scope.at("more.*"),
    ] {
        let expected = ReadError::Filter { stream: scope.name("ORDERS"), filter: bad.clone() };
        assert_eq!(stream.read(&bad, 1).await.err(), Some(expected));
    }
    Ok(())
}

pub(crate) async fn a_long_read_is_complete(scope: Scope) -> Verdict {
    let stream = scope.orders().await?;
    for number in 0..3_000 {
        let subject = scope.at(&format!("orders.o-{}", number % 7));
        scope
            .bus
            .send(callboard::bus::Message::new(subject, ""))
            .await?;
    }
    crate::scope::until(async || Ok(stream.info().await?.messages == 3_000)).await?;
    let all = sequences(&stream, &scope.at("orders.*"), 1).await?;
    assert!(all.iter().copied().eq(1..=3_000));
    assert_eq!(
        sequences(&stream, &scope.at("orders.o-3"), 1).await?.len(),
        429
    );
    Ok(())
}
