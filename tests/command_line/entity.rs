use super::{shell::run, support::nats::Server};
use callboard::{
    Bus,
    bus::{Expect, Message, StreamConfig},
    message::{Headers, Namespace, headers::MSG_ID},
};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_left_out_of_its_entity_and_put_back() {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let events = StreamConfig::events(&Namespace::default(), "bank");
    let stream = bus.stream(&events).await.expect("it can be made");
    let skips = StreamConfig::skipped(&Namespace::default());
    bus.stream(&skips).await.expect("it can be made");
    let mut headers = Headers::new();
    headers.insert(MSG_ID, "stray").expect("it is sound");
    let stray = Message::new("callboard.evt.bank.a=20b", "?").headers(headers);
    let stored = stream.append(stray, Expect::Any).await;
    stored.expect("it is stored");
    let listed = run(&server, &["entity", "skipped"]).await.done();
    assert_eq!(listed, "");
    let skip = |sequence| {
        [
            "entity", "skip", "bank", "a b", sequence, "--reason", "no event",
        ]
    };
    let said = run(&server, &skip("1")).await.done();
    assert!(said.contains("goes on without #1"), "{said}");
    let failed = run(&server, &skip("2")).await.failed(1);
    assert!(
        failed.contains("no message of `a b` stands at #2"),
        "{failed}"
    );
    let listed = run(&server, &["entity", "skipped", "--json"]).await.done();
    let listed: Value = serde_json::from_str(&listed).expect("each line is JSON");
    assert_eq!(
        (&listed["domain"], &listed["key"], &listed["sequence"]),
        (&"bank".into(), &"a b".into(), &1.into())
    );
    assert_eq!(listed["reason"], "no event");
    let unskip = ["entity", "unskip", "bank", "a b", "1"];
    let said = run(&server, &unskip).await.done();
    assert!(said.contains("has #1 again"), "{said}");
    let failed = run(&server, &unskip).await.failed(1);
    assert!(failed.contains("is not skipped"), "{failed}");
    assert_eq!(run(&server, &["entity", "skipped"]).await.done(), "");
}
