//! The routing table: shown, set from a file, and who is left out by it.

use super::{
    columns::columns,
    error::CommandError,
    input, json,
    out::{Out, warn},
    place::{PATIENCE, Place},
    roster::nobody,
    watch::{self, Follow},
};
use crate::{
    bus::{Bus, RequestError},
    mesh::{self, LeftOut, TableError},
    route::{Ejected, Route, RouteError, RouteTable, Rule},
};
use clap::{Args as Options, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    pub(super) follow: Follow,
    /// Writes one JSON object: it can be set again.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Has all nodes go by the table in a file, from now on.
    Set {
        /// TOML or JSON, whichever it is; `-` for standard input.
        file: String,
    },
    /// Takes all routes away: all goes the usual way.
    Clear,
    /// Shows the instances that are left out, and by whom.
    Ejected {
        /// Writes one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// An instance that one node leaves out.
#[derive(Serialize)]
struct Line<'a> {
    node: &'a str,
    #[serde(flatten)]
    ejected: &'a Ejected,
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    // What is wrong with the file is said before anybody is asked.
    let table = match &args.act {
        Some(Act::Set { file }) => Some(read(file)?),
        Some(Act::Clear) => Some(RouteTable::default()),
        Some(Act::Ejected { .. }) | None => None,
    };
    let bus = place.connect().await?;
    if let Some(table) = table {
        return set(place, &bus, &table, out).await;
    }
    if let Some(Act::Ejected { json: as_json }) = args.act {
        let left_out = mesh::ejected(&bus, &place.namespace, PATIENCE).await?;
        if left_out.is_empty() {
            return Err(nobody(place));
        }
        for line in ejected(&left_out, as_json) {
            out.line(&line)?;
        }
        return Ok(());
    }
    let as_json = args.json;
    watch::show(args.follow.in_json(as_json), out, async || {
        let table = mesh::get_routes(&bus, &place.namespace)
            .await
            .map_err(|error| told(place, error))?;
        if as_json {
            return Ok(vec![json::text(&table)]);
        }
        let mut lines = shown(&table);
        if table.routes.iter().any(|route| route.eject.is_some()) {
            let left_out = mesh::ejected(&bus, &place.namespace, PATIENCE).await?;
            let ejected = ejected(&left_out, false);
            if ejected.len() > 1 {
                lines.push(String::new());
                lines.extend(ejected);
            }
        }
        Ok(lines)
    })
    .await
}

fn told(place: &Place, error: TableError) -> CommandError {
    match error {
        TableError::Request(RequestError::NoResponders { .. }) => nobody(place),
        TableError::Request(error) => error.into(),
        other => CommandError::Table(other),
    }
}

async fn set(
    place: &Place,
    bus: &Bus,
    table: &RouteTable,
    out: &mut Out,
) -> Result<(), CommandError> {
    let version = mesh::set_routes(bus, &place.namespace, table)
        .await
        .map_err(|error| told(place, error))?;
    out.line(&format!("the nodes go by version {version}"))?;
    let named = table.routes.iter().map(|route| &*route.to);
    warn_of_unanswered(bus, place, named).await;
    Ok(())
}

/// Warns of commands and domains that a table names and nobody answers.
pub(super) async fn warn_of_unanswered(
    bus: &Bus,
    place: &Place,
    named: impl Iterator<Item = &str>,
) {
    // It is set: that who answers is not known is no reason to fail.
    let Ok((cards, _)) = mesh::cards(bus, &place.namespace, PATIENCE).await else {
        return;
    };
    let services = cards.iter().flat_map(|known| &known.card.services);
    let answered: BTreeSet<_> = services.flat_map(|service| &service.answers).collect();
    for to in named {
        let is_it = |command: &str| {
            let rest = command.strip_prefix(to);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !answered.iter().any(|command| is_it(command)) {
            warn(&format!(
                "nobody answers `{to}` now; is its name right? `callboard services` shows who is there"
            ));
        }
    }
}

fn shown(table: &RouteTable) -> Vec<String> {
    if table.routes.is_empty() {
        let version = table.version;
        return vec![format!(
            "version {version}: no routes, all goes the usual way"
        )];
    }
    let rows: Vec<_> = table.routes.iter().map(row).collect();
    let mut lines = vec![format!("version {}", table.version)];
    lines.extend(columns(
        ["TO", "SPREAD", "VERSIONS", "LEFT OUT AFTER"],
        &rows,
    ));
    lines
}

fn ejected(left_out: &[LeftOut], as_json: bool) -> Vec<String> {
    let lines = left_out.iter().flat_map(|LeftOut { node, ejected }| {
        let all = ejected.iter();
        all.map(move |ejected| Line { node, ejected })
    });
    if as_json {
        return lines.map(|line| json::text(&line)).collect();
    }
    let row = |Line { node, ejected }: Line<'_>| {
        let Ejected { route, instance, ejected_ms, times } = ejected;
        let left = format!("{} s", ejected_ms.div_ceil(1_000));
        [
            instance.clone(),
            route.clone(),
            node.to_owned(),
            left,
            times.to_string(),
        ]
    };
    let rows: Vec<_> = lines.map(row).collect();
    columns(["LEFT OUT", "OF", "BY", "FOR", "TIMES"], &rows)
}

fn read(file: &str) -> Result<RouteTable, CommandError> {
    let name = if file == "-" { "standard input" } else { file };
    RouteTable::read(&input::text(file)?).map_err(|error| {
        let mut reason = error.to_string();
        if error == RouteError::Empty {
            reason.push_str(", or `callboard routes clear`");
        }
        CommandError::File { name: name.to_owned(), reason }
    })
}

fn row(route: &Route) -> [String; 4] {
    let spread = match json!(route.spread) {
        Value::String(spread) => spread,
        other => other.to_string(),
    };
    let rules: Vec<_> = route.rules.iter().map(rule).collect();
    let eject = route.eject.as_ref().map_or_else(
        || "never".to_owned(),
        |eject| {
            let base = humantime::format_duration(eject.base);
            let slow = eject.slow.map(humantime::format_duration);
            let slow = slow.map_or_else(String::new, |slow| format!(" or answers after {slow}"));
            let often = match (eject.failures, eject.rate > 0.0) {
                (0, _) => format!("{} of calls fail", eject.rate),
                (failures, false) => format!("{failures} failures"),
                (failures, true) => format!("{failures} failures or {} of calls", eject.rate),
            };
            format!("{often}{slow}, for {base}")
        },
    );
    let versions = if rules.is_empty() {
        "all alike".to_owned()
    } else {
        rules.join("; ")
    };
    [route.to.clone(), spread, versions, eject]
}

fn rule(rule: &Rule) -> String {
    let shares: Vec<_> = rule
        .versions
        .iter()
        .map(|(range, weight)| format!("{range} {weight}"))
        .collect();
    let equals = rule
        .equals
        .as_ref()
        .map_or_else(String::new, |value| format!("={value}"));
    let when = match (&rule.header, &rule.field) {
        (Some(name), _) => format!("header {name}{equals}: "),
        (None, Some(path)) => format!("field {path}{equals}: "),
        (None, None) => String::new(),
    };
    format!("{when}{}", shares.join(" / "))
}
