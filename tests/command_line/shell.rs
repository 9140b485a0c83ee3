//! Runs the real binary and reads what it says.

use super::support::nats::Server;
use callboard::{Bus, bus::StreamConfig, message::Namespace};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// How long anything may take before a test gives it up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a run ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Returns what was said if it ended well.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Returns the complaint if it ended with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "results belong to success");
        self.err
    }
}

pub(crate) fn command(url: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
    for name in ["NATS", "NAMESPACE", "CREDS", "REPLICAS"] {
        command.env_remove(format!("CALLBOARD_{name}"));
    }
    command.env("CALLBOARD_NATS", url);
    command.args(words).kill_on_drop(true);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Makes the streams of domains, as their nodes do.
pub(crate) async fn serve(server: &Server, domains: &[&str]) {
    let bus = Bus::nats(server.url()).await.expect("the server runs");
    for domain in domains {
        let config = StreamConfig::events(&Namespace::default(), domain);
        bus.stream(&config).await.expect("the server makes streams");
    }
    bus.close().await;
}

pub(crate) async fn run(server: &Server, words: &[&str]) -> Ran {
    at(&server.url(), words).await
}

pub(crate) async fn at(url: &str, words: &[&str]) -> Ran {
    ended(command(url, words).spawn().expect("the binary is built")).await
}

pub(crate) async fn piped(server: &Server, words: &[&str], input: &str) -> Ran {
    let mut command = command(&server.url(), words);
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary is built");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).await.expect("it reads");
    drop(stdin);
    ended(child).await
}

pub(crate) async fn ended(child: Child) -> Ran {
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it ends").expect("it can be waited for");
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    Ran {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A run that goes on, read line by line.
pub(crate) struct Going {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Going {
    pub(crate) fn start(server: &Server, words: &[&str]) -> Self {
        let mut child = command(&server.url(), words)
            .spawn()
            .expect("the binary is built");
        let stdout = child.stdout.take().expect("it is piped");
        Self { child, lines: BufReader::new(stdout).lines() }
    }

    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("a line comes")
            .expect("it is UTF-8")
            .expect("it goes on")
    }

    /// Stops reading, as `head` does.
    pub(crate) fn deafen(self) -> Child {
        drop(self.lines);
        self.child
    }
}
