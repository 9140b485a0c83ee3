use super::{
    shell::{at, run},
    support::nats::{Server, free_port},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_one_line_and_code_4() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let said = tokio::join!(
        at(&url, &["tail"]),
        at(&url, &["tree"]),
        at(&url, &["request", "users.get", "{}"]),
        at(&url, &["publish", "orders.placed", "--key", "o-1", "{}"]),
        at(&url, &["parked"]),
        at(&url, &["dead", "list"]),
    );
    for said in <[_; 6]>::from(said) {
        let said = said.failed(4);
        assert!(said.contains("no NATS server can be reached at"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_taken_from_the_address_and_never_shown() {
    let server = Server::with("authorization { user: op, password: s3cr3t }");
    let refused = run(&server, &["tail", "--no-follow"]).await.failed(1);
    assert!(refused.contains("refuses these credentials"), "{refused}");
    let wrong = format!("nats://op:wr0ng@127.0.0.1:{}", server.port());
    let refused = at(&wrong, &["tail", "--no-follow"]).await.failed(1);
    assert!(!refused.contains("wr0ng"), "{refused}");
    let right = format!("nats://op:s3cr3t@127.0.0.1:{}", server.port());
    let empty = at(&right, &["tail", "--no-follow"]).await.failed(4);
    assert!(empty.contains("has no streams"), "{empty}");
    let help = at(&right, &["tail", "--help"]).await.done();
    assert!(!help.contains("s3cr3t"), "{help}");
    let words = ["tail", "--no-follow", "--creds", "/no/such/file"];
    let missing = at(&right, &words).await.failed(1);
    assert!(
        missing.contains("credentials file /no/such/file"),
        "{missing}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn help_teaches_and_completions_need_no_server() {
    let help = at("", &["--help"]).await.done();
    for taught in [
        "publish orders.placed --key",
        "Exit codes:",
        "CALLBOARD_NATS",
        "3  the domain says no",
    ] {
        assert!(help.contains(taught), "{taught}: {help}");
    }
    for command in [
        "publish",
        "request",
        "tail",
        "tree",
        "parked",
        "dead",
        "completions",
    ] {
        let help = at("", &[command, "--help"]).await.done();
        assert!(help.contains("Examples:"), "{help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = at("", &["completions", shell]).await.done();
        assert!(script.contains("no-follow"), "{shell}");
    }
    at("", &["completions", "cmd"]).await.failed(2);
    at("", &[]).await.failed(2);
    at("", &["tail", "--from", "1", "--all"]).await.failed(2);
    assert!(
        at("", &["--version"])
            .await
            .done()
            .starts_with("callboard 0.")
    );
}
