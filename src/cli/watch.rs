//! What is shown once, or again and again in its place.

use super::{
    error::CommandError,
    out::{Out, warn},
};
use clap::Args as Options;
use std::{io::IsTerminal, time::Duration};
use tokio::time::sleep;

/// How often it is shown.
const OFTEN: Duration = Duration::from_secs(1);
/// Goes to the top of the terminal, and clears what is below.
const TOP: &str = "\u{1b}[H\u{1b}[J";

#[derive(Clone, Copy, Debug, Options)]
pub(super) struct Follow {
    /// Shows it every second, in its place; Ctrl-C ends it with exit code 0.
    #[arg(long)]
    pub(super) watch: bool,
    /// Whether each line is one of JSON, and there are no others.
    #[arg(skip)]
    is_json: bool,
}

impl Follow {
    /// Shows lines of JSON and nothing between, if so.
    pub(super) const fn in_json(mut self, is_json: bool) -> Self {
        self.is_json = is_json;
        self
    }

    /// Returns the lines that tell of an error; lines of JSON have it beside them.
    fn told(self, error: &CommandError) -> Vec<String> {
        if self.is_json {
            warn(&error.to_string());
            return Vec::new();
        }
        vec![error.to_string()]
    }
}

/// Shows lines, once or until it is interrupted. Where nobody looks at a
/// terminal, each time is followed by an empty line, but for JSON.
pub(super) async fn show(
    follow: Follow,
    out: &mut Out,
    mut lines: impl AsyncFnMut() -> Result<Vec<String>, CommandError>,
) -> Result<(), CommandError> {
    let mut was_shown = false;
    let in_place = follow.watch && std::io::stdout().is_terminal();
    loop {
        let shown = match lines().await {
            Ok(shown) => {
                was_shown = true;
                shown
            }
            // Who watches wants to see it come, and come again.
            Err(error)
                if follow.watch && (was_shown || matches!(error, CommandError::NoNode(_))) =>
            {
                follow.told(&error)
            }
            Err(error) => return Err(error),
        };
        if in_place {
            out.text(TOP.as_bytes())?;
        }
        for line in shown {
            out.line(&line)?;
        }
        if !follow.watch {
            return Ok(());
        }
        if !in_place && !follow.is_json {
            out.line("")?;
        }
        out.flush()?;
        sleep(OFTEN).await;
    }
}
