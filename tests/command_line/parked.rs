use super::{
    shell::{run, serve},
    support::nats::Server,
};
use callboard::{
    Actor, Bus, Context, Event, Failure, Group, Node, Retry, Running, Subject, call::Operator,
    message::Namespace,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

#[derive(Debug, Serialize, Deserialize)]
struct Placed {
    order: String,
    total: i64,
}

impl Event for Placed {
    const SUBJECT: Subject = Subject::new("orders.placed");

    fn key(&self) -> Cow<'_, str> {
        (&self.order).into()
    }
}

/// Handles orders with a total, and gives up those of nothing.
#[derive(Clone, Default)]
struct Desk(Arc<Mutex<Vec<String>>>);

impl Desk {
    async fn placed(&mut self, placed: Placed, _: &Context) -> Result<(), Failure> {
        match placed.total {
            0 => Err(Failure::discard("nothing to do")),
            total if total < 0 => Err(Failure::retry("in debt")),
            total => {
                let line = format!("{} {total}", placed.order);
                self.0.lock().expect("nobody panics with it").push(line);
                Ok(())
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics with it").clone()
    }

    async fn start(&self, server: &Server) -> Running {
        let desk = self.clone();
        let retry = Retry::new(2).backoff(Duration::from_millis(5), Duration::from_millis(5));
        let actor = Actor::new("desk", async move || Ok(desk.clone()))
            .on(Self::placed)
            .retry(retry);
        let bus = Bus::nats(server.url()).await.expect("the server is up");
        let node = Node::new("n", bus).group(Group::new("orders").child(actor));
        node.start().await.expect("the node is sound")
    }
}

async fn place(server: &Server, order: &str, total: i64) {
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let client = callboard::Client::new(bus, Namespace::default());
    let order = order.to_owned();
    client
        .publish(Placed { order, total })
        .await
        .expect("it is stored");
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + super::shell::PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "no {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn until_parked(server: &Server, count: usize) {
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let operator = Operator::new(bus, Namespace::default());
    until("parked keys", async || {
        let parked = operator.parked().await.unwrap_or_default();
        parked.len() == count && parked.iter().all(|key| key.state.as_str() == "parked")
    })
    .await;
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).expect("each line is JSON")
}

/// Places orders of which three keys are parked.
async fn place_some(server: &Server) {
    for (order, total) in [
        ("o 1", -5),
        ("o 1", 6),
        ("o-2", -1),
        ("o-3", -1),
        ("o-3", 3),
    ] {
        place(server, order, total).await;
    }
    until_parked(server, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_keys_are_listed_and_shown() {
    let server = Server::start();
    let said = run(&server, &["parked"]).await.failed(4);
    assert!(said.contains("has no streams"), "nobody was here: {said}");
    let desk = Desk::default();
    let node = desk.start(&server).await;
    place_some(&server).await;

    let list = run(&server, &["parked"]).await.done();
    assert_eq!(list.lines().count(), 3, "{list}");
    let first = list.lines().find(|line| line.contains("\"o 1\"")).unwrap();
    for told in [
        "orders/desk",
        "2 attempts, 1 waiting",
        "orders.placed: in debt",
    ] {
        assert!(first.contains(told), "{told}: {first}");
    }
    let shown = run(&server, &["parked", "show", "orders/desk", "o 1"])
        .await
        .done();
    for told in [
        r#"payload  {"order":"o 1","total":-5}"#,
        "waiting  callboard_EVT_orders 2 orders.placed",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let words = ["parked", "show", "orders/desk", "o 1", "--json"];
    let shown = json(&run(&server, &words).await.done());
    assert_eq!(shown["data"]["total"], -5);
    assert_eq!(
        (&shown["waiting"], &shown["behind"][0]["sequence"]),
        (&1.into(), &2.into())
    );

    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_keys_go_on_as_the_operator_says() {
    let server = Server::start();
    let desk = Desk::default();
    let node = desk.start(&server).await;
    place_some(&server).await;
    let amend = [
        "parked",
        "amend",
        "orders/desk",
        "o 1",
        r#"{"order":"o 1","total":5}"#,
    ];
    run(&server, &amend).await.done();
    let skip = ["parked", "skip", "orders/desk", "o-3", "--reason", "a test"];
    run(&server, &skip).await.done();
    until("three orders", async || desk.lines().len() == 3).await;
    until_parked(&server, 1).await;
    let all = run(&server, &["parked", "--json"]).await.done();
    assert_eq!(json(&all)["key"], "o-2");
    let retried = run(&server, &["parked", "retry", "--all"]).await.done();
    assert_eq!(retried, "orders/desk o-2 will be tried again\n");
    until_parked(&server, 1).await;
    let of = |order: &str| {
        let lines = desk.lines().into_iter();
        lines
            .filter(|line| line.starts_with(order))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("o 1"), ["o 1 5", "o 1 6"]);
    assert_eq!(of("o-3"), ["o-3 3"]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_of_nobody_or_on_nothing_is_told_with_the_cure() {
    let server = Server::start();
    serve(&server, &["orders"]).await;
    for words in [
        &["parked", "show", "orders/desk", "o-1"][..],
        &["parked", "retry", "orders/desk", "o-1"],
        &["parked", "skip", "orders/desk", "o-1", "--reason", "x"],
        &["parked", "amend", "orders/desk", "o-1", "{}"],
    ] {
        let said = run(&server, words).await.failed(1);
        assert!(
            said.contains("`callboard parked` lists those that are"),
            "{said}"
        );
    }
    for words in [&["dead", "show", "7"], &["dead", "redrive", "7"]] {
        let said = run(&server, words).await.failed(1);
        assert!(said.contains("there is no dead letter 7"), "{said}");
    }
    for words in [
        &["parked", "skip", "orders/desk", "o-1"][..],
        &["parked", "retry"],
        &["parked", "retry", "orders/desk", "--all"],
        &["parked", "amend", "orders/desk", "o-1", "{order: 1}"],
        &["dead", "redrive"],
        &["dead"],
    ] {
        run(&server, words).await.failed(2);
    }
    let bus = Bus::nats(server.url()).await.unwrap();
    assert_eq!(
        bus.streams().await.unwrap().len(),
        1,
        "looking makes no stream"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_and_redriven() {
    let server = Server::start();
    serve(&server, &["orders"]).await;
    assert_eq!(run(&server, &["dead", "list"]).await.done(), "");
    let desk = Desk::default();
    let node = desk.start(&server).await;
    place(&server, "o-1", 0).await;
    place(&server, "o-1", 4).await;
    until("the second order", async || desk.lines().len() == 1).await;
    until("a letter", async || {
        !run(&server, &["dead", "list"]).await.done().is_empty()
    })
    .await;

    let list = run(&server, &["dead", "list"]).await.done();
    for told in [
        "     1 ",
        "orders/desk",
        "orders.placed",
        "o-1",
        "1 attempts: nothing to do",
    ] {
        assert!(list.contains(told), "{told}: {list}");
    }
    let shown = run(&server, &["dead", "show", "1"]).await.done();
    assert!(
        shown.contains(r#"payload  {"order":"o-1","total":0}"#),
        "{shown}"
    );
    assert!(shown.contains("header   ce-type: orders.placed"), "{shown}");
    let shown = json(&run(&server, &["dead", "show", "1", "--json"]).await.done());
    assert_eq!(
        (&shown["data"]["total"], &shown["state"]),
        (&0.into(), &"dead".into())
    );

    let said = run(&server, &["dead", "redrive", "1"]).await.done();
    assert_eq!(said, "1 goes to orders/desk again\n");
    until("a second failure", async || {
        let list = run(&server, &["dead", "list"]).await.done();
        list.contains("[failed again]: nothing to do")
    })
    .await;
    node.stop().await.unwrap();
    let said = run(&server, &["dead", "redrive", "--all"]).await.done();
    assert_eq!(said, "1 goes to orders/desk again\n");
    let said = run(&server, &["dead", "redrive", "1"]).await.failed(4);
    assert!(said.contains("is its node up?"), "{said}");
}
