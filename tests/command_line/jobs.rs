use super::{
    shell::{Ran, run},
    support::nats::Server,
};
use callboard::{
    Actor, Answer, Bus, Command, Context, Failure, Group, Node, Rejection, Retry, Running, Subject,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{borrow::Cow, time::Duration};
use tokio::time::{Instant, sleep};

#[derive(Debug, Serialize, Deserialize)]
struct Charge {
    order: String,
    amount: i64,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
struct No;

impl Rejection for No {}

impl Command for Charge {
    const SUBJECT: Subject = Subject::new("payments.charge");
    type Outcome = Result<(), No>;

    fn key(&self) -> Cow<'_, str> {
        (&self.order).into()
    }
}

async fn charge((): &mut (), charge: Charge, _: &Context) -> Answer<Charge> {
    match charge.amount {
        0 => Err(Failure::discard("nothing to pay").into()),
        amount if amount < 0 => Err(Failure::discard("the bank is down").into()),
        _ => Ok(()),
    }
}

async fn node(server: &Server) -> Running {
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let till = Actor::new("till", async || Ok(()))
        .answer(charge)
        .retry(Retry::new(1));
    let node = Node::new("n", bus).group(Group::new("payments").child(till));
    node.start().await.expect("the node is sound")
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + super::shell::PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "no {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn payload(amount: i64) -> String {
    format!(r#"{{"order":"o-1","amount":{amount}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_sent_listed_and_cancelled() {
    let server = Server::start();
    let send = r#"jobs send payments.charge {"order":"o-1","amount":5} --key o-1"#;
    let said = at_shell(&server, send).await.failed(4);
    let missing = "there is no stream callboard_JOB_payments";
    assert!(said.contains(missing), "{said}");
    let node = node(&server).await;
    let empty = at_shell(&server, "jobs list payments").await;
    let idle = "no job and no timer of `payments` waits";
    assert!(empty.err.contains(idle), "{empty:?}");
    assert_eq!(empty.done(), "");
    let later = format!("{send} --in 2h --name later");
    let said = at_shell(&server, &later).await.done();
    assert!(said.contains(" due 2"), "{said}");
    let list = at_shell(&server, "jobs list payments").await.done();
    for part in ["timer", "due ", "payments.charge", "o-1", "later"] {
        assert!(list.contains(part), "{list}");
    }
    let list = at_shell(&server, "jobs list payments --json").await.done();
    let told: Value = serde_json::from_str(&list).expect("each line is JSON");
    let (state, key) = (&told["state"], &told["key"]);
    assert_eq!((state, key), (&"timer".into(), &"o-1".into()));
    assert_eq!(told["data"]["amount"], 5);
    let cancel = "jobs cancel payments.charge --key o-1 --name later";
    let said = at_shell(&server, cancel).await.done();
    assert!(said.contains("is cancelled"), "{said}");
    let said = at_shell(&server, cancel).await.failed(1);
    assert!(said.contains("no timer of payments.charge waits"), "{said}");
    let bad = "jobs send payments.charge {} --at tomorrow";
    at_shell(&server, bad).await.failed(2);
    node.stop().await.expect("it stops");
}

/// Runs a command whose words have no white space.
async fn at_shell(server: &Server, line: &str) -> Ran {
    run(server, &line.split(' ').collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_were_given_up_are_redriven_by_reason() {
    let server = Server::start();
    let node = node(&server).await;
    let empty = run(&server, &["dead", "list"]).await;
    assert!(empty.err.contains("there are no dead letters"), "{empty:?}");
    for amount in [0, -1, -2] {
        let words = [
            "jobs",
            "send",
            "payments.charge",
            &*payload(amount),
            "--key",
            "o-1",
        ];
        run(&server, &words).await.done();
    }
    let listed = async || run(&server, &["dead", "list"]).await.done();
    until("three letters", async || {
        listed().await.lines().count() == 3
    })
    .await;
    assert!(
        listed().await.contains("payments.charge"),
        "{}",
        listed().await
    );
    let words = ["dead", "redrive", "--all", "--reason", "bank is down"];
    let said = run(&server, &words).await.done();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.contains("is stored as a job of payments/till again"),
        "{said}"
    );
    // They fail again: two other letters take the place of the two.
    until("two more letters", async || {
        let all = run(&server, &["dead", "list", "--all"]).await.done();
        all.lines().count() == 5
    })
    .await;
    assert_eq!(listed().await.lines().count(), 3);
    let words = ["dead", "redrive", "--all", "--reason", "another reason"];
    let other = run(&server, &words).await;
    assert!(
        other.err.contains("there is no such dead letter"),
        "{other:?}"
    );
    let words = ["dead", "redrive", "1", "--reason", "x"];
    run(&server, &words).await.failed(2);
    node.stop().await.expect("it stops");
}
