//! What happens to jobs when the server goes down.

use crate::{
    bank::{bank, fine, teller},
    support::{
        log::Log,
        nats::Server,
        way::{Verdict, until},
    },
};
use callboard::{
    Bus, CallError, Client, Node,
    bus::StreamConfig,
    policy::{Fallback, Policies, Policy},
    time::Clock,
};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn timers_that_fall_due_while_the_server_is_down_are_done_once_when_it_is_back() -> Verdict {
    let mut server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let log = Log::default();
    let node = Node::new("n", bus.clone())
        .namespace("shop")
        .group(bank(teller(&log)))
        .start()
        .await?;
    let client = node.client();
    client.send(fine("before")).await?;
    assert_eq!(log.of(1).await, ["before 1"]);
    for number in 0..50 {
        client.send_in(fine(&format!("k{number}")), SOON).await?;
    }
    client.send_in(fine("named"), SOON).named("x").await?;
    client.send_in(fine("named"), SOON * 2).named("x").await?;
    assert_eq!(log.lines().len(), 1, "it is too early");
    server.kill();
    let due = Clock::system().now() + SOON;
    until("due time", async || Clock::system().now() >= due).await;
    server.restart();
    let mut lines = log.of(52).await;
    lines.sort_unstable();
    let mut expected: Vec<_> = (0..50).map(|number| format!("k{number} 1")).collect();
    expected.extend(["before 1", "named 1"].map(str::to_owned));
    expected.sort_unstable();
    assert_eq!(lines, expected);
    client.send(fine("after")).await?;
    assert_eq!(log.of(53).await[52], "after 1");
    let stream = bus
        .stream(&StreamConfig::jobs(&"shop".parse()?, "bank"))
        .await?;
    assert_eq!(
        stream.read("shop.tmr.>", 1).await?.all().await?,
        [],
        "none waits"
    );
    Ok(node.stop().await?)
}

#[tokio::test]
async fn who_cannot_know_whether_a_call_was_put_off_is_told_so() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let fallback = Policy::new().idempotent().fallback(Fallback::Job);
    let client = Client::new(bus, "shop".parse()?).policies(Policies::new().otherwise(fallback))?;
    // From now on it knows the stream.
    client.send(fine("a")).await?;
    // It is there, and says nothing any more.
    let pid = server.pid().ok_or("a server")?.to_string();
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &pid])
        .status()?;
    assert!(stopped.success());
    let called = client.call(fine("b")).timeout(SOON).await;
    let Err(error @ CallError::MaybePutOff { .. }) = called else {
        return Err(format!("{called:?}").into());
    };
    assert!(!error.certainly_not_run());
    Ok(())
}
