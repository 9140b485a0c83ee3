//! SIGTERM and SIGINT, on a process of their own: this program, run again.

use crate::{
    farm::{Farm, Wait},
    support::{
        log::Log,
        way::{Way, until},
    },
};
use callboard::shutdown_signal;
use futures_util::poll;
use std::{
    env,
    error::Error,
    io::{BufRead, BufReader, Lines, Write, stdout},
    pin::pin,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const FLAG: &str = "CALLBOARD_TEST_NODE";

const BOUND: Duration = Duration::from_secs(30);

/// A process that is killed if the test ends before it does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Not a promise: what the process that gets the signal runs.
#[tokio::test]
async fn a_process_with_a_node() -> Result<(), Box<dyn Error>> {
    if env::var_os(FLAG).is_none() {
        return Ok(());
    }
    let log = Log::default();
    let farm = Farm::closed("one", &log);
    let way = Way::embedded(true);
    let client = way.client();
    let node = way.node("n").group(farm.group("farm"));
    let run = node.run_until(async {
        let mut signal = pin!(shutdown_signal());
        // Listens to signals before it says that it is ready.
        assert!(poll!(&mut signal).is_pending());
        log.of(1).await;
        say("ready")?;
        signal.await;
        farm.gate.add_permits(1);
        Ok::<_, Box<dyn Error>>(())
    });
    let call = async {
        until("an answer", async || {
            client.call(Wait).timeout(BOUND).await.is_ok()
        })
        .await;
        log.note("answered");
    };
    let (end, ()) = tokio::join!(run, call);
    end?;
    say(&log.lines().join(", "))
}

/// Writes a line that the test's own capture does not keep back.
fn say(line: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(stdout(), "\n> {line}")?)
}

/// Returns what the process says next.
fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String, Box<dyn Error>> {
    for line in lines {
        if let Some(said) = line?.strip_prefix("> ") {
            return Ok(said.to_owned());
        }
    }
    Err("it says nothing more".into())
}

fn stops_on(signal: &str) -> Result<(), Box<dyn Error>> {
    let child = Command::new(env::current_exe()?)
        .args(["--exact", "signals::a_process_with_a_node", "--nocapture"])
        .env(FLAG, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut process = Process(child);
    let output = process.0.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(output).lines();
    assert_eq!(next(&mut lines)?, "ready");
    let sent = Command::new("kill")
        .args([signal, &process.0.id().to_string()])
        .status()?;
    assert!(sent.success());
    let deadline = Instant::now() + BOUND;
    let status = loop {
        if let Some(status) = process.0.try_wait()? {
            break status;
        }
        assert!(
            Instant::now() < deadline,
            "it does not end within {BOUND:?}"
        );
        thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{signal}: {status}");
    let mut said: Vec<_> = next(&mut lines)?.split(", ").map(str::to_owned).collect();
    said.sort();
    assert_eq!(said, ["answered", "stop one", "wait"], "{signal}");
    Ok(())
}

#[test]
fn a_node_drains_and_stops_on_sigterm() -> Result<(), Box<dyn Error>> {
    stops_on("-TERM")
}

#[test]
fn a_node_drains_and_stops_on_sigint() -> Result<(), Box<dyn Error>> {
    stops_on("-INT")
}
