//! The other process of a measure: this program once more.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread,
};

/// The first argument of a program that is to assist.
pub(super) const MARK: &str = "--assist";

/// Another process; it ends when this is dropped, or when its parent is gone.
#[derive(Debug)]
pub(crate) struct Assistant(Child);

impl Assistant {
    /// Starts this program as an assistant, and returns once that is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let program = env::current_exe().expect("a running program has a file");
        let mut child = Command::new(program)
            .arg(MARK)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let stdout = child.stdout.as_mut().expect("it was asked for");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        assert!(read.is_ok() && line == "ready\n", "the assistant failed");
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Assistant {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("a child can be waited for");
    }
}

/// Tells the parent that its assistant is ready, and returns when it is not
/// needed any more.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) async fn until_dismissed() {
    println!("ready");
    let (gone, parent) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        // The parent writes nothing: this is its end, or an error that means as much.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        gone.send(()).ok();
    });
    drop(parent.await);
}
