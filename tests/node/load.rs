//! A node under more than it can take says so, and gets done what it has in hand.

use crate::support::way::{SOON, Verdict, both_buses, until};
use callboard::{
    Actor, Answer, CallError, Command, Context, Failure, Group, Infallible, Subject, bus::Message,
    limit, supervision::Tree,
};
use serde::{Deserialize, Serialize};
use std::{cell::Cell, sync::Arc};
use tokio::sync::Semaphore;

/// Grinds a sack of corn; the miller asks the carter for it first.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Grind;

impl Command for Grind {
    const SUBJECT: Subject = Subject::new("mill.grind");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cart;

impl Command for Cart {
    const SUBJECT: Subject = Subject::new("road.cart");
    type Outcome = Result<(), Infallible>;
}

/// Grinds when there is water.
fn mill(water: &Arc<Semaphore>) -> Group {
    let water = Arc::clone(water);
    let grind = async |water: &mut Arc<Semaphore>, _: Grind, ctx: &Context| -> Answer<Grind> {
        water.acquire().await.map_err(Failure::discard)?.forget();
        Ok(ctx.call(Cart).await?)
    };
    let miller = Actor::new("miller", move || {
        let water = Arc::clone(&water);
        async move { Ok::<_, Failure>(water) }
    });
    Group::new("mill").child(miller.instances(2).answer(grind))
}

fn road() -> Group {
    let cart = async |(): &mut (), _: Cart, _: &Context| -> Answer<Cart> { Ok(()) };
    let carter = Actor::new("carter", async || Ok::<_, Failure>(()));
    Group::new("road").child(carter.answer(cart))
}

/// Counts what is in the mailboxes of a group's actors.
fn in_hand(tree: &Tree, group: &str) -> usize {
    let groups = tree.groups.iter().filter(|found| found.name == group);
    let actors = groups.flat_map(|group| &group.children);
    let cells = actors.flat_map(|actor| actor.children.iter().chain([actor]));
    cells.filter_map(|cell| cell.mailbox).sum()
}

#[tokio::test]
async fn what_is_too_much_is_turned_away_at_once_and_the_rest_gets_done() -> Verdict {
    both_buses(async |way| {
        let water = Arc::new(Semaphore::new(0));
        let node = way
            .node("one")
            .in_hand(2)
            .group(road())
            .group(mill(&water))
            .start()
            .await?;
        let client = way.client();
        let first = client.call_all([Grind, Grind]);
        let more = async {
            until("both in hand", async || in_hand(&node.tree(), "mill") == 2).await;
            let refused = Cell::new(None);
            until("a refusal", async || {
                let error = client.call(Cart).await.err();
                let is_refused = error.is_some();
                refused.set(error);
                is_refused
            })
            .await;
            let turned_away = refused.take();
            // The node itself still answers.
            let tree = Message::new(way.names().system("ask.tree"), "");
            let told = way.bus.request(tree, SOON).await;
            let limits = limit::ask(&client, &limit::Filter::default(), SOON).await;
            water.add_permits(2);
            (turned_away, told, limits)
        };
        let (ground, (turned_away, told, limits)) = tokio::join!(first.into_future(), more);
        assert!(ground.iter().all(Result::is_ok), "{ground:?}");
        let turned_away = turned_away.expect("one was refused");
        let CallError::Unavailable { reason, retry_after, .. } = &turned_away else {
            return Err(format!("{turned_away:?}").into());
        };
        assert!(reason.contains("has 2 commands in hand"), "{reason}");
        assert!(retry_after.is_some(), "it says when to come again");
        assert!(!told?.payload.is_empty());
        let in_hand = &limits?[0].limits[0];
        assert_eq!((in_hand.now, in_hand.limit, in_hand.refused), (2, 2, 1));
        client.call(Cart).await?;
        Ok(node.stop().await?)
    })
    .await
}
