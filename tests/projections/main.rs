//! What a projection promises: a model equal to a fold of its streams, that
//! knows how far behind it is, and is there again after whatever happens.

#[path = "../support/mod.rs"]
mod support;

mod checkpoints;
mod kept;
mod library;
mod lost_tail;
mod rebuilding;

use callboard::{
    Client, Entity, Event, Failure, Group, Node, Projection, Replay,
    bus::{Message, StreamConfig},
    message::{Headers, headers},
    projection::{Lag, Seen},
    supervision::Branch,
};
use library::{Gate, Lend, Lent, Overview, Returned, Shelf, Tell, shelf};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};
use support::{
    folder::Folder,
    nats::Server,
    way::{Verdict, Way, both_buses, until},
};

/// Returns how the only projection of a node stands.
fn branch(node: &callboard::Running) -> Branch {
    node.tree().groups[0].children[0].clone()
}

#[tokio::test]
async fn a_model_is_the_fold_of_its_streams() -> Verdict {
    both_buses(async |way| {
        let client = way.client();
        for book in 0..300 {
            client.publish(Lent::of(&format!("b{book}"), "ada")).await?;
        }
        let node = way
            .node("n")
            .group(shelf(&Gate::default()).into_group())
            .start()
            .await?;
        let past = client.call(Tell).await?;
        assert_eq!(
            past,
            Overview { lent: 300, ..Overview::default() },
            "a node that is ready has caught up"
        );
        client.publish(Returned::of("b0")).await?;
        client.publish(Lent::of("b0", "eve")).await?;
        until("news in the model", async || {
            client
                .call(Tell)
                .await
                .is_ok_and(|overview| overview.returned == 1 && overview.lent == 301)
        })
        .await;
        until("no lag in the tree", async || branch(&node).lag == Some(0)).await;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn who_publishes_and_asks_a_fresh_model_finds_it() -> Verdict {
    both_buses(async |way| {
        let fresh = shelf(&Gate::default()).fresh_within(support::way::SOON);
        let node = way.node("n").group(fresh.into_group()).start().await?;
        let client = way.client();
        for n in 1..=50 {
            client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
            assert_eq!(client.call(Tell).await?.lent, n);
        }
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn every_event_of_a_decision_is_folded() -> Verdict {
    let lend = Entity::new("book", || 0_u32)
        .decide(Lend::decide)
        .apply(|lent: &mut u32, _: &Lent| *lent += 1)
        .apply(|_: &mut u32, _: &library::Overdue| {});
    let group = Group::new("library")
        .child(lend)
        .child(shelf(&Gate::default()).child());
    let mut heard = Replay::of(group)
        .ask(Lend { book: "b1".into(), user: "ada".into() })
        .ask(Tell)
        .settle()
        .await?;
    let overview = heard.answers::<Tell>().remove(0)?;
    assert_eq!(
        overview,
        Overview { lent: 1, overdue: 1, ..Overview::default() }
    );
    Ok(())
}

#[tokio::test]
async fn what_a_replay_gives_is_in_the_model_when_it_asks() -> Verdict {
    let mut heard = Replay::of(shelf(&Gate::default()).into_group())
        .given(Lent::of("b1", "ada"))
        .given(Lent::of("b2", "ada"))
        .ask(Tell)
        .given(Returned::of("b1"))
        .ask(Tell)
        .settle()
        .await?;
    let told: Vec<_> = heard
        .answers::<Tell>()
        .into_iter()
        .map(|answer| answer.map(|overview| (overview.lent, overview.returned)))
        .collect::<Result<_, _>>()?;
    assert_eq!(told, [(2, 0), (2, 1)]);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_the_rest_is_folded() -> Verdict {
    let way = Way::embedded(true);
    let node = way
        .node("n")
        .group(shelf(&Gate::default()).into_group())
        .start()
        .await?;
    let client = way.client();
    let stream = way
        .bus
        .stream(&StreamConfig::events(&way.names(), "library"))
        .await?;
    for (id, kind) in [
        ("1", Some(Lent::SUBJECT.as_str())),
        ("2", None),
        ("3", Some("library.burnt")),
    ] {
        let mut wrong = Headers::new();
        wrong.insert(headers::MSG_ID, id)?;
        if let Some(kind) = kind {
            wrong.insert(headers::CE_TYPE, kind)?;
        }
        let message = Message::new(format!("{}.evt.library.b1", way.namespace), "?").headers(wrong);
        stream.append(message, callboard::bus::Expect::Any).await?;
    }
    client.publish(Lent::of("b2", "ada")).await?;
    until("the event behind them", async || {
        client
            .call(Tell)
            .await
            .is_ok_and(|overview| overview.lent == 1)
    })
    .await;
    assert_eq!(branch(&node).restarts, 0);
    Ok(node.stop().await?)
}

/// The event as a newer program writes it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct LentNewer {
    book: String,
    user: String,
}

impl Event for LentNewer {
    const SUBJECT: callboard::Subject = Lent::SUBJECT;
    const VERSION: u32 = 2;

    fn key(&self) -> std::borrow::Cow<'_, str> {
        std::borrow::Cow::Borrowed(&self.book)
    }
}

#[tokio::test]
async fn an_event_of_a_newer_program_is_waited_at_and_not_left_out() -> Verdict {
    let way = Way::embedded(true);
    let node = way
        .node("n")
        .group(shelf(&Gate::default()).into_group())
        .start()
        .await?;
    let client = way.client();
    client.publish(Lent::of("b1", "ada")).await?;
    client
        .publish(LentNewer { book: "b2".into(), user: "ada".into() })
        .await?;
    client.publish(Lent::of("b3", "ada")).await?;
    until("what is before it", async || {
        client
            .call(Tell)
            .await
            .is_ok_and(|told| (told.lent, told.lag) == (1, 2))
    })
    .await;
    until("the lag in the tree", async || branch(&node).lag == Some(2)).await;
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_model_that_stands_still_says_how_far_behind_it_is() -> Verdict {
    let way = Way::embedded(true);
    let client = way.client();
    let first = client.publish(Lent::of("b0", "ada")).await?;
    for n in 1..400 {
        client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
    }
    // What this program cannot read yet is where the model stands still.
    let newer = LentNewer { book: "b400".into(), user: "ada".into() };
    client.publish(newer).await?;
    for n in 401..1_000 {
        client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
    }
    let shelf = shelf(&Gate::default()).caught_up_within(std::time::Duration::ZERO);
    let node = way.node("n").group(shelf.into_group()).start().await?;
    until("what is before it", async || {
        client
            .call(Tell)
            .await
            .is_ok_and(|overview| overview.lent == 400)
    })
    .await;
    let overview = client.call(Tell).await?;
    assert_eq!((overview.lent, overview.lag), (400, 600), "{overview:?}");
    assert!(overview.age_ms > 0, "since {first:?}: {overview:?}");
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_model_at_the_end_of_its_streams_lags_behind_nothing() -> Verdict {
    let way = Way::embedded(true);
    let client = way.client();
    for n in 0..2_000 {
        client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
    }
    let shelf = shelf(&Gate::default());
    let node = way.node("n").group(shelf.into_group()).start().await?;
    let end = client.call(Tell).await?;
    assert_eq!((end.lent, end.lag, end.age_ms), (2_000, 0, 0));
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_fold_that_panics_costs_a_restart_and_no_event() -> Verdict {
    let way = Way::embedded(true);
    let gate = Gate::default();
    let node = way
        .node("n")
        .group(shelf(&gate).into_group())
        .start()
        .await?;
    let client = way.client();
    client.publish(Lent::of("b1", "ada")).await?;
    gate.panics(1);
    client.publish(Lent::of("b2", "ada")).await?;
    until("a restart", async || branch(&node).restarts > 0).await;
    until("both events", async || {
        client
            .call(Tell)
            .await
            .is_ok_and(|overview| overview.lent == 2)
    })
    .await;
    let reason = branch(&node).reason.unwrap_or_default();
    assert!(reason.contains("panicked"), "{reason}");
    Ok(node.stop().await?)
}

#[tokio::test]
async fn an_answer_may_have_the_model_opened_again() -> Verdict {
    let way = Way::embedded(true);
    let node = way
        .node("n")
        .group(Group::new("library").child(fragile()))
        .start()
        .await?;
    let client = way.client();
    client.publish(Lent::of("b1", "ada")).await?;
    until("a first answer", async || client.call(Tell).await.is_ok()).await;
    until("a restart", async || {
        client.call(Tell).await.ok();
        branch(&node).restarts > 0
    })
    .await;
    let reason = branch(&node).reason.unwrap_or_default();
    assert!(reason.contains("worn out"), "{reason}");
    until("an answer again", async || client.call(Tell).await.is_ok()).await;
    Ok(node.stop().await?)
}

/// Describes a projection that answers twice with one model.
fn fragile() -> Projection<Arc<AtomicU32>> {
    Projection::new("fragile", || Arc::new(AtomicU32::new(2)))
        .fold(|_: &mut Arc<AtomicU32>, _: &Lent, _: &Seen| {})
        .answer(|left: &Arc<AtomicU32>, _: &Tell, _: &Lag| {
            let enough = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            match enough {
                Ok(_) => Ok(Overview::default()),
                Err(_) => Err(Failure::crash("worn out").into()),
            }
        })
}

#[tokio::test]
async fn an_event_that_is_synced_after_it_was_announced_is_found() -> Verdict {
    let folder = Folder::fresh();
    let bus = callboard::Bus::embedded_at(folder.path())?;
    let node = Node::new("n", bus)
        .group(shelf(&Gate::default()).into_group())
        .start()
        .await?;
    let client = node.client();
    for n in 1..=30 {
        client.publish(Lent::of("b1", "ada")).await?;
        until("it in the model", async || {
            client.call(Tell).await.is_ok_and(|told| told.lent == n)
        })
        .await;
    }
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_model_goes_on_after_its_server_was_away() -> Verdict {
    let mut server = Server::start();
    let bus = callboard::Bus::nats(server.url()).await?;
    let node = Node::new("n", bus)
        .group(shelf(&Gate::default()).checkpoint_every(2).into_group())
        .start()
        .await?;
    let client = node.client();
    client.publish(Lent::of("b1", "ada")).await?;
    let has = async |lent| {
        until(&format!("{lent} in the model"), async || {
            client.call(Tell).await.is_ok_and(|told| told.lent == lent)
        })
        .await;
    };
    has(1).await;
    server.kill();
    until("the model to grow old", async || {
        client.call(Tell).await.is_ok_and(|told| told.age_ms > 0)
    })
    .await;
    assert_eq!(client.call(Tell).await?.lent, 1, "it answers meanwhile");
    server.restart();
    let other = Client::new(
        callboard::Bus::nats(server.url()).await?,
        client.namespace().clone(),
    );
    other.publish(Lent::of("b2", "ada")).await?;
    has(2).await;
    assert_eq!(branch(&node).restarts, 0);
    Ok(node.stop().await?)
}

#[test]
#[should_panic(expected = "folds `library.lent` twice")]
fn an_event_has_one_fold() {
    drop(
        Projection::new("shelf", Shelf::default)
            .fold(Shelf::lent)
            .fold(Shelf::lent),
    );
}
