//! A saga settles its steps itself: no policy answers in the callee's place.

use crate::market::{Outcome, Placed, hold, orders, placed, shelf};
use callboard::{
    Abort, Bus, Node, Saga, Steps,
    bus::Message,
    message::{Request, Status, codec},
    policy::{Fallback, Policies, Policy, Retry, Serve},
    saga::{SagaOutcome, Sagas},
};
use std::time::Duration;
use tokio::time::timeout;

async fn holds(steps: &mut Steps, placed: Placed) -> Result<String, Abort> {
    Ok(steps.call(hold(&placed.order)).await?)
}

#[tokio::test]
async fn a_step_waits_for_its_callee_and_takes_nothing_to_fall_back_on() -> Outcome {
    let bus = Bus::embedded();
    let nothing = Policy::new()
        .retry(Retry::default())
        .fallback(Fallback::Value("not held".into()))
        .serve(Serve::Degraded);
    let one = Node::new("one", bus.clone())
        .policies(Policies::new().domain("shelf", nothing))
        .group(orders(Saga::new("holding", holds)))
        .start()
        .await?;
    let client = one.client();
    assert_eq!(client.call(hold("another")).await?, "not held");

    let sagas = Sagas::open(&client, "holding").await?;
    sagas.start("good", &placed("good")).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !matches!(sagas.status("good").await, Ok(status) if status.why().contains("shelf.hold")) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it comes to its step"
        );
        tokio::task::yield_now().await;
    }
    let two = Node::new("two", bus).group(shelf()).start().await?;
    let held = sagas
        .wait::<String>("good", Duration::from_secs(20))
        .await?;
    assert_eq!(held, SagaOutcome::Completed("hold of good".to_owned()));
    one.stop().await?;
    Ok(two.stop().await?)
}

async fn holds_soon(steps: &mut Steps, placed: Placed) -> Result<String, Abort> {
    let (first, longest) = (Duration::from_millis(1), Duration::from_millis(10));
    let retry = callboard::Retry::new(5).backoff(first, longest);
    Ok(steps.call(hold(&placed.order)).retry(retry).await?)
}

#[tokio::test]
async fn a_callee_knows_the_attempt_so_that_it_does_not_try_again_itself() -> Outcome {
    let bus = Bus::embedded();
    let commands = "callboard.cmd.shelf.>";
    let mut commands = bus.subscribe(commands, Some("shelf")).await?;
    let node = Node::new("one", bus.clone())
        .group(orders(Saga::new("holding", holds_soon)))
        .start()
        .await?;
    let sagas = Sagas::open(&node.client(), "holding").await?;
    sagas.start("good", &placed("good")).await?;
    for attempt in 1..=3 {
        let command = timeout(Duration::from_secs(10), commands.next()).await?;
        let command = command.ok_or("a command")?;
        assert_eq!(Request::read(&command.headers)?.attempt, attempt);
        let to = command.reply.ok_or("somebody who waits")?;
        let answer = match attempt {
            3 => Message::new(to, codec::encode("held")?),
            _ => Message::new(to, "").headers(Status::Failed.headers("not now")),
        };
        bus.send(answer).await?;
    }
    let held = sagas
        .wait::<String>("good", Duration::from_secs(20))
        .await?;
    assert_eq!(held, SagaOutcome::Completed("held".to_owned()));
    Ok(node.stop().await?)
}
