//! Breakers: how they stand on every node, and what an operator makes of them.

use super::{
    columns::columns,
    error::CommandError,
    json,
    out::Out,
    place::{PATIENCE, Place},
    roster,
    watch::{self, Follow},
};
use crate::{
    breaker::{self, Panel},
    call::Client,
    policy::{Force, Report},
};
use clap::{Args as Options, Subcommand, ValueEnum};
use serde::Serialize;

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    /// Shows only breakers of this name, such as `payments.charge`.
    breaker: Option<String>,
    #[command(flatten)]
    pub(super) follow: Follow,
    /// Writes one JSON object per breaker and line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Keeps breakers open or closed on all nodes that run now, or lets them decide again.
    ///
    /// A breaker is there on a node once its target was called there. A node that is
    /// restarted, or started later, knows nothing of it: its breakers decide by themselves.
    Force {
        /// The breakers' name, such as `payments.charge`.
        breaker: String,
        /// What becomes of them.
        state: Wanted,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wanted {
    /// No call goes through, until told otherwise.
    Open,
    /// All calls go through, whatever happens, until told otherwise.
    Closed,
    /// They close, and decide by themselves again.
    Auto,
}

impl From<Wanted> for Force {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Open => Self::Open,
            Wanted::Closed => Self::Closed,
            Wanted::Auto => Self::Auto,
        }
    }
}

/// One breaker on one node.
#[derive(Serialize)]
struct Line<'a> {
    node: &'a str,
    path: &'a str,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    let bus = place.connect().await?;
    let client = Client::new(bus.clone(), place.namespace.clone());
    if let Some(Act::Force { breaker, state }) = args.act {
        let panels = breaker::force(&client, &breaker, state.into(), PATIENCE).await?;
        if panels.iter().all(|panel| panel.breakers.is_empty()) {
            return Err(unknown(place, Some(&breaker)));
        }
        for line in table(&panels) {
            out.line(&line)?;
        }
        return Ok(());
    }
    let (only, as_json) = (args.breaker.as_deref(), args.json);
    watch::show(args.follow.in_json(as_json), out, async || {
        let panels = breaker::ask(&client, only, PATIENCE).await?;
        let lines = lines(&panels);
        if panels.is_empty() {
            roster::anybody(&bus, place).await?;
        }
        if lines.is_empty() {
            return Err(unknown(place, only));
        }
        if as_json {
            return Ok(lines.iter().map(json::text).collect());
        }
        Ok(table(&panels))
    })
    .await
}

fn unknown(place: &Place, breaker: Option<&str>) -> CommandError {
    let which = breaker.map_or_else(String::new, |name| format!(" `{name}`"));
    CommandError::NoNode(format!(
        "no node in namespace `{}` has a breaker{which}; one of a policy is there once its target \
         was called",
        place.namespace
    ))
}

fn lines(panels: &[Panel]) -> Vec<Line<'_>> {
    let all = panels.iter().flat_map(|Panel { node, path, breakers }| {
        let lines = breakers.iter();
        lines.map(move |report| Line { node, path, report })
    });
    all.collect()
}

fn table(panels: &[Panel]) -> Vec<String> {
    let rows: Vec<_> = lines(panels).iter().map(row).collect();
    let head = [
        "BREAKER",
        "NODE",
        "STATE",
        "CALLS",
        "FAILED",
        "SLOW",
        "TURNED AWAY",
        "PROBED IN",
    ];
    columns(head, &rows)
}

fn row(line: &Line<'_>) -> [String; 8] {
    let Report { name, state, retry_after, counts } = line.report;
    let probed = retry_after.map(|wait| format!("{:.0} s", wait.as_secs_f64().ceil()));
    [
        name.clone(),
        line.node.to_owned(),
        state.to_string(),
        counts.total.to_string(),
        counts.failed.to_string(),
        counts.slow.to_string(),
        counts.rejected.to_string(),
        probed.unwrap_or_else(|| "-".to_owned()),
    ]
}
