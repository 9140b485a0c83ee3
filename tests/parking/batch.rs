//! Several events in one message: each is handled in its turn.

use crate::{
    farm::{Farm, free, operator, parked, sown},
    support::way::{Verdict, Way, both_buses},
};
use bytes::Bytes;
use callboard::{
    bus::{Expect, Message, StreamConfig},
    message::{
        Headers,
        batch::BATCH_TYPE,
        codec,
        headers::{CB_TYPES, CONTENT_TYPE, MSG_ID},
    },
};
use serde::Serialize;
use std::error::Error;

#[derive(Serialize)]
struct Item {
    specversion: &'static str,
    id: String,
    r#type: String,
    source: &'static str,
    data: Bytes,
}

/// Appends one message with an event per name, such as `a1 !a2 a3`, where `!`
/// is of a type that nobody hears.
async fn append(way: &Way, key: &str, names: &str) -> Result<(), Box<dyn Error>> {
    let mut items = Vec::new();
    for name in names.split_whitespace() {
        let heard = name.strip_prefix('!').is_none();
        let (field, n) = name.trim_start_matches('!').split_at(1);
        items.push(Item {
            specversion: "1.0",
            id: format!("{key}-{name}"),
            r#type: if heard { "farm.sown" } else { "farm.ploughed" }.to_owned(),
            source: "/test",
            data: codec::encode(&sown(field, n.parse()?))?,
        });
    }
    let types: Vec<_> = items.iter().map(|item| &*item.r#type).collect();
    let mut headers = Headers::new();
    headers.insert(CONTENT_TYPE, BATCH_TYPE)?;
    headers.insert(MSG_ID, format!("{key} {names}"))?;
    headers.insert(CB_TYPES, types.join(","))?;
    let subject = format!("{}.evt.farm.{key}", way.namespace);
    let message = Message::new(subject, codec::encode(&items)?).headers(headers);
    let stream = way
        .bus
        .stream(&StreamConfig::events(&way.names(), "farm"))
        .await?;
    stream.append(message, Expect::Any).await?;
    Ok(())
}

#[tokio::test]
async fn each_event_of_a_message_is_handled_in_order_and_the_unheard_are_passed_over() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        let node = farm.start(way).await?;
        append(way, "a", "a1 !a2 a3").await?;
        append(way, "a", "!a4 !a5").await?;
        append(way, "a", "a6 a7").await?;
        farm.log.of(4).await;
        farm.handled(&["a1", "a3", "a6", "a7"]);
        assert_eq!(way.dead_letters().await?.len(), 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_message_goes_on_with_the_event_that_failed() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a2");
        farm.refuse("a3");
        let node = farm.start(way).await?;
        append(way, "a", "a1 a2 a3 a4").await?;
        append(way, "a", "a5 a6").await?;
        let found = parked(way, 1).await;
        assert_eq!((found[0].sequence, found[0].index), (1, 1));
        operator(way).skip(&found[0], "no seed").await?;
        free(way).await;
        farm.log.of(4).await;
        farm.handled(&["a1", "a4", "a5", "a6"]);
        let letters = operator(way).dead(1, 10).await?;
        assert_eq!((letters.len(), letters[0].index), (1, 2));
        assert_eq!(letters[0].kind, "farm.sown");
        farm.mend();
        operator(way).redrive(&letters[0]).await?;
        farm.log.of(5).await;
        farm.handled(&["a1", "a4", "a5", "a6", "a3"]);
        Ok(node.stop().await?)
    })
    .await
}
