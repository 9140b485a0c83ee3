//! What wakes a saga, on a server.

use crate::{
    market::{Outcome, Placed, placed},
    support::nats::Server,
};
use callboard::{
    Abort, Bus, Group, Node, Saga, Steps,
    bus::{Expect, Message, StreamConfig},
    message::{Headers, Id, Key, codec, headers},
    saga::{SagaOutcome, Sagas},
};
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const SOON: Duration = Duration::from_secs(20);

/// Sleeps three times, each time longer than it stays in memory.
async fn doze(steps: &mut Steps, placed: Placed) -> Result<String, Abort> {
    for _ in 0..3 {
        steps.sleep(Duration::from_millis(2_500)).await;
    }
    Ok(placed.order)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_that_sleeps_again_and_again_is_woken_each_time() -> Outcome {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let group = Group::new("orders").child(Saga::new("doze", doze));
    let node = Node::new("one", bus).group(group).start().await?;
    let sagas = Sagas::open(&node.client(), "doze").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    let done = sagas.wait::<String>("o-1", SOON).await?;
    assert_eq!(done, SagaOutcome::Completed("o-1".to_owned()));
    Ok(node.stop().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_saga_that_nothing_would_wake_is_found_on_a_server() -> Outcome {
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

    let server = Server::start();
    let mended = Arc::new(AtomicBool::new(false));
    let group = || {
        let mended = Arc::clone(&mended);
        let code = async move |_: &mut Steps, placed: Placed| -> Result<String, Abort> {
            assert!(mended.load(Ordering::SeqCst), "it does not dare");
            Ok(placed.order)
        };
        Group::new("orders").child(Saga::new("shy", code))
    };
    let bus = Bus::nats(server.url()).await?;
    let first = Node::new("one", bus.clone()).group(group()).start().await?;
    let client = first.client();
    let sagas = Sagas::open(&client, "shy").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    let parked = sagas.wait::<String>("o-1", SOON).await?;
    assert!(matches!(parked, SagaOutcome::Parked(_)), "{parked:?}");
    let names = client.namespace();
    let journals = bus.stream(&StreamConfig::sagas(names, "shy")).await?;
    let page = codec::encode(&Page { by: "client", moves: [Move::Told("retry")] })?;
    let mut own = Headers::new();
    own.insert(headers::MSG_ID, Id::new().to_string())?;
    own.insert("cb-moves", "told")?;
    let told = Message::new(names.saga("shy", &Key::new("o-1")?), page).headers(own);
    journals.append(told, Expect::Any).await?;
    first.stop().await?;

    mended.store(true, Ordering::SeqCst);
    let next = Node::new("two", bus).group(group()).start().await?;
    let sagas = Sagas::open(&next.client(), "shy").await?;
    let done = sagas.wait::<String>("o-1", SOON).await?;
    assert_eq!(done, SagaOutcome::Completed("o-1".to_owned()));
    Ok(next.stop().await?)
}
