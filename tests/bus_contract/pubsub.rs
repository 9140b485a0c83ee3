//! Sending and listening.

use crate::scope::{A_WHILE, Scope, Verdict, heard, text, until};
use callboard::{
    bus::{Message, RequestError, SendError, SubscribeError},
    message::Headers,
};
use std::time::Duration;
use tokio::time::timeout;

pub(crate) async fn a_subscriber_gets_what_is_sent(scope: Scope) -> Verdict {
    let mut hello = scope.bus.subscribe(&scope.at("hello"), None).await?;
    let sent = Message::new(scope.at("hello"), "world");
    scope.bus.send(sent.clone()).await?;
    assert_eq!(heard(&mut hello).await?, sent);
    Ok(())
}

pub(crate) async fn headers_arrive_as_they_were_sent(scope: Scope) -> Verdict {
    let mut headers = Headers::new();
    let all = [
        ("ce-type", "orders.placed"),
        ("X", "a: b, c"),
        ("x", "Grüße"),
        ("Empty", ""),
    ];
    for (name, value) in all {
        headers.insert(name, value)?;
    }
    let mut hello = scope.bus.subscribe(&scope.at("hello"), None).await?;
    let sent = Message::new(scope.at("hello"), "").headers(headers);
    scope.bus.send(sent).await?;
    let got = heard(&mut hello).await?.headers;
    assert_eq!(got.len(), all.len());
    for (name, value) in all {
        assert_eq!(got.get(name), Some(value), "{name}");
    }
    Ok(())
}

pub(crate) async fn an_empty_payload_arrives(scope: Scope) -> Verdict {
    let mut hello = scope.bus.subscribe(&scope.at("hello"), None).await?;
    scope.bus.send(Message::new(scope.at("hello"), "")).await?;
    assert!(heard(&mut hello).await?.payload.is_empty());
    Ok(())
}

pub(crate) async fn a_large_payload_arrives_whole(scope: Scope) -> Verdict {
    let bytes: Vec<u8> = (0..=255).cycle().take(900 * 1024).collect();
    let mut hello = scope.bus.subscribe(&scope.at("hello"), None).await?;
    let sent = Message::new(scope.at("hello"), bytes.clone());
    scope.bus.send(sent).await?;
    assert_eq!(heard(&mut hello).await?.payload, bytes);
    Ok(())
}

pub(crate) async fn a_message_beyond_the_limit_is_refused(scope: Scope) -> Verdict {
    let sent = Message::new(scope.at("hello"), vec![0; 1024 * 1024 + 1]);
    let Err(SendError::TooLarge { subject, bytes, limit }) = scope.bus.send(sent).await else {
        return Err("it was sent".into());
    };
    assert_eq!(subject, scope.at("hello"));
    assert!(bytes > limit, "{bytes} {limit}");
    Ok(())
}

pub(crate) async fn headers_count_towards_the_limit(scope: Scope) -> Verdict {
    let mut headers = Headers::new();
    headers.insert("x", "y".repeat(4096))?;
    let sent = Message::new(scope.at("hello"), vec![0; 1024 * 1024 - 100]).headers(headers);
    let refused = scope.bus.send(sent).await;
    assert!(
        matches!(refused, Err(SendError::TooLarge { .. })),
        "{refused:?}"
    );
    Ok(())
}

pub(crate) async fn a_message_nobody_hears_is_sent(scope: Scope) -> Verdict {
    scope.bus.send(Message::new(scope.at("hello"), "")).await?;
    Ok(())
}

pub(crate) async fn messages_of_one_sender_arrive_in_order(scope: Scope) -> Verdict {
    let mut numbers = scope.bus.subscribe(&scope.at("n.*"), None).await?;
    for number in 0..1000 {
        let subject = scope.at(&format!("n.{}", number % 3));
        let sent = Message::new(subject, number.to_string());
        scope.bus.send(sent).await?;
    }
    for number in 0..1000 {
        assert_eq!(text(&mut numbers).await?, number.to_string());
    }
    Ok(())
}

pub(crate) async fn a_star_stands_for_one_token(scope: Scope) -> Verdict {
    let mut star = scope.bus.subscribe(&scope.at("a.*.c"), None).await?;
    for rest in ["a.c", "a.b.d", "a.b.c.d", "a.b.c"] {
        scope.bus.send(Message::new(scope.at(rest), "")).await?;
    }
    assert_eq!(heard(&mut star).await?.subject, scope.at("a.b.c"));
    assert!(timeout(A_WHILE, star.next()).await.is_err());
    Ok(())
}

pub(crate) async fn an_arrow_stands_for_the_rest(scope: Scope) -> Verdict {
    let mut arrow = scope.bus.subscribe(&scope.at("a.>"), None).await?;
    for rest in ["a", "b.a", "a.b", "a.b.c.d"] {
        scope.bus.send(Message::new(scope.at(rest), "")).await?;
    }
    assert_eq!(heard(&mut arrow).await?.subject, scope.at("a.b"));
    assert_eq!(heard(&mut arrow).await?.subject, scope.at("a.b.c.d"));
    assert!(timeout(A_WHILE, arrow.next()).await.is_err());
    Ok(())
}

pub(crate) async fn every_subscription_gets_its_copy(scope: Scope) -> Verdict {
    let mut all = Vec::new();
    for filter in ["a.b", "a.b", "a.*", "*.b", "a.>"] {
        all.push(scope.bus.subscribe(&scope.at(filter), None).await?);
    }
    for number in ["1", "2"] {
        scope
            .bus
            .send(Message::new(scope.at("a.b"), number))
            .await?;
    }
    for subscription in &mut all {
        assert_eq!(text(subscription).await?, "1");
        assert_eq!(text(subscription).await?, "2");
    }
    Ok(())
}

pub(crate) async fn a_dropped_subscription_is_gone(scope: Scope) -> Verdict {
    let subject = scope.at("hello");
    let hello = scope.bus.subscribe(&subject, None).await?;
    drop(hello);
    let gone = async || {
        let sent = Message::new(subject.clone(), "");
        let answer = scope.bus.request(sent, Duration::from_millis(100)).await;
        Ok(matches!(answer, Err(RequestError::NoResponders { .. })))
    };
    if scope.guarantees.remote {
        return until(gone).await;
    }
    assert!(gone().await?);
    Ok(())
}

pub(crate) async fn a_malformed_subject_is_not_sent(scope: Scope) -> Verdict {
    for bad in [
        "", ".", "a.", ".a", "a..b", "a.*", "*", "a.>", ">", "a b", "a.\t", "a\r\nb",
    ] {
        let refused = scope.bus.send(Message::new(bad, "")).await;
        assert_eq!(refused, Err(SendError::Subject { subject: bad.into() }));
    }
    Ok(())
}

pub(crate) async fn a_malformed_filter_is_not_subscribed(scope: Scope) -> Verdict {
    for bad in [
        "", ".", "a.", ".a", "a..b", "a.>.b", ">.a", "a b", "a.\t", "a\r\nb",
    ] {
        let refused = scope.bus.subscribe(bad, None).await;
        let Err(SubscribeError::Filter { filter }) = refused else {
            return Err(format!("{bad:?} was subscribed").into());
        };
        assert_eq!(filter, bad);
    }
    Ok(())
}

pub(crate) async fn a_malformed_queue_is_not_subscribed(scope: Scope) -> Verdict {
    for bad in ["", "a b", "a\tb", "a\r\nb"] {
        let refused = scope.bus.subscribe(&scope.at("a"), Some(bad)).await;
        assert!(
            matches!(refused, Err(SubscribeError::Filter { .. })),
            "{bad:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_given_up_wait_loses_no_message(scope: Scope) -> Verdict {
    let mut hello = scope.bus.subscribe(&scope.at("hello"), None).await?;
    for number in 0..20 {
        let given_up = timeout(Duration::from_millis(2), hello.next()).await;
        assert!(given_up.is_err());
        let sent = Message::new(scope.at("hello"), number.to_string());
        scope.bus.send(sent).await?;
        assert_eq!(text(&mut hello).await?, number.to_string());
    }
    Ok(())
}

pub(crate) async fn a_clone_and_a_reopened_bus_are_the_same_bus(scope: Scope) -> Verdict {
    let mut hello = scope.bus.subscribe(&scope.at("hello"), None).await?;
    let reopened = scope.bus.reopen().await?;
    scope
        .bus
        .clone()
        .send(Message::new(scope.at("hello"), "clone"))
        .await?;
    assert_eq!(text(&mut hello).await?, "clone");
    reopened
        .send(Message::new(scope.at("hello"), "reopened"))
        .await?;
    assert_eq!(text(&mut hello).await?, "reopened");
    Ok(())
}

pub(crate) async fn a_subscription_is_known_when_it_is_returned(scope: Scope) -> Verdict {
    let other = scope.bus.reopen().await?;
    for number in 0..20 {
        let subject = scope.at(&format!("n.{number}"));
        let mut hello = scope.bus.subscribe(&subject, None).await?;
        other.send(Message::new(subject, "")).await?;
        heard(&mut hello).await?;
    }
    Ok(())
}

pub(crate) async fn a_reply_subject_arrives_with_the_message(scope: Scope) -> Verdict {
    let mut hello = scope.bus.subscribe(&scope.at("hello"), None).await?;
    let mut answers = scope.bus.subscribe(&scope.at("answers"), None).await?;
    let mut sent = Message::new(scope.at("hello"), "");
    sent.reply = Some(scope.at("answers"));
    scope.bus.send(sent).await?;
    let reply = heard(&mut hello).await?.reply.ok_or("no reply subject")?;
    scope.bus.send(Message::new(reply, "hi")).await?;
    assert_eq!(text(&mut answers).await?, "hi");
    Ok(())
}

pub(crate) async fn a_bus_says_what_survives(scope: Scope) -> Verdict {
    let text = scope.bus.to_string();
    let nothing = text.contains("nothing survives");
    assert_eq!(nothing, !scope.guarantees.survives_the_process, "{text}");
    Ok(())
}
