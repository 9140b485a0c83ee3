use super::{
    ask::payments,
    shell::{piped, run},
    support::{folder::Folder, nats::Server},
};
use callboard::{
    Bus, Node, Running,
    policy::{Policies, Policy},
};
use std::time::Duration;

const TABLE: &str = r#"
[default]
deadline = "5s"

[commands."payments.charge"]
deadline = "3s"
try_within = "1s"
retry = { attempts = 3, first = "100ms" }
breaker = { failures = 5, within = "10s", open = "1m", slow = "2s", slow_rate = 0.5 }
bulkhead = { in_flight = 100, queue = 50, wait = "1s" }
rate = { limit = 100, per = "1s", by = { field = "user" } }
accept = { limit = 1000, per = "1s", by = "caller" }
cache = { entries = 500, ttl = "30s" }
fallback = "last-reply"
"#;

const ROW: &str = "payments.charge 3s, 1s each 3 attempts from 100ms, 0.2 of calls \
                   5 or 0.5 slow in 10s, for 1m 100, 50 wait 1s 100 in 1s by user \
                   1000 in 1s by caller 500 for 30s last-reply";

fn single_spaced(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Starts a node without policies, and one with its own.
async fn two(server: &Server) -> [Running; 2] {
    let bus = Bus::nats(server.url()).await.expect("a server");
    let node = |name| Node::new(name, bus.clone());
    let one = node("n-1").group(payments()).start().await;
    let own = Policies::new().otherwise(Policy::new().deadline(Duration::from_secs(9)));
    let two = node("n-2").policies(own).start().await;
    [one.expect("it is sound"), two.expect("it is sound")]
}

async fn stop(nodes: [Running; 2]) {
    for node in nodes {
        node.stop().await.expect("it stops");
    }
}

fn write(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a place for a file");
    path.to_str().expect("its name is text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_shown_with_the_nodes_that_they_hold_on() {
    let server = Server::start();
    let nodes = two(&server).await;
    let shown = single_spaced(&run(&server, &["policies"]).await.done());
    assert!(
        shown.contains("version 0, their own: n-1; no policies\nversion 0, their own: n-2\nOF "),
        "{shown}"
    );
    assert!(shown.ends_with("\nall others 9s - - - - - - -"), "{shown}");
    let taken = piped(&server, &["policies", "set", "-"], TABLE)
        .await
        .done();
    assert_eq!(taken, "version 1 holds on n-1, n-2\n");
    let shown = single_spaced(&run(&server, &["policies"]).await.done());
    assert!(
        shown.starts_with("version 1: n-1, n-2\nOF DEADLINE "),
        "{shown}"
    );
    assert!(shown.contains(ROW), "{shown}");
    let unknown = run(&server, &["policies", "--node", "n-9"]).await.failed(4);
    assert!(unknown.contains("no node `n-9`"), "{unknown}");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_set_from_a_file_that_is_checked_first() {
    let server = Server::start();
    let folder = Folder::fresh();
    let file = write(
        &folder,
        "flawed.toml",
        "[domains.payments]\nrate = { limit = 0 }",
    );
    let flawed = run(&server, &["policies", "set", &file]).await.failed(2);
    assert!(
        flawed.contains("flawed.toml: `domains.payments.rate`: `limit` is 0"),
        "{flawed}"
    );
    let empty = piped(&server, &["policies", "set", "-"], " ").await;
    let empty = empty.failed(2);
    assert!(
        empty.contains("standard input: it is empty; write"),
        "{empty}"
    );
    let file = write(&folder, "sound.toml", TABLE);
    let nobody = run(&server, &["policies", "set", &file]).await.failed(4);
    assert!(nobody.contains("no node answers"), "{nobody}");
    let nodes = two(&server).await;
    run(&server, &["policies", "set", &file]).await.done();
    // What is shown as JSON can be set again, unless another has come since.
    let shown = ["policies", "--json", "--node", "n-2"];
    let json = run(&server, &shown).await.done();
    let file = write(&folder, "same", &json);
    let taken = run(&server, &["policies", "set", &file]).await.done();
    assert_eq!(taken, "version 2 holds on n-1, n-2\n");
    let older = run(&server, &["policies", "set", &file]).await.failed(2);
    assert!(older.contains("from version 1, and 2 is there"), "{older}");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_what_nobody_answers_is_set_and_told_and_all_are_cleared() {
    let (server, folder) = (Server::start(), Folder::fresh());
    let nodes = two(&server).await;
    let table = "[domains.payments]\n[domains.paymentz]\n[commands.\"payments.charge\"]\n\
                 [commands.\"payments.chrage\"]\n[default]\n";
    let file = write(&folder, "nobody.toml", table);
    let set = run(&server, &["policies", "set", &file]).await;
    let told = &set.err;
    assert_eq!(told.lines().count(), 2, "{told}");
    for name in ["payments.chrage", "paymentz"] {
        let warning = format!("nobody answers `{name}` now");
        assert!(told.contains(&warning), "{told}");
    }
    assert_eq!(set.done(), "version 1 holds on n-1, n-2\n");
    let cleared = run(&server, &["policies", "clear"]).await.done();
    assert_eq!(cleared, "version 2 holds on n-1, n-2\n");
    let shown = run(&server, &["policies"]).await.done();
    assert_eq!(shown, "version 2: n-1, n-2; no policies\n");
    stop(nodes).await;
}
