//! Commands that cannot be run: their callers learn why.

use crate::{
    events::smuggle,
    kept::AGAIN,
    store::{Filled, Put, bad_payloads, fill, good, start},
    support::{
        log::Log,
        way::{Verdict, Way, both_buses, every_way, until_within},
    },
};
use callboard::{
    CallError,
    bus::Message,
    message::{
        Headers, Id, Status,
        headers::{
            CB_CAUSATION, CB_CORRELATION, CB_DEAD_SEQUENCE, CB_DEADLINE, CB_ID, TRACEPARENT,
            TRACESTATE,
        },
    },
};

#[tokio::test]
async fn a_command_that_does_not_decode_is_a_400_with_the_reason() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let payloads = bad_payloads();
        for (words, payload) in &payloads {
            let reply = way
                .ask("cmd.box.put", Message::new("", payload.clone()))
                .await?;
            let (status, reason) = Status::read(&reply.headers).ok_or("it was answered")?;
            assert_eq!(status, Status::Malformed, "{reason}");
            assert!(
                reason.starts_with("box.put ") && reason.contains(words),
                "{reason}"
            );
        }
        assert_eq!(
            node.client()
                .call(Put { item: "b".to_owned(), count: 2 })
                .await?,
            "bb"
        );
        assert_eq!(log.lines(), ["put b"]);
        assert_eq!(node.tree().groups[0].children[0].restarts, 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn bad_command_headers_are_a_400_and_an_old_deadline_a_408() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        for (deadline, wanted) in [
            ("soon", Some(Status::Malformed)),
            ("-1", Some(Status::Malformed)),
            ("99999999999999999999", Some(Status::Malformed)),
            ("1", Some(Status::DeadlinePassed)),
            ("18446744073709551615", None),
        ] {
            let mut headers = Headers::new();
            headers.insert(CB_DEADLINE, deadline)?;
            let reply = way
                .ask("cmd.box.put", Message::new("", good()).headers(headers))
                .await?;
            let status = Status::read(&reply.headers);
            assert_eq!(status.map(|(status, _)| status), wanted, "{status:?}");
        }
        for (subject, wanted) in [
            ("cmd.box.pull", "box.pull"),
            ("cmd.box.put.more", "box.put.more"),
        ] {
            let reply = way.ask(subject, Message::new("", good())).await?;
            let (status, reason) = Status::read(&reply.headers).ok_or("it was answered")?;
            assert_eq!(status, Status::NotFound);
            assert!(
                reason.contains(wanted) && reason.contains(".answer"),
                "{reason}"
            );
        }
        assert_eq!(log.lines(), ["put a"]);
        let nobody = way.ask("cmd.void.go", Message::new("", good())).await;
        assert_eq!(
            nobody,
            Err(format!("nobody answers {}.cmd.void.go", way.namespace))
        );
        Ok(node.stop().await?)
    })
    .await
}

/// The client's library panics on it: the node makes another, and hears on.
#[tokio::test]
async fn a_carriage_return_in_a_received_header_leaves_the_node_as_it_is() -> Verdict {
    let way = Way::nats(true).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let url = way.url().ok_or("no server")?;
    for subject in ["cmd.box.put", "evt.box.a", "sys.ask.tree", "cmd.box.put"] {
        let subject = format!("{}.{subject}", way.namespace);
        smuggle(&url, &subject, "cb-caller: a\rb", &good())?;
    }
    fill(&node.client(), "a").await?;
    // What was on its way over the connection that broke comes again after the ack wait.
    until_within(AGAIN, "the event is handled", async || {
        let missing = log.lines().is_empty();
        if missing {
            Err("not yet".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    assert_eq!(log.lines(), ["filled a"]);
    assert_eq!(way.dead(1, CB_DEAD_SEQUENCE).await, ["1"]);
    assert_eq!(node.tree().groups[0].children[0].restarts, 0);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_line_break_in_a_header_is_refused_where_it_is_written() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let smuggled = || Id::from("a\r\nNats-Expected-Stream: x");
        let client = way.client();
        let call = client
            .call(Put { item: "a".to_owned(), count: 1 })
            .id(smuggled())
            .await;
        let text = call.expect_err("it breaks the line").to_string();
        assert!(
            text.contains("box.put") && text.contains("`cb-id` holds a line break"),
            "{text}"
        );
        let event = client
            .publish(Filled { item: "a".to_owned(), count: 1 })
            .id(smuggled())
            .await;
        let text = event.expect_err("it breaks the line").to_string();
        assert!(
            text.contains("box.filled") && text.contains("`ce-id` holds a line break"),
            "{text}"
        );
        fill(&client, "b").await?;
        assert_eq!(log.of(1).await, ["filled b"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_is_too_large_to_send_is_said_on_both_sides() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let client = way.client();
        let command = client.call(Put { item: "x".repeat(300_000), count: 1 }).await;
        assert!(matches!(command, Err(CallError::Codec { .. })), "{command:?}");
        let text = command.expect_err("it is too large").to_string();
        assert!(text.contains("box.put") && text.contains("send a reference"), "{text}");
        let reply = client.call(Put { item: "x".to_owned(), count: 300_000 }).await;
        assert!(
            matches!(&reply, Err(CallError::Failed { reason, .. }) if reason.contains("send a reference")),
            "{reply:?}"
        );
        let event = client.publish(Filled { item: "x".to_owned(), count: 1 }).await?;
        assert_eq!(event.sequence, 1);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_id_or_trace_of_more_than_256_bytes_is_a_400_that_names_it() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        for name in [CB_ID, CB_CORRELATION, CB_CAUSATION, TRACEPARENT, TRACESTATE] {
            for (bytes, wanted) in [(256, None), (257, Some(Status::Malformed))] {
                let mut headers = Headers::new();
                headers.insert(name, "x".repeat(bytes))?;
                let reply = way
                    .ask("cmd.box.put", Message::new("", good()).headers(headers))
                    .await?;
                let status = Status::read(&reply.headers);
                assert_eq!(status.map(|(status, _)| status), wanted, "{name}");
                if let Some((_, reason)) = status {
                    assert!(reason.contains(name) && reason.contains("256"), "{reason}");
                }
            }
        }
        Ok(node.stop().await?)
    })
    .await
}
