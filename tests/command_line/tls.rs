//! Servers that speak TLS, with a certificate authority of their own. The command reads the
//! server through its screen, so this is how a screened connection is secured.

use crate::{
    shell::{Ran, command, ended},
    support::{
        nats::Server,
        raw::{Raw, UNREADABLE},
    },
};
use callboard::{
    Bus,
    bus::StreamConfig,
    message::{Namespace, headers::CB_UNREADABLE},
};

/// Where the certificates of these tests are; the server's is for `localhost` and 127.0.0.1.
const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls");

fn server(more: &str) -> Server {
    let tls = format!(
        r#"tls {{ cert_file: "{CERTIFICATES}/server.pem", key_file: "{CERTIFICATES}/server.key" }}"#
    );
    Server::with(&format!("{tls}\n{more}"))
}

/// Runs the command with only this certificate authority trusted.
async fn trusting(authority: &str, url: &str, words: &[&str]) -> Ran {
    let mut command = command(url, words);
    command.env("SSL_CERT_FILE", authority);
    ended(command.spawn().expect("the binary is built")).await
}

fn authority() -> String {
    format!("{CERTIFICATES}/ca.pem")
}

#[tokio::test]
async fn what_cannot_be_read_is_read_over_a_secured_connection_too() {
    // It also takes who speaks plainly, as the publisher of the message here does.
    let server = server("allow_non_tls: true");
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let names = Namespace::new("callboard").expect("it is sound");
    let letters = StreamConfig::dead(&names);
    bus.stream(&letters).await.expect("the server is up");
    let mut raw = Raw::connect(&server.url()).expect("it is sound");
    for (_, block) in UNREADABLE {
        raw.publish("callboard.dead.orders.desk", block, b"bytes")
            .expect("it is sound");
    }
    raw.sync().expect("it is sound");
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("tls://{host}:{}", server.port());
        let said = trusting(&authority(), &url, &["dead", "list", "--json"]).await;
        assert_eq!(said.done().lines().count(), UNREADABLE.len(), "{host}");
        let said = trusting(&authority(), &url, &["dead", "show", "1"]).await;
        let said = said.done();
        assert!(said.contains(CB_UNREADABLE), "{host}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_wants_tls_gets_it_and_one_that_nobody_trusts_is_refused() {
    let server = server("");
    let url = format!("nats://127.0.0.1:{}", server.port());
    let said = trusting(&authority(), &url, &["streams", "list"]).await;
    assert!(said.failed(4).contains("no streams on this server"));
    let stranger = format!("{CERTIFICATES}/server.key");
    let said = trusting(&stranger, &url, &["streams", "list"]).await;
    let said = said.failed(4);
    assert!(said.contains("certificate"), "{said}");
}
