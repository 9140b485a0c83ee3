//! What others put among the records of parked keys holds nobody up.

use crate::{
    farm::{Farm, free, operator, parked, sow},
    support::way::{Verdict, Way, both_buses, until},
};
use bytes::Bytes;
use callboard::{
    Bus,
    bus::{Message, StreamConfig, partition},
    message::{
        Id, codec,
        headers::{CE_ID, MSG_ID},
    },
};
use serde::{Deserialize, Serialize};

/// Publishes on the subject of a parked key.
async fn say(way: &Way, key: &str, text: &'static str) -> Verdict {
    let (names, at) = (way.names(), partition(key, 8));
    let subject = format!("{names}.park.key.barn_farmer.farm.{at}.{key}");
    let mut message = Message::new(subject, text);
    message.headers.insert(MSG_ID, Id::new().to_string())?;
    let stream = way.bus.stream(&StreamConfig::parked(&names)).await?;
    stream.append(message, callboard::bus::Expect::Any).await?;
    Ok(())
}

/// Returns two keys of one partition.
fn neighbours() -> (String, String) {
    let all = (b'a'..=b'z').map(|letter| char::from(letter).to_string());
    let mut all = all.filter(|key| partition(key, 8) == partition("a", 8));
    let (one, two) = (all.next(), all.next());
    (one.unwrap_or_default(), two.unwrap_or_default())
}

#[tokio::test]
async fn a_foreign_message_among_the_records_blocks_no_key() -> Verdict {
    both_buses(async |way| {
        let (one, two) = neighbours();
        let farm = Farm::default();
        farm.spoil(&format!("{one}1"));
        farm.spoil(&format!("{two}1"));
        let node = farm.start(way).await?;
        sow(way, &format!("{one}1 {one}2 {two}1 {two}2")).await?;
        let found = parked(way, 2).await;
        node.stop().await?;
        operator(way).retry(&found[0]).await?;
        operator(way).retry(&found[1]).await?;
        say(way, &one, "hello").await?;
        farm.mend();
        let node = farm.start(way).await?;
        free(way).await;
        let mut lines = farm.log.of(4).await;
        lines.sort();
        assert_eq!(
            lines,
            [
                format!("{one}1"),
                format!("{one}2"),
                format!("{two}1"),
                format!("{two}2")
            ]
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn the_operator_can_act_behind_a_foreign_message() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        let node = farm.start(way).await?;
        sow(way, "a1 a2").await?;
        parked(way, 1).await;
        say(way, "a", "hello").await?;
        farm.mend();
        operator(way).retry(&parked(way, 1).await[0]).await?;
        free(way).await;
        farm.handled(&["a1", "a2"]);
        Ok(node.stop().await?)
    })
    .await
}

/// A record's fields, as they are written.
#[derive(Debug, Serialize, Deserialize)]
struct Fields {
    child: String,
    domain: String,
    key: String,
    from: u64,
    sequence: u64,
    index: u32,
    kind: String,
    reason: String,
    attempts: u32,
    since: u64,
    by: String,
}

#[tokio::test]
async fn a_forged_record_of_another_key_or_place_is_passed_over() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        let node = farm.start(way).await?;
        sow(way, "a1 a2").await?;
        parked(way, 1).await;
        let stream = way.bus.stream(&StreamConfig::parked(&way.names())).await?;
        let parked_record = stream.read(">", 1).await?.all().await?.remove(0);
        for (key, index) in [(">", 0), ("b", 0), ("a", u32::MAX)] {
            let mut fields: Fields = codec::decode(&parked_record.payload)?;
            (fields.key, fields.index) = (key.to_owned(), index);
            let mut headers = parked_record.headers.clone();
            let id = Id::new().to_string();
            headers.insert(CE_ID, id.clone())?;
            headers.insert(MSG_ID, id)?;
            headers.insert("ce-type", "callboard.skipped")?;
            let payload: Bytes = codec::encode(&fields)?;
            let forged = Message::new(parked_record.subject.clone(), payload).headers(headers);
            stream.append(forged, callboard::bus::Expect::Any).await?;
        }
        let names = way.names();
        let poke = Message::new(format!("{names}.sys.operator.park.barn_farmer"), "");
        way.bus.send(poke).await?;
        sow(way, "b1").await?;
        until("another key", async || farm.log.count("b1") == 1).await;
        let found = parked(way, 1).await;
        assert_eq!((&*found[0].key, found[0].sequence), ("a", 1));
        farm.mend();
        operator(way).retry(&found[0]).await?;
        free(way).await;
        farm.handled(&["b1", "a1", "a2"]);
        Ok(node.stop().await?)
    })
    .await
}

/// A key that goes on says so every few seconds, and nothing of that is ever deleted.
#[tokio::test]
async fn however_much_was_said_of_a_key_its_last_record_alone_is_read() -> Verdict {
    const RECORDS: usize = 300;
    let way = Way::nats(true).await?;
    let farm = Farm::default();
    farm.spoil("a1");
    let node = farm.start(&way).await?;
    sow(&way, "a1 a2").await?;
    parked(&way, 1).await;
    node.stop().await?;
    let records = way.bus.stream(&StreamConfig::parked(&way.names())).await?;
    let all = records.read(">", 1).await?.all().await?;
    let last = all.last().ok_or("nothing is parked")?;
    for _ in 0..RECORDS {
        let mut record = Message::new(last.subject.clone(), last.payload.clone());
        record.headers = last.headers.clone();
        record.headers.insert(MSG_ID, Id::new().to_string())?;
        records.append(record, callboard::bus::Expect::Any).await?;
    }
    let spy = Bus::nats(way.url().ok_or("no server")?).await?;
    let mut seen = spy.subscribe("_INBOX.>", None).await?;
    let delivered = format!("$JS.ACK.{}.", way.names().park_stream());
    let mut count = async |mark: &str| -> Result<usize, Box<dyn std::error::Error>> {
        way.bus
            .send(Message::new("_INBOX.mark", mark.to_owned()))
            .await?;
        let mut count = 0;
        loop {
            let message = seen.next().await.ok_or("the spy's bus was closed")?;
            if message.subject == "_INBOX.mark" && message.payload == mark.as_bytes() {
                return Ok(count);
            }
            let reply = message.reply.unwrap_or_default();
            count += usize::from(reply.starts_with(&delivered));
        }
    };
    let found = parked(&way, 1).await;
    assert_eq!(found[0].key, "a");
    let listed = count("listed").await?;
    assert!(listed < 10, "{listed} records were read to list one key");
    let node = farm.start(&way).await?;
    farm.mend();
    operator(&way).retry(&found[0]).await?;
    assert_eq!(farm.log.of(2).await, ["a1", "a2"]);
    free(&way).await;
    let read = count("went on").await?;
    assert!(read < 200, "{read} records were read to let one key go on");
    Ok(node.stop().await?)
}
