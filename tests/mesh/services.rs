//! NATS's tools list groups as services, by its published protocol.

use crate::{
    support::way::{SOON, Verdict, Way, both_buses},
    yard::{double, gate, quick, yard},
};
use callboard::bus::Message;
use serde_json::Value;
use std::{collections::BTreeSet, error::Error, time::Duration};
use tokio::time::timeout;

/// Asks all services at once, and takes all answers.
async fn ask(way: &Way, subject: &str, count: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    let inbox = format!("{}.inbox", way.namespace);
    let mut answers = way.bus.subscribe(&inbox, None).await?;
    let mut question = Message::new(subject, "");
    question.reply = Some(inbox);
    way.bus.send(question).await?;
    let mut all = Vec::new();
    let mut patience = SOON;
    while let Ok(Some(answer)) = timeout(patience, answers.next()).await {
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        // Other cases share the server.
        if answer["metadata"]["callboard.namespace"] == *way.namespace {
            all.push(answer);
        }
        if all.len() >= count {
            patience = Duration::from_millis(100);
        }
    }
    Ok(all)
}

#[tokio::test]
async fn every_group_says_that_it_is_there_and_what_it_does() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one")
            .group(yard().tag("gold"))
            .group(gate())
            .start()
            .await?;
        let two = quick(way, "two").group(yard()).start().await?;
        let pinged = ask(way, "$SRV.PING", 3).await?;
        let names: Vec<_> = pinged.iter().map(|it| it["name"].as_str()).collect();
        assert_eq!(
            (pinged.len(), names.contains(&Some("gate"))),
            (3, true),
            "{pinged:?}"
        );
        for pong in &pinged {
            assert_eq!(pong["type"], "io.nats.micro.v1.ping_response");
            let fields: BTreeSet<_> = pong
                .as_object()
                .into_iter()
                .flat_map(|it| it.keys())
                .collect();
            let wanted = ["id", "metadata", "name", "type", "version"].map(str::to_owned);
            assert_eq!(fields, wanted.iter().collect());
        }
        let yards = ask(way, "$SRV.INFO.yard", 2).await?;
        assert_eq!(yards.len(), 2);
        let info = &yards[0];
        assert_eq!(info["type"], "io.nats.micro.v1.info_response");
        assert_eq!(info["version"], "1.4.2");
        let endpoint = &info["endpoints"][0];
        assert_eq!(endpoint["name"], "double");
        assert_eq!(
            endpoint["subject"],
            format!("{}.cmd.yard.double", way.namespace)
        );
        assert_eq!(endpoint["queue_group"], "yard");
        assert_eq!(endpoint["metadata"]["callboard.command"], "yard.double");
        assert!(info["description"].is_string());
        assert_eq!(info["metadata"]["callboard.reads.yard.barked"], "3");
        let id = info["id"].as_str().unwrap_or_default();
        let same = ask(way, &format!("$SRV.PING.yard.{id}"), 1).await?;
        assert_eq!((same.len(), same[0]["id"].as_str()), (1, Some(id)));
        two.stop().await?;
        assert_eq!(ask(way, "$SRV.PING.yard", 1).await?.len(), 1);
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn statistics_count_what_commands_did() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one").group(yard()).start().await?;
        for number in [1, 2, 13] {
            double(way, number).await.ok();
        }
        let failed = double(way, 0)
            .await
            .expect_err("it is a mistake")
            .to_string();
        assert!(failed.contains("nothing to double"), "{failed}");
        let told = ask(way, "$SRV.STATS.yard", 1).await?;
        let stats = &told[0];
        assert_eq!(stats["type"], "io.nats.micro.v1.stats_response");
        let started = stats["started"].as_str().unwrap_or_default();
        assert!(humantime::parse_rfc3339(started).is_ok(), "{started}");
        let endpoint = &stats["endpoints"][0];
        assert_eq!(endpoint["num_requests"], 4, "{endpoint}");
        // What the domain says no to is an answer.
        assert_eq!(endpoint["num_errors"], 1);
        assert_eq!(endpoint["last_error"], "nothing to double");
        let time = endpoint["processing_time"].as_u64().unwrap_or_default();
        assert!(time > 0);
        assert_eq!(endpoint["average_processing_time"], time / 4);
        Ok(one.stop().await?)
    })
    .await
}
