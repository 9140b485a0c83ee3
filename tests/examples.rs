//! What the examples promise: they run, and print what their headers say.
#![cfg(all(feature = "nats", feature = "test-util"))]

mod support;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use support::nats::Server;
use tokio::{process::Command, time::timeout};

const WITHIN: Duration = Duration::from_mins(1);

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// An example's source, and what its header says of it.
struct Example {
    name: String,
    source: PathBuf,
    text: String,
}

impl Example {
    fn all() -> Outcome<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                all.push(Self::read(path)?);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(!all.is_empty(), "there are examples");
        Ok(all)
    }

    fn named(name: &str) -> Outcome<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        Self::read(folder.join(format!("{name}.rs")))
    }

    fn read(source: PathBuf) -> Outcome<Self> {
        let name = source.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let text = fs::read_to_string(&source)?;
        Ok(Self { name, source, text })
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
    fn program(&self) -> Outcome<PathBuf> {
        let test = env::current_exe()?;
        let beside = test.ancestors().nth(2).ok_or("the test has no folder")?;
        let name = format!("{}{}", self.name, env::consts::EXE_SUFFIX);
        let program = beside.join("examples").join(name);
        let age = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
        let written = age(&self.source)?;
        if age(&program).is_ok_and(|built| built >= written) {
            return Ok(program);
        }
        let program = program.display();
        Err(format!(
            "{program} is missing or older than its source; `cargo test` builds the examples, \
             before a single test run `cargo build --examples`"
        )
        .into())
    }

    async fn run(&self, server: &Server) -> Outcome {
        let mut command = Command::new(self.program()?);
        command
            .env("CALLBOARD_NATS", server.url())
            .kill_on_drop(true);
        let output = timeout(WITHIN, command.output())
            .await
            .map_err(|_| format!("{} does not end within {WITHIN:?}", self.name))??;
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {complaints}", self.name);
        let printed = String::from_utf8(output.stdout)?;
        let printed: Vec<_> = printed.lines().collect();
        assert_eq!(printed, self.header()[1..], "{}: {complaints}", self.name);
        Ok(())
    }
}

#[tokio::test]
async fn every_example_prints_what_its_header_says() -> Outcome {
    let server = Server::start();
    for example in Example::all()? {
        example.run(&server).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_example_over_nats_runs_again_on_the_same_server() -> Outcome {
    let server = Server::start();
    let example = Example::named("two_nodes")?;
    example.run(&server).await?;
    example.run(&server).await
}

#[test]
fn every_header_names_the_command_that_runs_its_example() -> Outcome {
    for example in Example::all()? {
        let command = format!("$ cargo run --example {}", example.name);
        let header = example.header();
        let is_said = header
            .first()
            .is_some_and(|line| line.starts_with(&command));
        assert!(is_said, "{}: the header says {header:?}", example.name);
    }
    Ok(())
}

#[test]
fn every_example_is_short_and_begins_with_its_main() -> Outcome {
    for example in Example::all()? {
        let lines = example.text.lines().count();
        assert!(lines <= 80, "{} has {lines} lines", example.name);
        let first = example.text.lines().find(|line| line.contains("fn "));
        let is_main = first.is_some_and(|line| line.contains("fn main()"));
        assert!(is_main, "{} begins with {first:?}", example.name);
    }
    Ok(())
}

#[test]
fn every_example_has_its_place_in_the_reading_order() -> Outcome {
    let order = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/README.md");
    let order = fs::read_to_string(order)?;
    for example in Example::all()? {
        let link = format!("]({}.rs)", example.name);
        assert_eq!(order.matches(&link).count(), 1, "{}", example.name);
    }
    Ok(())
}

#[test]
fn the_readme_shows_an_example_as_it_is() -> Outcome {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme)?;
    let example = Example::named("ask_and_answer")?;
    let (_, program) = example.text.split_once("\n\nuse ").ok_or("no imports")?;
    let block = format!("```rust\nuse {program}```\n");
    assert!(readme.contains(&block), "the README shows another program");
    Ok(())
}
