//! What the examples promise: they run, and print what their headers say.
#![cfg(all(feature = "nats", feature = "test-util"))]

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use support::nats::Server;
use tokio::{process::Command, time::timeout};

const WITHIN: Duration = Duration::from_secs(60);

/// An example's source, and what its header says of it.
struct Example {
    name: String,
    source: PathBuf,
    text: String,
}

impl Example {
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let mut all: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(Self::read)
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(!all.is_empty(), "there are examples");
        all
    }

    fn read(source: PathBuf) -> Self {
        let name = source.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&source).unwrap();
        Self { name, source, text }
    }

    /// Returns the lines in the header's block: the command, then the output.
    fn header(&self) -> Vec<&str> {
        self.text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .skip_while(|line| *line != "```text")
            .skip(1)
            .take_while(|line| *line != "```")
            .collect()
    }

    /// Returns the program that cargo built of it beside this test.
    fn program(&self) -> PathBuf {
        let test = env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap().join("examples");
        let program = folder.join(format!("{}{}", self.name, env::consts::EXE_SUFFIX));
        let age = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
        let fresh = age(&program).is_ok_and(|built| built >= age(&self.source).unwrap());
        assert!(
            fresh,
            "{} is missing or older than its source; `cargo test` builds the examples, \
             before a single test run `cargo build --examples`",
            program.display()
        );
        program
    }

    async fn run(&self, server: &Server) {
        let mut command = Command::new(self.program());
        command
            .env("CALLBOARD_NATS", server.url())
            .kill_on_drop(true);
        let output = timeout(WITHIN, command.output())
            .await
            .unwrap_or_else(|_| panic!("{} does not end within {WITHIN:?}", self.name))
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {complaints}", self.name);
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed: Vec<_> = printed.lines().collect();
        assert_eq!(printed, self.header()[1..], "{}: {complaints}", self.name);
    }
}

#[tokio::test]
async fn every_example_prints_what_its_header_says() {
    let server = Server::start();
    for example in Example::all() {
        example.run(&server).await;
    }
}

#[tokio::test]
async fn the_example_over_nats_runs_again_on_the_same_server() {
    let server = Server::start();
    let example = Example::all()
        .into_iter()
        .find(|example| example.name == "two_nodes")
        .unwrap();
    example.run(&server).await;
    example.run(&server).await;
}

#[test]
fn every_header_names_the_command_that_runs_its_example() {
    for example in Example::all() {
        let command = format!("$ cargo run --example {}", example.name);
        let header = example.header();
        let said = header
            .first()
            .is_some_and(|line| line.starts_with(&command));
        assert!(said, "{}: the header says {header:?}", example.name);
    }
}

#[test]
fn every_example_is_short_and_begins_with_its_main() {
    for example in Example::all() {
        let lines = example.text.lines().count();
        assert!(lines <= 80, "{} has {lines} lines", example.name);
        let first = example.text.lines().find(|line| line.contains("fn "));
        let main = first.is_some_and(|line| line.contains("fn main()"));
        assert!(main, "{} begins with {first:?}", example.name);
    }
}

#[test]
fn every_example_has_its_place_in_the_reading_order() {
    let order = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/README.md");
    let order = fs::read_to_string(order).unwrap();
    for example in Example::all() {
        let link = format!("]({}.rs)", example.name);
        assert_eq!(order.matches(&link).count(), 1, "{}", example.name);
    }
}

#[test]
fn the_readme_shows_an_example_as_it_is() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ask_and_answer.rs");
    let example = Example::read(source);
    let (_, program) = example.text.split_once("\n\nuse ").unwrap();
    assert!(readme.contains(&format!("```rust\nuse {program}```\n")));
}
