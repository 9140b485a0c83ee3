//! Branches that run side by side keep their steps apart, and a step keeps its
//! command.

use crate::market::{
    Confirm, Freed, Held, Outcome, Paid, Placed, Repaid, free, hold, orders, pay, placed, purse,
    repay, shelf,
};
use callboard::{
    Abort, Actor, Answer, Bus, Command, Context, Event, Failure, Group, Heard, Node, Replay,
    ReplayError, Saga, Steps, Subject,
    bus::{Expect, Message, StreamConfig},
    message::{Headers, Key, codec, headers},
    saga::{SagaOutcome, Sagas},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const SOON: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);

/// Pays for two; the first one only after a day.
async fn two(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let (one, other) = (format!("{}-a", placed.order), format!("{}-b", placed.order));
    let steps = &*steps;
    let slow = async {
        let (back, again) = (free(&one), repay(&one, 1));
        steps.call(hold(&one)).undo(move |_| back).await?;
        steps.sleep(DAY).await;
        steps.call(pay(&one, 1)).undo(move |_| again).await?;
        Ok::<_, Abort>(())
    };
    let quick = async {
        let (back, again) = (free(&other), repay(&other, 2));
        steps.call(hold(&other)).undo(move |_| back).await?;
        steps.call(pay(&other, 2)).undo(move |_| again).await?;
        Ok::<_, Abort>(())
    };
    let (slow, quick) = steps.join(slow, quick).await;
    slow.and(quick)
}

async fn play(saga: Saga<Placed, ()>, order: &str, place: u64) -> Result<Heard, ReplayError> {
    let saga = saga.takeover_after(Duration::from_secs(2));
    Replay::of(shelf())
        .with(purse())
        .with(orders(saga.on(|placed: Placed| placed)))
        .crash_at(place)
        .given(placed(order))
        .after(DAY * 2)
        .settle()
        .await
}

/// Counts by order how often something happened.
fn by<E: Event>(heard: &Heard, order: impl Fn(&E) -> String) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for event in heard.events::<E>() {
        *counts.entry(order(&event)).or_default() += 1;
    }
    counts
}

fn once(orders: &[&str]) -> BTreeMap<String, u32> {
    orders
        .iter()
        .map(|order| ((*order).to_owned(), 1))
        .collect()
}

#[tokio::test]
async fn branches_with_the_same_steps_are_told_apart_wherever_the_runner_dies() -> Outcome {
    let places = play(Saga::new("two", two), "o", 0).await?.places();
    for place in 0..=places {
        let heard = play(Saga::new("two", two), "o", place).await?;
        let both = once(&["o-a", "o-b"]);
        let paid = by::<Paid>(&heard, |paid| paid.order.clone());
        assert_eq!(paid, both, "dead at {place} of {places}");
        let held = by::<Held>(&heard, |held| held.order.clone());
        assert_eq!(held, both, "dead at {place} of {places}");
        assert!(heard.events::<Freed>().is_empty() && heard.events::<Repaid>().is_empty());
    }
    Ok(())
}

/// The same, and the first branch's purse is empty at last.
async fn two_in_vain(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    two(steps, placed.clone()).await?;
    steps.call(Confirm { order: placed.order }).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_undone_is_of_the_branch_that_did_it() -> Outcome {
    let saga = || Saga::new("in-vain", two_in_vain);
    let places = play(saga(), "late", 0).await?.places();
    for place in 0..=places {
        let heard = play(saga(), "late", place).await?;
        let both = once(&["late-a", "late-b"]);
        let found = [
            by::<Held>(&heard, |held| held.order.clone()),
            by::<Freed>(&heard, |freed| freed.order.clone()),
            by::<Paid>(&heard, |paid| paid.order.clone()),
            by::<Repaid>(&heard, |repaid| repaid.order.clone()),
        ];
        assert_eq!(found, [(); 4].map(|()| both.clone()), "dead at {place}");
        let (paid, repaid) = (heard.events::<Paid>(), heard.events::<Repaid>());
        for paid in paid {
            let back = repaid.iter().find(|repaid| repaid.order == paid.order);
            assert_eq!(back.map(|repaid| repaid.amount), Some(paid.amount));
        }
    }
    Ok(())
}

/// A note with fields that have no order of their own.
#[derive(Debug, Serialize, Deserialize)]
struct Tag {
    order: String,
    tags: HashMap<String, u64>,
    seen: HashSet<u64>,
}

impl Command for Tag {
    const SUBJECT: Subject = Subject::new("tags.tag");
    type Outcome = Result<(), callboard::Infallible>;
}

#[tokio::test]
async fn the_order_of_a_map_or_a_set_makes_no_other_command() -> Outcome {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let saga = Saga::new("tagging", async |steps: &mut Steps, placed: Placed| {
        let tags = (0..30).map(|n| (format!("tag-{n}"), n)).collect();
        let seen = (0..30).collect();
        steps.call(Tag { order: placed.order, tags, seen }).await?;
        steps.sleep(DAY).await;
        Ok::<_, Abort>(())
    });
    let tags = Actor::new("tags", async || Ok::<_, Failure>(())).answer(
        async move |(): &mut (), _: Tag, _: &Context| -> Answer<Tag> {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        },
    );
    let node = Node::new("one", Bus::embedded())
        .group(Group::new("tags").child(tags))
        .group(orders(saga.deadline(Duration::from_secs(3))))
        .start()
        .await?;
    let sagas = Sagas::open(&node.client(), "tagging").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    let late = Abort::new("its deadline passed");
    assert_eq!(outcome, SagaOutcome::Compensated(late), "it is not parked");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    Ok(node.stop().await?)
}

/// Two steps side by side, then one more.
async fn both(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    let (held, paid) = steps
        .join(steps.call(hold(&order)), steps.call(pay(&order, amount)))
        .await;
    held?;
    paid?;
    steps.call(Confirm { order }).await?;
    Ok(())
}

/// Writes a journal as programs did that named steps without their branch.
async fn flat_journal(client: &callboard::Client, id: &str, amount: u64) -> Outcome {
    let names = client.namespace();
    let stream = client
        .bus()
        .stream(&StreamConfig::sagas(names, "both"))
        .await?;
    let bytes =
        |value: serde_json::Value| Ok::<_, codec::EncodeError>(codec::encode(&value)?.to_vec());
    let input = bytes(json!({"order": id, "amount": 7}))?;
    let held = bytes(json!({"item": id, "order": id}))?;
    let paid = bytes(json!({"user": id, "order": id, "amount": amount}))?;
    let call = |subject: &str, payload: &[u8]| json!({"intended": {"step": subject, "act": {"call": {"subject": subject, "payload": payload}}}});
    let done = bytes(json!("hold of old"))?;
    let pages = [
        json!({"by": "old", "moves": [
            {"started": {"input": input, "cause": null, "correlation": null, "until": null}},
            call("shelf.hold", &held),
            call("purse.pay", &paid),
        ]}),
        json!({"by": "old", "moves": [
            {"done": {"step": "shelf.hold", "reply": done, "undo": null, "attempts": 1}},
        ]}),
    ];
    for (number, page) in pages.iter().enumerate() {
        let page = Message::new(names.saga("both", &Key::new(id)?), codec::encode(page)?);
        let mut own = Headers::new();
        own.insert(headers::MSG_ID, format!("{id}-{number}"))?;
        stream.append(page.headers(own), Expect::Any).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_journal_that_names_steps_without_their_branch_goes_on_or_says_why_not() -> Outcome {
    let node = Node::new("one", Bus::embedded())
        .group(shelf())
        .group(purse())
        .group(orders(Saga::new("both", both)))
        .start()
        .await?;
    let client = node.client();
    let sagas = Sagas::open(&client, "both").await?;
    flat_journal(&client, "old", 7).await?;
    flat_journal(&client, "odd", 8).await?;
    for id in ["old", "odd"] {
        sagas.start(id, &placed(id)).await?;
    }
    let outcome = sagas.wait::<()>("old", SOON).await?;
    assert_eq!(outcome, SagaOutcome::Completed(()));
    let names: Vec<_> = sagas.status("old").await?.steps;
    let names: Vec<_> = names.iter().map(|step| &*step.name).collect();
    assert_eq!(names, ["shelf.hold", "purse.pay", "orders.confirm"]);
    let SagaOutcome::Parked(reason) = sagas.wait::<()>("odd", SOON).await? else {
        panic!("its command is another");
    };
    assert!(
        reason.contains("`purse.pay`") && reason.contains("\"amount\": 8"),
        "{reason}"
    );
    Ok(node.stop().await?)
}
