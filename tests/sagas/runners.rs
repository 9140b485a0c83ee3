//! What runs sagas: it lives through bad commands, and finds what was left behind.

use crate::market::{Outcome, Placed, checkouts, orders, placed, purse, shelf};
use callboard::{
    Abort, Bus, CallError, Client, Command, Group, Infallible, Node, NodeError, Running, Saga,
    Steps, Subject,
    bus::{Expect, Message, StreamConfig},
    message::{Headers, Id, Key, codec, headers},
    saga::{SagaOutcome, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const SOON: Duration = Duration::from_secs(15);

macro_rules! starting {
    ($name:ident $subject:literal $rejection:ty) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name(String);

        impl Command for $name {
            const SUBJECT: Subject = Subject::new($subject);
            type Outcome = Result<String, $rejection>;

            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.0)
            }
        }
    };
}

starting!(Accepted "orders.accepted" Infallible);
starting!(Answered "orders.answered" Aborted);

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
struct Aborted(String);

impl callboard::Rejection for Aborted {}

impl From<Abort> for Aborted {
    fn from(abort: Abort) -> Self {
        Self(abort.reason().to_owned())
    }
}

fn sound(order: &str) -> Placed {
    assert!(order != "boom", "nobody begins with that");
    placed(order)
}

#[tokio::test]
async fn a_panic_over_what_a_saga_begins_with_is_a_500_and_the_others_go_on() -> Outcome {
    for prefer_local in [true, false] {
        let saga = checkouts()
            .accept(|accepted: &Accepted| sound(&accepted.0))
            .answer(|answered: &Answered| sound(&answered.0));
        let node = Node::new("one", Bus::embedded())
            .prefer_local(prefer_local)
            .group(shelf())
            .group(purse())
            .group(orders(saga))
            .start()
            .await?;
        let client = node.client();
        let accepted = client.call(Accepted("boom".into())).await;
        assert!(
            matches!(&accepted, Err(CallError::Failed { reason, .. }) if reason.contains("nobody begins")),
            "{accepted:?}"
        );
        let answered = client.call(Answered("boom".into())).await;
        assert!(
            matches!(&answered, Err(CallError::Failed { reason, .. }) if reason.contains("nobody begins")),
            "{answered:?}"
        );
        let sagas = Sagas::open(&client, "checkout").await?;
        sagas.start("good", &placed("good")).await?;
        let done = sagas.wait::<String>("good", SOON).await?;
        assert_eq!(done, SagaOutcome::Completed("hold of good".to_owned()));
        let restarts: u64 = node.tree().groups[2]
            .children
            .iter()
            .map(|child| u64::from(child.restarts))
            .sum();
        assert_eq!(restarts, 0, "its panic is the command's own business");
        node.stop().await?;
    }
    Ok(())
}

/// Goes no further until somebody mends it.
fn shy(mended: &Arc<AtomicBool>) -> Group {
    let mended = Arc::clone(mended);
    let code = async move |_: &mut Steps, placed: Placed| -> Result<String, Abort> {
        assert!(mended.load(Ordering::SeqCst), "it does not dare");
        Ok(placed.order)
    };
    Group::new("orders").child(Saga::new("shy", code))
}

async fn node(bus: &Bus, group: Group) -> Result<Running, NodeError> {
    Node::new("one", bus.clone()).group(group).start().await
}

/// Writes in a journal that the operator said to try again, and wakes nobody.
async fn half_a_retry(client: &Client, saga: &str, id: &str) -> Outcome {
    #[derive(Serialize)]
    struct Page<'a> {
        by: &'a str,
        moves: [Move<'a>; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Move<'a> {
        Told(&'a str),
    }

    let names = client.namespace();
    let journals = client
        .bus()
        .stream(&StreamConfig::sagas(names, saga))
        .await?;
    let page = codec::encode(&Page { by: "client", moves: [Move::Told("retry")] })?;
    let mut own = Headers::new();
    own.insert(headers::MSG_ID, Id::new().to_string())?;
    own.insert("cb-moves", "told")?;
    let message = Message::new(names.saga(saga, &Key::new(id)?), page).headers(own);
    journals.append(message, Expect::Any).await?;
    Ok(())
}

async fn parked(sagas: &Sagas, id: &str) -> Outcome {
    sagas.start(id, &placed(id)).await?;
    let outcome = sagas.wait::<String>(id, SOON).await?;
    assert!(
        matches!(&outcome, SagaOutcome::Parked(why) if why.contains("does not dare")),
        "{outcome:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_retry_that_died_between_its_two_writes_is_completed_by_the_next() -> Outcome {
    let (bus, mended) = (Bus::embedded(), Arc::new(AtomicBool::new(false)));
    let node = node(&bus, shy(&mended)).await?;
    let client = node.client();
    let sagas = Sagas::open(&client, "shy").await?;
    parked(&sagas, "o-1").await?;
    half_a_retry(&client, "shy", "o-1").await?;
    mended.store(true, Ordering::SeqCst);
    sagas.retry("o-1").await?;
    let done = sagas.wait::<String>("o-1", SOON).await?;
    assert_eq!(done, SagaOutcome::Completed("o-1".to_owned()));
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_live_saga_that_nothing_would_wake_is_found_by_the_next_runner() -> Outcome {
    let (bus, mended) = (Bus::embedded(), Arc::new(AtomicBool::new(false)));
    let first = node(&bus, shy(&mended)).await?;
    let client = first.client();
    let sagas = Sagas::open(&client, "shy").await?;
    for id in ["o-1", "o-2"] {
        parked(&sagas, id).await?;
    }
    half_a_retry(&client, "shy", "o-1").await?;
    first.stop().await?;

    mended.store(true, Ordering::SeqCst);
    let next = node(&bus, shy(&mended)).await?;
    let sagas = Sagas::open(&next.client(), "shy").await?;
    let done = sagas.wait::<String>("o-1", SOON).await?;
    assert_eq!(done, SagaOutcome::Completed("o-1".to_owned()));
    let other = sagas.outcome::<String>("o-2").await?;
    assert!(matches!(other, SagaOutcome::Parked(_)), "{other:?}");
    Ok(next.stop().await?)
}

#[tokio::test]
async fn all_parked_sagas_go_on_whose_reason_is_the_one() -> Outcome {
    let (bus, mended) = (Bus::embedded(), Arc::new(AtomicBool::new(false)));
    let node = node(&bus, shy(&mended)).await?;
    let sagas = Sagas::open(&node.client(), "shy").await?;
    for number in 0..3 {
        parked(&sagas, &format!("o-{number}")).await?;
    }
    mended.store(true, Ordering::SeqCst);
    let others = sagas.retry_all(Some("another reason")).await?;
    assert_eq!((others.told, others.left), (0, 3));
    let all = sagas.retry_all(Some("not dare")).await?;
    assert_eq!((all.told, all.left, all.failed.len()), (3, 0, 0));
    for number in 0..3 {
        let id = format!("o-{number}");
        let done = sagas.wait::<String>(&id, SOON).await?;
        assert_eq!(done, SagaOutcome::Completed(id));
    }
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_takes_no_place_from_the_others() -> Outcome {
    #[derive(Serialize)]
    struct Errand {
        begin: Option<String>,
    }

    let bus = Bus::embedded();
    let saga = checkouts().in_flight(1);
    let node = Node::new("one", bus.clone())
        .group(shelf())
        .group(purse())
        .group(orders(saga))
        .start()
        .await?;
    let client = node.client();
    let (names, id) = (client.namespace(), Key::new("bad")?);
    let append = async |config: StreamConfig, subject: String, payload: bytes::Bytes| {
        let mut own = Headers::new();
        own.insert(headers::MSG_ID, Id::new().to_string())?;
        let message = Message::new(subject, payload).headers(own);
        let stream = bus.stream(&config).await?;
        stream.append(message, Expect::Any).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let journals = StreamConfig::sagas(names, "checkout");
    append(journals, names.saga("checkout", &id), "scribble".into()).await?;
    let wake = codec::encode(&Errand { begin: None })?;
    let errands = StreamConfig::errands(names, "checkout");
    append(errands, "callboard.run.checkout.bad".to_owned(), wake).await?;

    let sagas = Sagas::open(&client, "checkout").await?;
    let began = tokio::time::Instant::now();
    for number in 0..20 {
        let id = format!("good-{number}");
        sagas.start(&id, &placed(&id)).await?;
        let done = sagas.wait::<String>(&id, SOON).await?;
        assert!(matches!(done, SagaOutcome::Completed(_)), "{done:?}");
    }
    // It was read again each second, and took the only place meanwhile.
    assert!(began.elapsed() < Duration::from_secs(15));
    Ok(node.stop().await?)
}
