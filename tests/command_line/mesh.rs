use super::{
    ask::{Charge, payments},
    shell::{Going, PATIENCE, piped, run},
    support::nats::Server,
};
use callboard::{Bus, Group, Node, Running};
use serde_json::Value;
use std::path::PathBuf;
use tokio::time::timeout;

async fn start(server: &Server, name: &str, groups: Vec<Group>) -> Running {
    let bus = Bus::nats(server.url()).await.expect("a server");
    let node = Node::new(name, bus)
        .namespace("shop")
        .version("1.2.0")
        .region("eu");
    let node = groups.into_iter().fold(node, Node::group);
    node.start().await.expect("a sound node")
}

fn shop<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["--namespace", "shop"], words].concat()
}

/// Starts one node that is well, and one that is not.
async fn two(server: &Server) -> [Running; 2] {
    let one = start(server, "n-1", vec![payments().tag("gold")]).await;
    let sick = async || Err::<(), _>("no paper");
    let office = Group::new("office")
        .depends_on("payments")
        .depends_on("stock");
    let two = start(server, "n-2", vec![office.healthy_if("printer", sick)]).await;
    [one, two]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_told_with_the_cure() {
    let server = Server::start();
    for words in [
        ["nodes"],
        ["services"],
        ["graph"],
        ["routes"],
        ["breakers"],
        ["policies"],
    ] {
        let nobody = run(&server, &shop(&words)).await.failed(4);
        assert!(
            nobody.contains("no node answers in namespace `shop`"),
            "{nobody}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_services_are_shown() {
    let server = Server::start();
    let nodes = two(&server).await;
    let shown = run(&server, &shop(&["nodes"])).await.done();
    let words: Vec<Vec<_>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(words[0], ["NODE", "INSTANCE", "REGION", "HEALTHY", "HEARD"]);
    assert_eq!(
        (words[1][0], words[1][2], words[1][3]),
        ("n-1", "eu", "1/1"),
        "{shown}"
    );
    assert_eq!((words[2][0], words[2][3]), ("n-2", "0/1"), "{shown}");

    let shown = run(&server, &shop(&["services"])).await.done();
    assert!(shown.contains("printer: no paper"), "{shown}");
    assert!(
        shown.contains("2 services, 2 instances, 1 healthy\n"),
        "{shown}"
    );
    assert!(
        shown.contains("! none of 1 of office is healthy\n"),
        "{shown}"
    );
    let narrow = [
        "services",
        "--healthy",
        "--tag",
        "gold",
        "--version-in",
        "^1.1",
        "--json",
    ];
    let found = run(&server, &shop(&narrow)).await.done();
    let found: Value = serde_json::from_str(&found).expect("one line of JSON");
    assert_eq!(
        (&found["name"], &found["node"]),
        (&"payments".into(), &"n-1".into())
    );
    assert_eq!(found["version"], "1.2.0");
    let none = ["services", "--version-in", ">=2", "--json"];
    assert_eq!(run(&server, &shop(&none)).await.done(), "");
    for node in nodes {
        node.stop().await.expect("it stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_often_each_was_asked_is_counted() {
    let server = Server::start();
    let nodes = two(&server).await;
    for amount in [7, 8, 101] {
        let charge = format!(r#"{{"order": "o-1", "amount": {amount}}}"#);
        run(&server, &shop(&["request", "payments.charge", &charge])).await;
    }
    let counts = ["services", "payments", "--stats"];
    let shown = run(&server, &shop(&counts)).await.done();
    let words: Vec<Vec<_>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let head = "SERVICE VERSION NODE COMMAND REQUESTS ERRORS MEAN";
    assert_eq!(words[0].join(" "), head);
    let row = words[1][..6].join(" ");
    assert_eq!(row, "payments 1.2.0 n-1 charge 3 0", "{shown}");
    assert_eq!(words.len(), 2, "{shown}");
    let told = [&counts[..], &["--json"]].concat();
    let told = run(&server, &shop(&told)).await.done();
    let told: Value = serde_json::from_str(&told).expect("one line of JSON");
    assert_eq!(
        (&told["requests"], &told["node"]),
        (&3.into(), &"n-1".into())
    );
    for node in nodes {
        node.stop().await.expect("it stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_needs_whom_is_drawn() {
    let server = Server::start();
    let nodes = two(&server).await;
    let graph = run(&server, &shop(&["graph"])).await.done();
    assert!(
        graph.contains("office  1 instance\n  -> payments  declared, not seen\n"),
        "{graph}"
    );
    assert!(graph.contains("stock  not there\n"), "{graph}");
    let unseen = "\ndeclared and not seen:\n  office -> payments\n  office -> stock\n";
    assert!(graph.ends_with(unseen), "{graph}");
    let dot = run(&server, &shop(&["graph", "--dot"])).await.done();
    assert!(dot.starts_with("digraph callboard {\n"), "{dot}");
    let mermaid = run(&server, &shop(&["graph", "--mermaid"])).await.done();
    assert!(mermaid.contains("-- not seen -->"), "{mermaid}");
    for node in nodes {
        node.stop().await.expect("it stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_shows_it_again_and_again() {
    let server = Server::start();
    let mut watching = Going::start(&server, &shop(&["services", "--watch"]));
    assert!(watching.line().await.contains("no node answers"));
    let one = start(&server, "n-1", vec![payments()]).await;
    let mut line = String::new();
    while !line.starts_with("payments ") {
        line = watching.line().await;
    }
    assert!(!line.contains('\u{1b}'), "nobody looks at a terminal");
    one.stop().await.expect("it stops");
}

/// A file that is gone with the test.
struct Paper(PathBuf);

impl Paper {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("callboard-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a place for a file");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("its name is text")
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

const ROUTES: &str = r#"
    [[route]]
    to = "payments"
    spread = "least-in-flight"
    eject = { failures = 5, base = "10s" }
    rule = [
        { header = "x-canary", equals = "true", versions = { "^2" = 1 } },
        { versions = { "^1" = 90, "^2" = 10 } },
    ]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_set_from_a_file_and_shown() {
    let server = Server::start();
    let one = start(&server, "n-1", vec![payments()]).await;
    let empty = run(&server, &shop(&["routes"])).await.done();
    assert_eq!(empty, "version 0: no routes, all goes the usual way\n");
    let set = async |paper: Paper| run(&server, &shop(&["routes", "set", paper.name()])).await;
    let taken = set(Paper::new("routes.toml", ROUTES)).await.done();
    assert_eq!(taken, "the nodes go by version 1\n");
    let shown = run(&server, &shop(&["routes"])).await.done();
    let row =
        "payments  least-in-flight  header x-canary=true: ^2 1; ^1 90 / ^2 10  5 failures, for 10s";
    assert!(
        shown.starts_with("version 1\nTO ") && shown.contains(row),
        "{shown}"
    );
    // What is shown as JSON can be set again, until another has come.
    let json = run(&server, &shop(&["routes", "--json"])).await.done();
    let again = set(Paper::new("same.json", &json)).await.done();
    assert_eq!(again, "the nodes go by version 2\n");
    let older = set(Paper::new("same.json", &json)).await.failed(2);
    assert!(
        older.contains("made from version 1, and 2 is there by now"),
        "{older}"
    );
    assert_eq!(one.routes().version, 2);
    let json = run(&server, &shop(&["routes", "--json"])).await.done();
    let again = piped(&server, &shop(&["routes", "set", "-"]), &json)
        .await
        .done();
    assert_eq!(again, "the nodes go by version 3\n");
    let flawed = set(Paper::new("flawed.toml", "[[route]]\nto = \"a.b.c\""))
        .await
        .failed(2);
    assert!(
        flawed.contains("neither a domain nor a command"),
        "{flawed}"
    );
    one.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_routes_are_taken_away_on_purpose_only() {
    let server = Server::start();
    let one = start(&server, "n-1", vec![payments()]).await;
    let set = async |text: &str| {
        let paper = Paper::new("purpose.toml", text);
        run(&server, &shop(&["routes", "set", paper.name()])).await
    };
    set(ROUTES).await.done();
    for nothing in ["", "# to do\n", "version = 1\n", "{}"] {
        let refused = set(nothing).await.failed(2);
        assert!(
            refused.contains("`route = []`") && refused.contains("`callboard routes clear`"),
            "{refused}"
        );
    }
    assert_eq!(one.routes().routes.len(), 1);
    set("route = []").await.done();
    assert!(one.routes().routes.is_empty());
    set(ROUTES).await.done();
    let cleared = run(&server, &shop(&["routes", "clear"])).await.done();
    assert_eq!(cleared, "the nodes go by version 4\n");
    assert!(one.routes().routes.is_empty());
    one.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_to_what_nobody_answers_is_set_and_told() {
    let server = Server::start();
    let one = start(&server, "n-1", vec![payments()]).await;
    let routes = ["payments", "payments.charge", "payments.chrage", "pay"];
    let routes: Vec<_> = routes
        .iter()
        .map(|to| format!("[[route]]\nto = \"{to}\"\n"))
        .collect();
    let paper = Paper::new("nobody.toml", &routes.concat());
    let set = run(&server, &shop(&["routes", "set", paper.name()])).await;
    let told = &set.err;
    assert_eq!(told.lines().count(), 2, "{told}");
    for to in ["payments.chrage", "pay"] {
        let warning = format!("nobody answers `{to}` now");
        assert!(told.contains(&warning), "{told}");
    }
    assert_eq!(set.done(), "the nodes go by version 1\n");
    one.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_out_is_shown_with_who_leaves_it_out() {
    let server = Server::start();
    let one = start(&server, "n-1", vec![payments()]).await;
    let two = start(&server, "n-2", vec![payments()]).await;
    let caller = start(&server, "caller", Vec::new()).await;
    let mut changes = caller.roster().watch();
    while caller.roster().of("payments").len() < 2 {
        timeout(PATIENCE, changes.next())
            .await
            .expect("it hears of both");
    }
    let routes = r#"route = [{ to = "payments", eject = { failures = 1, base = "60s" } }]"#;
    let paper = Paper::new("eject.toml", routes);
    let set = ["routes", "set", paper.name()];
    run(&server, &shop(&set)).await.done();
    let ejected = ["routes", "ejected", "--json"];
    assert_eq!(run(&server, &shop(&ejected)).await.done(), "");
    let unlucky = Charge { order: "o-1".to_owned(), amount: 13 };
    timeout(PATIENCE, async {
        while caller.routes().version == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it hears of the table");
    caller.client().call(unlucky).await.expect_err("it panics");
    let told = run(&server, &shop(&ejected)).await.done();
    let told: Value = serde_json::from_str(&told).expect("one line of JSON");
    assert_eq!(
        (&told["node"], &told["route"], &told["times"]),
        (&"caller".into(), &"payments".into(), &1.into())
    );
    assert!(told["ejected_ms"].as_u64().is_some_and(|ms| ms <= 60_000));
    let shown = run(&server, &shop(&["routes"])).await.done();
    let instance = told["instance"].as_str().expect("it has a name");
    assert!(
        shown.contains("\n\nLEFT OUT ") && shown.contains(&format!("\n{instance} ")),
        "{shown}"
    );
    for node in [caller, one, two] {
        node.stop().await.expect("it stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_in_json_writes_lines_of_json_only() {
    let server = Server::start();
    let one = start(&server, "n-1", vec![payments()]).await;
    for what in ["services", "nodes", "routes", "policies", "limits"] {
        let mut watching = Going::start(&server, &shop(&[what, "--json", "--watch"]));
        for _ in 0..3 {
            let line = watching.line().await;
            let read = serde_json::from_str::<Value>(&line);
            assert!(read.is_ok(), "{what}: {line:?}");
        }
    }
    one.stop().await.expect("it stops");
}
