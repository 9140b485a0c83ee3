//! One request, one reply, one deadline.

use crate::scope::{SOON, Scope, Verdict, heard};
use callboard::{
    bus::{Bus, Message, RequestError, SendError, Subscription},
    message::Headers,
};
use futures_util::future::join_all;
use std::{collections::BTreeSet, error::Error, time::Duration};
use tokio::time::Instant;

const SHORT: Duration = Duration::from_millis(300);

/// Answers this many requests with their own payload.
async fn echo(bus: &Bus, service: &mut Subscription, count: usize) -> Verdict {
    for _ in 0..count {
        let asked = heard(service).await?;
        let reply = asked.reply.ok_or("no reply subject")?;
        bus.send(Message::new(reply, asked.payload)).await?;
    }
    Ok(())
}

pub(crate) async fn a_request_gets_its_reply(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo"), None).await?;
    let asked = scope
        .bus
        .request(Message::new(scope.at("echo"), "hi"), SOON);
    let (reply, echoed) = tokio::join!(asked, echo(&scope.bus, &mut service, 1));
    echoed?;
    assert_eq!(reply?.payload, "hi");
    Ok(())
}

pub(crate) async fn a_wildcard_subscription_answers_too(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo.>"), Some("q")).await?;
    let asked = scope
        .bus
        .request(Message::new(scope.at("echo.a.b"), "hi"), SOON);
    let (reply, echoed) = tokio::join!(asked, echo(&scope.bus, &mut service, 1));
    echoed?;
    assert_eq!(reply?.payload, "hi");
    Ok(())
}

pub(crate) async fn nobody_there_is_known_at_once(scope: Scope) -> Verdict {
    let start = Instant::now();
    let asked = Message::new(scope.at("nobody"), "");
    let refused = scope.bus.request(asked, 3 * SOON).await;
    let subject = scope.at("nobody");
    assert_eq!(refused, Err(RequestError::NoResponders { subject }));
    assert!(start.elapsed() < SOON);
    Ok(())
}

pub(crate) async fn a_silent_service_is_a_timeout(scope: Scope) -> Verdict {
    let _silent = scope.bus.subscribe(&scope.at("silent"), None).await?;
    let start = Instant::now();
    let asked = Message::new(scope.at("silent"), "");
    let refused = scope.bus.request(asked, SHORT).await;
    let expected = RequestError::Timeout { subject: scope.at("silent"), timeout: SHORT };
    assert_eq!(refused, Err(expected));
    assert!(start.elapsed() >= SHORT);
    Ok(())
}

pub(crate) async fn a_late_reply_is_discarded(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo"), None).await?;
    let asked = Message::new(scope.at("echo"), "first");
    assert!(scope.bus.request(asked, SHORT).await.is_err());
    echo(&scope.bus, &mut service, 1).await?;
    let asked = scope
        .bus
        .request(Message::new(scope.at("echo"), "second"), SOON);
    let (reply, echoed) = tokio::join!(asked, echo(&scope.bus, &mut service, 1));
    echoed?;
    assert_eq!(reply?.payload, "second");
    Ok(())
}

pub(crate) async fn the_first_reply_counts(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("twice"), None).await?;
    let asked = scope.bus.request(Message::new(scope.at("twice"), ""), SOON);
    let answered = async {
        let reply = heard(&mut service).await?.reply.ok_or("no reply subject")?;
        for number in ["1", "2"] {
            scope.bus.send(Message::new(reply.clone(), number)).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let (reply, answered) = tokio::join!(asked, answered);
    answered?;
    assert_eq!(reply?.payload, "1");
    Ok(())
}

pub(crate) async fn each_request_has_a_reply_subject_of_its_own(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("silent"), None).await?;
    let ask = || {
        scope
            .bus
            .request(Message::new(scope.at("silent"), ""), SHORT)
    };
    join_all((0..10).map(|_| ask())).await;
    let mut replies = BTreeSet::new();
    for _ in 0..10 {
        replies.insert(heard(&mut service).await?.reply.ok_or("no reply subject")?);
    }
    assert_eq!(replies.len(), 10);
    Ok(())
}

pub(crate) async fn a_requests_own_reply_subject_is_ignored(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo"), None).await?;
    let mut asked = Message::new(scope.at("echo"), "hi");
    asked.reply = Some(scope.at("elsewhere"));
    let asked = scope.bus.request(asked, SOON);
    let (reply, echoed) = tokio::join!(asked, echo(&scope.bus, &mut service, 1));
    echoed?;
    assert_eq!(reply?.payload, "hi");
    Ok(())
}

pub(crate) async fn headers_travel_both_ways(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo"), None).await?;
    let mut headers = Headers::new();
    headers.insert("cb-id", "7")?;
    let asked = Message::new(scope.at("echo"), "").headers(headers);
    let asked = scope.bus.request(asked, SOON);
    let answered = async {
        let asked = heard(&mut service).await?;
        let reply = Message::new(asked.reply.ok_or("no reply subject")?, "");
        scope.bus.send(reply.headers(asked.headers)).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (reply, answered) = tokio::join!(asked, answered);
    answered?;
    assert_eq!(reply?.headers.get("cb-id"), Some("7"));
    Ok(())
}

pub(crate) async fn many_requests_get_each_their_own_reply(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo"), None).await?;
    let ask = async |number: usize| {
        let asked = Message::new(scope.at("echo"), number.to_string());
        let reply = scope.bus.request(asked, SOON).await?;
        assert_eq!(reply.payload, number.to_string());
        Ok::<_, RequestError>(())
    };
    let asked = join_all((0..100).map(ask));
    let (replies, echoed) = tokio::join!(asked, echo(&scope.bus, &mut service, 100));
    echoed?;
    for reply in replies {
        reply?;
    }
    Ok(())
}

pub(crate) async fn an_empty_reply_is_a_reply(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo"), None).await?;
    let asked = scope.bus.request(Message::new(scope.at("echo"), ""), SOON);
    let (reply, echoed) = tokio::join!(asked, echo(&scope.bus, &mut service, 1));
    echoed?;
    assert!(reply?.payload.is_empty());
    Ok(())
}

pub(crate) async fn a_given_up_request_harms_no_other(scope: Scope) -> Verdict {
    let mut service = scope.bus.subscribe(&scope.at("echo"), None).await?;
    let asked = Message::new(scope.at("echo"), "given up");
    let given_up = tokio::time::timeout(SHORT, scope.bus.request(asked, SOON)).await;
    assert!(given_up.is_err());
    echo(&scope.bus, &mut service, 1).await?;
    let asked = scope
        .bus
        .request(Message::new(scope.at("echo"), "next"), SOON);
    let (reply, echoed) = tokio::join!(asked, echo(&scope.bus, &mut service, 1));
    echoed?;
    assert_eq!(reply?.payload, "next");
    Ok(())
}

pub(crate) async fn what_cannot_be_sent_is_not_asked(scope: Scope) -> Verdict {
    let malformed = scope.bus.request(Message::new("a..b", ""), SOON).await;
    let subject = SendError::Subject { subject: "a..b".into() };
    assert_eq!(malformed, Err(RequestError::Send(subject)));
    let large = Message::new(scope.at("echo"), vec![0; 1024 * 1024 + 1]);
    let refused = scope.bus.request(large, SOON).await;
    let expected = matches!(refused, Err(RequestError::Send(SendError::TooLarge { .. })));
    assert!(expected, "{refused:?}");
    Ok(())
}
