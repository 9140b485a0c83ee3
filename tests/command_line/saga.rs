use super::{shell::run, support::nats::Server};
use callboard::{
    Abort, Actor, Answer, Bus, Client, Command, Context, Failure, Group, Infallible, Node, Running,
    Saga, Steps, Subject,
    message::Namespace,
    saga::{SagaOutcome, Sagas},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[derive(Debug, Serialize, Deserialize)]
struct Pack(String);

impl Command for Pack {
    const SUBJECT: Subject = Subject::new("desk.pack");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Unpack(String);

impl Command for Unpack {
    const SUBJECT: Subject = Subject::new("desk.unpack");
    type Outcome = Result<(), Infallible>;
}

/// Packs, then waits for long; what is fragile is unpacked again.
async fn trip(steps: &mut Steps, what: String) -> Result<(), Abort> {
    let back = Unpack(what.clone());
    steps.call(Pack(what.clone())).undo(move |()| back).await?;
    if what == "glass" {
        return Err(Abort::new("it is fragile"));
    }
    steps.sleep(Duration::from_hours(24)).named("journey").await;
    Ok(())
}

async fn start(server: &Server) -> (Running, Sagas) {
    let desk = Actor::new("desk", async || Ok::<_, Failure>(()))
        .answer(async |(): &mut (), _: Pack, _: &Context| -> Answer<Pack> { Ok(()) })
        .answer(async |(): &mut (), _: Unpack, _: &Context| -> Answer<Unpack> { Ok(()) });
    let group = Group::new("desk")
        .child(desk)
        .child(Saga::new("trip", trip));
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let client = Client::new(bus.clone(), Namespace::default());
    let node = Node::new("n", bus).group(group).start().await;
    let sagas = Sagas::open(&client, "trip")
        .await
        .expect("streams are there");
    (node.expect("the node is sound"), sagas)
}

async fn ended(sagas: &Sagas, id: &str, within: Duration) -> SagaOutcome<()> {
    sagas.wait(id, within).await.expect("the server is up")
}

#[expect(
    clippy::too_many_lines,
    reason = "one story, from its start to its end"
)]
#[tokio::test(flavor = "multi_thread")]
async fn sagas_are_listed_shown_and_called_off() {
    let server = Server::start();
    run(&server, &["saga", "list"]).await.failed(4);
    let (node, sagas) = start(&server).await;
    let listed = run(&server, &["saga", "list"]).await;
    assert!(listed.err.contains("there are none"), "{listed:?}");
    assert_eq!(listed.done(), "");
    let listed = run(&server, &["saga", "list", "--json"]).await;
    assert_eq!((listed.err.as_str(), listed.out.as_str()), ("", ""));
    for what in ["glass", "wood"] {
        sagas.start(what, &what).await.expect("the server is up");
    }
    let glass = ended(&sagas, "glass", Duration::from_secs(10)).await;
    assert!(matches!(glass, SagaOutcome::Compensated(_)), "{glass:?}");
    let waits = async || {
        let why = run(&server, &["saga", "why", "trip", "wood"]).await;
        why.done().contains("it waits for `journey` until")
    };
    let deadline = tokio::time::Instant::now() + super::shell::PATIENCE;
    while !waits().await {
        assert!(tokio::time::Instant::now() < deadline, "it does not wait");
    }
    let open = run(&server, &["saga", "list"]).await.done();
    assert!(open.contains("wood") && !open.contains("glass"), "{open}");
    let shown = run(&server, &["saga", "show", "trip", "glass"])
        .await
        .done();
    for part in ["compensated", "desk.pack", "undone", "it is fragile"] {
        assert!(shown.contains(part), "{shown}");
    }
    let undone = ["saga", "list", "--state", "compensated", "--limit", "1"];
    let undone = run(&server, &undone).await.done();
    assert!(
        undone.contains("glass") && !undone.contains("wood"),
        "{undone}"
    );
    let woken = run(&server, &["saga", "retry", "trip", "wood"]).await;
    assert_eq!(woken.done(), "trip wood goes on\n");
    let told = run(&server, &["saga", "cancel", "trip", "wood"]).await;
    let told = told.done();
    assert!(told.starts_with("trip wood is called off: "), "{told}");
    let wood = ended(&sagas, "wood", Duration::from_secs(10)).await;
    assert!(matches!(wood, SagaOutcome::Compensated(_)), "{wood:?}");
    let all = run(&server, &["saga", "list", "trip", "--all", "--json"])
        .await
        .done();
    let states: Vec<_> = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"))
        .map(|saga| saga["state"].clone())
        .collect();
    assert_eq!(states, ["compensated", "compensated"]);
    run(&server, &["saga", "show", "nothing", "x"])
        .await
        .failed(1);
    node.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_parked_sagas_go_on_by_one_command_and_say_why_in_json() {
    let server = Server::start();
    let mended = Arc::new(AtomicBool::new(false));
    let dares = Arc::clone(&mended);
    let code = async move |_: &mut Steps, _: String| -> Result<(), Abort> {
        assert!(dares.load(Ordering::SeqCst), "it does not dare");
        Ok(())
    };
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let client = Client::new(bus.clone(), Namespace::default());
    let group = Group::new("desk").child(Saga::new("shy", code));
    let node = Node::new("n", bus).group(group).start().await;
    let node = node.expect("the node is sound");
    let sagas = Sagas::open(&client, "shy")
        .await
        .expect("streams are there");
    for id in ["one", "two"] {
        sagas.start(id, &id).await.expect("the server is up");
        let parked = ended(&sagas, id, Duration::from_secs(10)).await;
        assert!(matches!(parked, SagaOutcome::Parked(_)), "{parked:?}");
    }
    let why = run(&server, &["saga", "why", "shy", "one", "--json"]).await;
    let why: Value = serde_json::from_str(&why.done()).expect("it is JSON");
    assert_eq!(
        (&why["id"], &why["state"]),
        (&"one".into(), &"parked".into())
    );
    assert!(why["why"].to_string().contains("does not dare"), "{why}");

    mended.store(true, Ordering::SeqCst);
    let other = ["saga", "retry", "--all", "--reason", "another"];
    let other = run(&server, &other).await.done();
    assert_eq!(other, "shy 0 go on, 2 stay parked\n");
    let all = run(
        &server,
        &["saga", "retry", "shy", "--all", "--reason", "not dare"],
    )
    .await;
    assert_eq!(all.done(), "shy 2 go on, 0 stay parked\n");
    for id in ["one", "two"] {
        let done = ended(&sagas, id, Duration::from_secs(10)).await;
        assert_eq!(done, SagaOutcome::Completed(()));
    }
    let again = run(&server, &["saga", "retry", "--all"]).await;
    assert!(again.err.contains("no parked saga"), "{again:?}");
    assert_eq!(again.done(), "");
    run(&server, &["saga", "retry", "shy"]).await.failed(2);
    run(&server, &["saga", "retry", "--reason", "x", "shy", "one"])
        .await
        .failed(2);
    node.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_checks_sagas_here_is_told_where() {
    let server = Server::start();
    let check = run(&server, &["saga", "check"]).await.failed(2);
    assert!(check.contains("shop check"), "{check}");
}

/// Posts a parcel, and nobody says whether it came.
#[derive(Debug, Serialize, Deserialize)]
struct Post(String);

impl Command for Post {
    const SUBJECT: Subject = Subject::new("mail.post");
    type Outcome = Result<u64, Infallible>;
}

#[expect(
    clippy::too_many_lines,
    reason = "one story, from its start to its end"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_unknown_outcome_is_shown_with_its_trouble_and_settled() {
    let server = Server::start();
    let mail = Actor::new("mail", async || Ok::<_, Failure>(())).answer(
        async |(): &mut (), _: Post, _: &Context| -> Answer<Post> {
            Err(Failure::retry("the van is lost").into())
        },
    );
    let hour = Duration::from_hours(1);
    let sending =
        async |steps: &mut Steps, what: String| Ok::<_, Abort>(steps.call(Post(what)).await?);
    let sending = Saga::new("sending", sending).retry(callboard::Retry::new(2).backoff(hour, hour));
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let client = Client::new(bus.clone(), Namespace::default());
    let group = Group::new("mail").child(mail).child(sending);
    let node = Node::new("n", bus).group(group).start().await;
    let node = node.expect("the node is sound");
    let sagas = Sagas::open(&client, "sending")
        .await
        .expect("streams are there");
    for id in ["one", "two"] {
        sagas.start(id, &id).await.expect("the server is up");
        let deadline = tokio::time::Instant::now() + super::shell::PATIENCE;
        loop {
            let shown = run(&server, &["saga", "show", "sending", id]).await;
            if shown
                .out
                .contains("1 attempts, the last: mail.post failed: the van is lost")
            {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "it tells no trouble"
            );
        }
    }
    let step = |id, rest: &[&'static str]| {
        [&["saga", "settle", "sending", id, "mail.post"], rest].concat()
    };
    let slip = run(
        &server,
        &step("one", &["done", "--reply", "{", "--reason", "a slip"]),
    )
    .await;
    slip.failed(2);
    let slip = ["not-done", "--reply", "7", "--reason", "a slip"];
    run(&server, &step("one", &slip)).await.failed(2);
    let done = ["done", "--reply", "7", "--reason", "seen in the yard"];
    let done = run(&server, &step("one", &done)).await.done();
    assert_eq!(done, "sending one goes on: mail.post counts as done\n");
    let not = ["not-done", "--reason", "it burnt"];
    let not = run(&server, &step("two", &not)).await.done();
    assert_eq!(not, "sending two goes on: mail.post counts as not done\n");
    let wait = async |id| {
        sagas
            .wait::<u64>(id, super::shell::PATIENCE)
            .await
            .expect("it ends")
    };
    assert_eq!(wait("one").await, SagaOutcome::Completed(7));
    let two = wait("two").await;
    assert!(
        matches!(&two, SagaOutcome::Compensated(abort) if abort.reason().contains("it burnt")),
        "{two:?}"
    );
    let again = run(&server, &step("one", &["not-done", "--reason", "late"])).await;
    let again = again.failed(1);
    assert!(again.contains("completed"), "{again}");
    node.stop().await.expect("it stops");
}
