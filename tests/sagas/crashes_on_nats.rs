//! A runner that dies anywhere is no matter: on a server, with another node to go on.

use crate::{
    market::{Outcome, checkouts, orders, placed, purse, shelf},
    support::{nats::Server, way::until_within},
    told,
    waiting::PATIENCE,
};
use callboard::{
    Bus, Client, Node, Running,
    message::Namespace,
    saga::{CrashPoint, SagaState, Sagas},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::Duration;

/// How many of these stories are told at once.
const SIDE_BY_SIDE: usize = 16;

type Error = Box<dyn std::error::Error>;

/// Hosts the market, in a namespace of the story's own.
async fn host(
    name: &str,
    namespace: &str,
    bus: &Bus,
    point: &CrashPoint,
) -> Result<Running, Error> {
    let saga = checkouts().takeover_after(Duration::from_secs(1));
    let node = Node::new(name, bus.clone())
        .namespace(namespace)
        .group(shelf())
        .group(purse())
        .group(orders(saga))
        .crash_at(point);
    Ok(node.start().await?)
}

/// Waits, as long as many nodes on a busy machine may take.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let look = async || is_so().await.then_some(()).ok_or_else(String::new);
    until_within(PATIENCE, what, look).await;
}

/// Plays one order whose node dies at a place; another goes on. Returns what
/// happened, and how many places there were.
async fn play(bus: &Bus, order: &str, place: u64) -> Result<(Vec<String>, u64), Error> {
    let namespace = format!("{order}-{place}");
    let client = Client::new(bus.clone(), namespace.parse::<Namespace>()?);
    let point = CrashPoint::at(place);
    let first = host("first", &namespace, bus, &point).await?;
    let sagas = Sagas::open(&client, "checkout").await?;
    client.publish(placed(order)).await?;
    let is_over = async || sagas.status(order).await.is_ok_and(|it| it.state.is_over());
    until("the death, or the end", async || {
        point.is_passed() || is_over().await
    })
    .await;
    first.stop().await?;
    let second = CrashPoint::at(0);
    let node = host("second", &namespace, bus, &second).await?;
    until("the end", is_over).await;
    let status = sagas.status(order).await?;
    assert_eq!(
        status.state == SagaState::Completed,
        order == "good",
        "{status:?}"
    );
    node.stop().await?;
    Ok((
        told::story(&client).await?,
        point.places() + second.places(),
    ))
}

#[tokio::test]
async fn wherever_its_node_dies_another_ends_it_and_the_same_happens_once() -> Outcome {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    for order in ["good", "scarce", "declined", "late"] {
        let (expected, places) = play(&bus, order, 0).await?;
        let plays = stream::iter(1..=places).map(|place| {
            let bus = &bus;
            async move { Ok::<_, Error>((place, play(bus, order, place).await?)) }
        });
        let plays: Vec<_> = plays.buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        for (place, (story, _)) in plays {
            assert_eq!(
                story, expected,
                "{order}, dead at place {place} of {places}"
            );
        }
    }
    Ok(())
}
