//! Who starts a saga, and who gets its outcome.

use crate::market::{
    Confirmed, Declined, Held, Outcome, Paid, Placed, checkout, checkouts, hold, orders, placed,
    purse, shelf,
};
use callboard::{
    Abort, Bus, CallError, Command, Infallible, Node, Rejection, Replay, Saga, Steps, Subject,
    bus::StreamConfig,
    message::{Id, Key, Namespace, headers},
    saga::{SagaOutcome, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Buy(String);

impl Command for Buy {
    const SUBJECT: Subject = Subject::new("orders.buy");
    type Outcome = Result<String, NotBought>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum NotBought {
    #[error("the purse is empty")]
    Declined,
    #[error("{0}")]
    Other(String),
}

impl Rejection for NotBought {}

impl From<Abort> for NotBought {
    fn from(abort: Abort) -> Self {
        match abort.rejection() {
            Some(Declined) => Self::Declined,
            None => Self::Other(abort.reason().to_owned()),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order(String);

impl Command for Order {
    const SUBJECT: Subject = Subject::new("orders.order");
    type Outcome = Result<String, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

fn play() -> Replay {
    let saga = checkouts()
        .answer(|buy: &Buy| placed(&buy.0))
        .accept(|order: &Order| placed(&order.0));
    Replay::of(shelf()).with(purse()).with(orders(saga))
}

#[tokio::test]
async fn who_starts_a_saga_by_a_command_gets_its_outcome_typed() -> Outcome {
    let mut heard = play()
        .ask(Buy("good".into()))
        .ask(Buy("declined".into()))
        .ask(Buy("late".into()))
        .ask(Buy("good".into()))
        .settle()
        .await?;
    let answers = heard.answers::<Buy>();
    assert!(
        matches!(
            &answers[..],
            [
                Ok(first),
                Err(CallError::Rejected(NotBought::Declined)),
                Err(CallError::Rejected(NotBought::Other(why))),
                Ok(again),
            ] if first == "hold of good" && first == again && why == "it is too late"
        ),
        "{answers:?}"
    );
    assert_eq!(heard.events::<Confirmed>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_start_is_accepted_once_under_an_id_whoever_asks() -> Outcome {
    let mut heard = play()
        .ask(Order("good".into()))
        .given(placed("good"))
        .after(Duration::from_mins(5))
        .given(Placed { amount: 8, ..placed("good") })
        .ask(Order("good".into()))
        .settle()
        .await?;
    let answers = heard.answers::<Order>();
    assert!(matches!(&answers[..], [Ok(one), Ok(two)] if one == "good" && two == "good"));
    assert_eq!(heard.events::<Held>().len(), 1);
    let paid: Vec<_> = heard
        .events::<Paid>()
        .into_iter()
        .map(|paid| paid.amount)
        .collect();
    assert_eq!(paid, [7], "what it began with first counts");
    Ok(())
}

/// Tells which story it belongs to.
async fn tell_story(steps: &mut Steps, placed: Placed) -> Result<String, Abort> {
    steps.call(hold(&placed.order)).await?;
    Ok(steps.correlation().to_string())
}

#[tokio::test]
async fn what_a_saga_calls_belongs_to_the_story_of_what_started_it() -> Outcome {
    let bus = Bus::embedded();
    let saga = Saga::new("story", tell_story).on(|placed: Placed| placed);
    let node = Node::new("one", bus.clone())
        .group(shelf())
        .group(orders(saga))
        .start()
        .await?;
    let client = node.client();
    client.publish(placed("o-1")).await?;
    let sagas = Sagas::open(&client, "story").await?;
    let told = sagas.wait::<String>("o-1", Duration::from_secs(10)).await?;
    let namespace = Namespace::default();
    let correlation = async |domain: &str| {
        let stream = bus
            .stream(&StreamConfig::events(&namespace, domain))
            .await?;
        let stored = stream
            .last(&namespace.event(domain, &Key::new("o-1")?))
            .await?;
        let stored = stored.ok_or("no event")?;
        let found = stored.headers.get(headers::CE_CORRELATION);
        let own = stored.headers.get(headers::CE_ID);
        Ok::<_, Box<dyn std::error::Error>>(found.or(own).unwrap_or_default().to_owned())
    };
    let story = correlation("orders").await?;
    assert_eq!(told, SagaOutcome::Completed(story.clone()));
    assert_eq!(correlation("shelf").await?, story);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_event_that_no_saga_can_begin_with_is_parked_and_the_others_begin() -> Outcome {
    let saga = Saga::new("picky", checkout).on(|placed: Placed| {
        assert!(placed.order != "bad", "nobody begins with that");
        placed
    });
    let heard = Replay::of(shelf())
        .with(purse())
        .with(orders(saga))
        .given(placed("bad"))
        .given(placed("good"))
        .after(Duration::from_mins(5))
        .settle()
        .await?;
    assert_eq!(heard.events::<Confirmed>().len(), 1);
    assert_eq!(heard.parked().len(), 1, "after a few attempts");
    Ok(())
}

/// What is started by many events at once begins side by side, each once.
#[tokio::test]
async fn many_events_start_as_many_sagas() -> Outcome {
    let mut play = play();
    for number in 0..200 {
        play = play.given(placed(&format!("good-{number}")));
    }
    let heard = play.settle().await?;
    assert_eq!(heard.events::<Confirmed>().len(), 200);
    assert_eq!(heard.events::<Held>().len(), 200);
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_not_for_it_starts_nothing() -> Outcome {
    let saga =
        Saga::new("dear", checkout).on(|placed: Placed| (placed.amount > 7).then_some(placed));
    let heard = Replay::of(shelf())
        .with(purse())
        .with(orders(saga))
        .given(placed("cheap"))
        .given(Placed { amount: 8, ..placed("dear") })
        .settle()
        .await?;
    let confirmed = heard.events::<Confirmed>();
    assert_eq!(confirmed, [Confirmed { order: "dear".into() }]);
    assert!(heard.dead_letters().is_empty() && heard.parked().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_saga_belongs_to_the_story_of_what_started_it_whoever_runs_it() -> Outcome {
    let story = || Id::from("the story");
    let told = |place| async move {
        let saga = Saga::new("told", async |steps: &mut Steps, placed: Placed| {
            steps.call(hold(&placed.order)).await?;
            Ok::<_, Abort>(steps.correlation().to_string())
        });
        let saga = saga
            .takeover_after(Duration::from_secs(2))
            .answer(|buy: &Buy| placed(&buy.0));
        let play = Replay::of(shelf()).with(orders(saga)).crash_at(place);
        play.ask_as(story(), Buy("good".into())).settle().await
    };
    for place in 0..=told(0).await?.places() {
        let answers = told(place).await?.answers::<Buy>();
        assert!(
            matches!(&answers[..], [Ok(told)] if *told == story().to_string()),
            "dead at {place}: {answers:?}"
        );
    }
    Ok(())
}
