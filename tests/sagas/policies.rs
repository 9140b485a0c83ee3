//! A saga settles its steps itself: no policy answers in the callee's place.

use crate::market::{Outcome, Placed, hold, orders, placed, shelf};
use callboard::{
    Abort, Bus, Node, Saga, Steps,
    policy::{Fallback, Policies, Policy, Retry},
    saga::{SagaOutcome, Sagas},
};
use std::time::Duration;

async fn holds(steps: &mut Steps, placed: Placed) -> Result<String, Abort> {
    Ok(steps.call(hold(&placed.order)).await?)
}

#[tokio::test]
async fn a_step_waits_for_its_callee_and_takes_nothing_to_fall_back_on() -> Outcome {
    let bus = Bus::embedded();
    let nothing = Policy::new()
        .retry(Retry::default())
        .fallback(Fallback::Value("not held".into()));
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
