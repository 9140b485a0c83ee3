//! The routing table: shown, and set from a file.

use super::{
    columns::columns,
    error::CommandError,
    input, json,
    out::Out,
    place::Place,
    roster::nobody,
    watch::{self, Follow},
};
use crate::{
    bus::RequestError,
    mesh::{self, TableError},
    route::{Route, RouteTable, Rule},
};
use clap::{Args as Options, Subcommand};
use serde_json::{Value, json};

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
        /// TOML, or JSON if it ends in `.json`; `-` for TOML from standard input.
        file: String,
    },
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    // What is wrong with the file is said before anybody is asked.
    let table = match &args.act {
        Some(Act::Set { file }) => Some(read(file)?),
        None => None,
    };
    let bus = place.connect().await?;
    let told = |error| match error {
        TableError::Request(RequestError::NoResponders { .. }) => nobody(place),
        TableError::Request(error) => error.into(),
        other => CommandError::Table(other),
    };
    if let Some(table) = table {
        let version = mesh::set_routes(&bus, &place.namespace, &table)
            .await
            .map_err(told)?;
        return Ok(out.line(&format!("the nodes go by version {version}"))?);
    }
    let as_json = args.json;
    watch::show(args.follow, out, async || {
        let table = mesh::get_routes(&bus, &place.namespace)
            .await
            .map_err(told)?;
        if as_json {
            return Ok(vec![json::text(&table)]);
        }
        if table.routes.is_empty() {
            let line = format!(
                "version {}: no routes, all goes the usual way",
                table.version
            );
            return Ok(vec![line]);
        }
        let rows: Vec<_> = table.routes.iter().map(row).collect();
        let mut lines = vec![format!("version {}", table.version)];
        lines.extend(columns(
            ["TO", "SPREAD", "VERSIONS", "LEFT OUT AFTER"],
            &rows,
        ));
        Ok(lines)
    })
    .await
}

fn read(file: &str) -> Result<RouteTable, CommandError> {
    let text = input::text(file)?;
    let is_json = std::path::Path::new(file)
        .extension()
        .is_some_and(|end| end == "json");
    let read = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.to_string())
    };
    let broken = |reason: String| CommandError::File { name: file.to_owned(), reason };
    let table: RouteTable = read.map_err(broken)?;
    table.check().map_err(|error| broken(error.to_string()))?;
    Ok(table)
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
            format!("{} failures{slow}, for {base}", eject.failures)
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
