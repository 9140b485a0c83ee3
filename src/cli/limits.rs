//! Limits: which are in force on every node, and how they stand.

use super::{
    columns::columns,
    error::CommandError,
    json,
    out::Out,
    place::{PATIENCE, Place},
    roster::nobody,
    watch::{self, Follow},
};
use crate::{
    call::Client,
    limit::{self, Filter, Panel},
    policy::{By, Counted, Limited, Standing},
};
use clap::Args as Options;
use serde::Serialize;

#[derive(Debug, Options)]
pub(super) struct Args {
    /// Shows only limits of this command, such as `payments.charge`, or domain.
    target: Option<String>,
    /// Shows only this node.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    pub(super) follow: Follow,
    /// Writes one JSON object per limit and line.
    #[arg(long)]
    json: bool,
}

/// One limit on one node.
#[derive(Serialize)]
struct Line<'a> {
    node: &'a str,
    #[serde(flatten)]
    limit: &'a Standing,
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    let client = Client::new(place.connect().await?, place.namespace.clone());
    let Args { target, node, follow, json: as_json } = args;
    let filter = Filter::default();
    let filter = node.iter().fold(filter, Filter::node);
    let filter = target.iter().fold(filter, Filter::target);
    watch::show(follow.in_json(as_json), out, async || {
        let panels = limit::ask(&client, &filter, PATIENCE).await?;
        let lines = lines(&panels);
        if lines.is_empty() {
            return Err(none(place, node.as_deref(), target.as_deref()));
        }
        if as_json {
            return Ok(lines.iter().map(json::text).collect());
        }
        Ok(table(&lines))
    })
    .await
}

fn none(place: &Place, node: Option<&str>, target: Option<&str>) -> CommandError {
    let namespace = &place.namespace;
    let who = node.map_or_else(|| "no node".to_owned(), |name| format!("no node `{name}`"));
    match (node, target) {
        (None, None) => nobody(place),
        (Some(_), None) => CommandError::NoNode(format!(
            "{who} answers in namespace `{namespace}`; `callboard nodes` shows those that do"
        )),
        (_, Some(target)) => CommandError::NoNode(format!(
            "{who} in namespace `{namespace}` has a limit of `{target}`; one of a policy is there \
             once its target was called"
        )),
    }
}

fn lines(panels: &[Panel]) -> Vec<Line<'_>> {
    let all = panels.iter().flat_map(|Panel { node, limits }| {
        let lines = limits.iter();
        lines.map(move |limit| Line { node, limit })
    });
    all.collect()
}

fn table(lines: &[Line<'_>]) -> Vec<String> {
    let rows: Vec<_> = lines.iter().map(row).collect();
    let head = [
        "LIMIT",
        "OF",
        "NODE",
        "NOW",
        "WAITING",
        "TURNED AWAY",
        "COUNTED",
    ];
    columns(head, &rows)
}

fn row(line: &Line<'_>) -> [String; 7] {
    let Standing { of, target, now, limit, refused } = line.limit;
    let waiting = match of {
        Limited::Bulkhead { waiting, queue } => format!("{waiting}/{queue}"),
        _ => "-".to_owned(),
    };
    [
        of.name().to_owned(),
        target.clone().unwrap_or_else(|| "all".to_owned()),
        line.node.to_owned(),
        format!("{now}/{limit}"),
        waiting,
        refused.to_string(),
        counted(of),
    ]
}

/// Says what is counted, where that is not plain from the limit's name.
fn counted(of: &Limited) -> String {
    match of {
        Limited::Accept(counted) | Limited::Rate(counted) => rate(counted),
        Limited::Retries { calls } => format!("of {calls} calls in 10 s"),
        _ => String::new(),
    }
}

fn rate(counted: &Counted) -> String {
    let Counted { allowed, per, by, keys, fullest } = counted;
    let per = humantime::format_duration(*per);
    let by = match by {
        By::All => return format!("{allowed} in {per}"),
        By::Caller => "caller".to_owned(),
        By::Key => "key".to_owned(),
        By::Field(field) => field.clone(),
    };
    let fullest = fullest.as_deref().unwrap_or_default();
    format!("{allowed} in {per} by {by}; of {keys} most by {fullest}")
}
