//! Who asks for the same saga again: at once, with another input, while it runs.

use crate::market::{Confirmed, Outcome, Placed, checkout, orders, placed, purse, shelf};
use callboard::{
    Abort, Actor, Bus, CallError, Command, Context, Event, Failure, Group, Infallible, Node,
    Rejection, Replay, Saga, Steps, Subject,
    message::Status,
    policy::{Limits, Policies, Policy},
    saga::{SagaOutcome, SagaPhase, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    time::Duration,
};

/// Buys for an amount.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Buy {
    order: String,
    amount: u64,
}

impl Command for Buy {
    const SUBJECT: Subject = Subject::new("orders.buy");
    type Outcome = Result<String, NotBought>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    order: String,
    amount: u64,
}

impl Command for Order {
    const SUBJECT: Subject = Subject::new("orders.order");
    type Outcome = Result<String, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
struct NotBought(String);

impl Rejection for NotBought {}

impl From<Abort> for NotBought {
    fn from(abort: Abort) -> Self {
        Self(abort.reason().to_owned())
    }
}

fn buy(order: &str, amount: u64) -> Buy {
    Buy { order: order.to_owned(), amount }
}

/// What the saga begins with has a map and a set, whose order is another each time.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    placed: Placed,
    papers: HashMap<u8, String>,
    stamps: HashSet<u8>,
}

fn wrapped(order: &str, amount: u64) -> Wrapped {
    let papers = (0..20).map(|number| (number, format!("paper {number}")));
    let placed = Placed { amount, ..placed(order) };
    Wrapped { placed, papers: papers.collect(), stamps: (0..20).collect() }
}

fn saga() -> Saga<Wrapped, String> {
    let code = async |steps: &mut Steps, wrapped: Wrapped| checkout(steps, wrapped.placed).await;
    Saga::new("checkout", code)
        .answer(|buy: &Buy| wrapped(&buy.order, buy.amount))
        .accept(|order: &Order| wrapped(&order.order, order.amount))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wanted {
    order: String,
}

impl Event for Wanted {
    const SUBJECT: Subject = Subject::new("buyer.wanted");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

/// How long an order was waited for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Got {
    order: String,
    took: Duration,
}

impl Event for Got {
    const SUBJECT: Subject = Subject::new("buyer.got");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

async fn want((): &mut (), wanted: Wanted, ctx: &Context) -> Result<(), Failure> {
    let began = tokio::time::Instant::now();
    ctx.call(buy(&wanted.order, 7)).await?;
    let (order, took) = (wanted.order, began.elapsed());
    ctx.publish(Got { order, took }).await?;
    Ok(())
}

#[tokio::test]
async fn a_saga_that_is_over_answers_at_once_whenever_it_is_asked_again() -> Outcome {
    let buyer = Actor::new("buyer", async || Ok::<_, Failure>(())).on(want);
    let wanted = || Wanted { order: "good".into() };
    let heard = Replay::of(shelf())
        .with(purse())
        .with(orders(saga()))
        .with(Group::new("buyer").child(buyer))
        .given(wanted())
        .given(wanted())
        .after(Duration::from_mins(5))
        .given(wanted())
        .settle()
        .await?;
    let got = heard.events::<Got>();
    assert_eq!(got.len(), 3);
    for got in &got[1..] {
        assert!(got.took <= Duration::from_millis(5), "{got:?}");
    }
    assert_eq!(heard.events::<Confirmed>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_same_key_with_another_input_is_refused_and_with_the_same_it_is_answered() -> Outcome {
    let order = |amount| Order { order: "good".into(), amount };
    let mut heard = Replay::of(shelf())
        .with(purse())
        .with(orders(saga()))
        .ask(buy("good", 7))
        .ask(buy("good", 8))
        .ask(order(8))
        .ask(order(7))
        .after(Duration::from_mins(5))
        .ask(buy("good", 7))
        .ask(buy("good", 8))
        .ask(order(8))
        .ask(order(7))
        .settle()
        .await?;
    let bought = heard.answers::<Buy>();
    let is_other = |status: &Status| *status == Status::Conflict && status.code() == 409;
    assert!(
        matches!(
            &bought[..],
            [
                Ok(one),
                Err(CallError::Refused { status: two, .. }),
                Ok(three),
                Err(CallError::Refused { status: four, .. }),
            ] if one == three && is_other(two) && is_other(four)
        ),
        "{bought:?}"
    );
    let ordered = heard.answers::<Order>();
    assert!(
        matches!(
            &ordered[..],
            [
                Err(CallError::Refused { status: one, .. }),
                Ok(_),
                Err(CallError::Refused { status: three, .. }),
                Ok(_),
            ] if is_other(one) && is_other(three)
        ),
        "{ordered:?}"
    );
    assert_eq!(heard.events::<Confirmed>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn another_input_is_refused_also_while_the_first_waits_for_a_runner() -> Outcome {
    let code = async |steps: &mut Steps, placed: Placed| {
        if placed.order == "first" {
            // It keeps the only place.
            steps.sleep(Duration::from_millis(1_500)).await;
        }
        Ok::<_, Abort>(format!("{} for {}", placed.order, placed.amount))
    };
    let saga = Saga::new("one-by-one", code)
        .in_flight(1)
        .accept(|order: &Order| {
            let Order { order, amount } = order;
            Placed { amount: *amount, ..placed(order) }
        });
    let node = Node::new("one", Bus::embedded())
        .group(Group::new("orders").child(saga))
        .start()
        .await?;
    let client = node.client();
    let ask = async |order: &str, amount| {
        let order = order.to_owned();
        client.call(Order { order, amount }).await
    };
    ask("first", 1).await?;
    ask("second", 2).await?;
    let other = ask("second", 3).await;
    assert!(
        matches!(
            other,
            Err(CallError::Refused { status: Status::Conflict, .. })
        ),
        "{other:?}"
    );
    assert_eq!(ask("second", 2).await?, "second", "the same input again");
    let sagas = Sagas::open(&client, "one-by-one").await?;
    let outcome = sagas.wait::<String>("second", Duration::MAX).await?;
    assert_eq!(outcome, SagaOutcome::Completed("second for 2".to_owned()));
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_saga_that_still_runs_is_answered_with_a_status_of_its_own() -> Outcome {
    for prefer_local in [true, false] {
        let code = async |steps: &mut Steps, placed: Placed| {
            steps.sleep(Duration::from_millis(4_500)).await;
            Ok::<_, Abort>(placed.order)
        };
        let saga = Saga::new("slow", code).answer(|buy: &Buy| placed(&buy.order));
        let breaker = Limits::default().failures(2, Duration::from_mins(1));
        let policies = Policies::new().domain("orders", Policy::new().breaker(breaker));
        let node = Node::new("one", Bus::embedded())
            .prefer_local(prefer_local)
            .policies(policies)
            .group(Group::new("orders").child(saga))
            .start()
            .await?;
        let client = node.client();
        for _ in 0..5 {
            let asked = client
                .call(buy("o-1", 7))
                .timeout(Duration::from_millis(500));
            let Err(error @ CallError::StillRunning { .. }) = asked.await else {
                panic!("local: {prefer_local}, it runs");
            };
            assert_eq!(error.status().map(Status::code), Some(202));
            assert!(error.retry_after().is_some() && !error.certainly_not_run());
        }
        let bought = client.call(buy("o-1", 7)).await?;
        assert_eq!(bought, "o-1", "its breaker is closed");
        let sagas = Sagas::open(&client, "slow").await?;
        let done = sagas.outcome::<String>("o-1").await?;
        assert_eq!(done, SagaOutcome::Completed("o-1".to_owned()));
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_replay_tells_how_each_saga_ended_and_why_one_is_parked() -> Outcome {
    let code = async |steps: &mut Steps, order: Wrapped| {
        assert!(order.placed.order != "shy", "it does not dare");
        checkout(steps, order.placed).await
    };
    let saga = Saga::new("checkout", code).accept(|order: &Order| wrapped(&order.order, 7));
    let order = |order: &str| Order { order: order.to_owned(), amount: 7 };
    let heard = Replay::of(shelf())
        .with(purse())
        .with(orders(saga))
        .ask(order("good"))
        .ask(order("declined"))
        .ask(order("shy"))
        .settle()
        .await?;
    let states: Vec<_> = heard
        .sagas("checkout")
        .iter()
        .map(|saga| (&*saga.id, saga.state.phase()))
        .collect();
    assert_eq!(
        states,
        [
            ("good", SagaPhase::Completed),
            ("declined", SagaPhase::Compensated),
            ("shy", SagaPhase::Parked),
        ]
    );
    let why = heard.sagas("checkout")[2].why();
    assert!(why.contains("does not dare"), "{why}");
    assert!(heard.sagas("another").is_empty());
    Ok(())
}
