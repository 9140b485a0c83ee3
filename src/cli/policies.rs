//! Policies: shown as the nodes go by them, and set from a file.

use super::{
    columns::columns,
    error::CommandError,
    input, json,
    out::Out,
    place::{PATIENCE, Place},
    roster::nobody,
    routes::warn_of_unanswered,
    watch::{self, Follow},
};
use crate::{
    breaker::{self, SetError, Table},
    bus::Bus,
    call::Client,
    policy::{Policies, Policy},
};
use clap::{Args as Options, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Options)]
pub(super) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    /// Shows only what this node goes by.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    pub(super) follow: Follow,
    /// Writes one JSON object per table: it can be set again.
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
    /// Takes all policies away: all is called as it is without any.
    Clear,
}

pub(super) async fn run(place: &Place, args: Args, out: &mut Out) -> Result<(), CommandError> {
    // What is wrong with the file is said before anybody is asked.
    let table = match &args.act {
        Some(Act::Set { file }) => Some(read(file)?),
        Some(Act::Clear) => Some(Policies::new()),
        None => None,
    };
    let bus = place.connect().await?;
    let client = Client::new(bus.clone(), place.namespace.clone());
    if let Some(table) = table {
        return set(place, (&bus, &client), &table, out).await;
    }
    watch::show(args.follow.in_json(args.json), out, async || {
        let mut tables = breaker::policies(&client, PATIENCE).await?;
        tables.retain(|table| args.node.as_ref().is_none_or(|name| *name == table.node));
        if tables.is_empty() {
            return Err(nobody_of(place, args.node.as_deref()));
        }
        let tables = alike(tables);
        if args.json {
            return Ok(tables.iter().map(|(table, _)| json::text(table)).collect());
        }
        Ok(tables
            .iter()
            .flat_map(|(table, nodes)| drawn(table, nodes))
            .collect())
    })
    .await
}

async fn set(
    place: &Place,
    (bus, client): (&Bus, &Client),
    table: &Policies,
    out: &mut Out,
) -> Result<(), CommandError> {
    let set = breaker::spread(client, table, PATIENCE).await;
    let (version, nodes) = set.map_err(|error| match error {
        SetError::Nobody { .. } => nobody(place),
        SetError::Request(error) => error.into(),
        other => CommandError::Policies(other),
    })?;
    let nodes = nodes.join(", ");
    out.line(&format!("version {version} holds on {nodes}"))?;
    let named = table.all().filter_map(|(name, _)| name);
    warn_of_unanswered(bus, place, named).await;
    Ok(())
}

fn nobody_of(place: &Place, node: Option<&str>) -> CommandError {
    let Some(name) = node else {
        return nobody(place);
    };
    CommandError::NoNode(format!(
        "no node `{name}` answers in namespace `{}`; `callboard nodes` shows those that do",
        place.namespace
    ))
}

/// Returns each table once, with the nodes that go by it.
fn alike(told: Vec<Table>) -> Vec<(Policies, Vec<String>)> {
    let mut tables: Vec<(Policies, Vec<String>)> = Vec::new();
    for Table { node, policies } in told {
        match tables.iter_mut().find(|(table, _)| *table == policies) {
            Some((_, nodes)) => nodes.push(node),
            None => tables.push((policies, vec![node])),
        }
    }
    tables
}

fn read(file: &str) -> Result<Policies, CommandError> {
    let name = if file == "-" { "standard input" } else { file };
    let refused = |reason: String| CommandError::File { name: name.to_owned(), reason };
    let text = input::text(file)?;
    if text.trim().is_empty() {
        let cure = "it is empty; write `[domains]` if no target is to have a policy, \
                    or `callboard policies clear`";
        return Err(refused(cure.to_owned()));
    }
    Policies::read(&text).map_err(|error| refused(error.to_string()))
}

fn drawn(table: &Policies, nodes: &[String]) -> Vec<String> {
    let (version, nodes) = (table.version(), nodes.join(", "));
    let whose = match version {
        0 => format!("version 0, their own: {nodes}"),
        _ => format!("version {version}: {nodes}"),
    };
    let rows: Vec<_> = table.all().map(|(of, policy)| row(of, policy)).collect();
    if rows.is_empty() {
        return vec![format!("{whose}; no policies")];
    }
    let head = [
        "OF", "DEADLINE", "RETRIES", "BREAKER", "BULKHEAD", "RATE", "ACCEPT", "CACHE", "FALLBACK",
    ];
    let mut lines = vec![whose];
    lines.extend(columns(head, &rows));
    lines
}

fn row(of: Option<&str>, policy: &Policy) -> [String; 9] {
    let said = json!(policy);
    let part = |part: &str, draw: fn(&Value) -> String| match &said[part] {
        Value::Null => "-".to_owned(),
        part => draw(part),
    };
    let deadline = match (&said["deadline"], &said["try_within"]) {
        (Value::Null, Value::Null) => "-".to_owned(),
        (all, Value::Null) => word(all),
        (Value::Null, each) => format!("{} each", word(each)),
        (all, each) => format!("{}, {} each", word(all), word(each)),
    };
    [
        of.unwrap_or("all others").to_owned(),
        deadline,
        part("retry", |it| {
            let budget = &it["budget"];
            let most = format!(
                "{} attempts from {}",
                word(&it["attempts"]),
                word(&it["first"])
            );
            format!("{most}, {} of calls", word(&budget["share"]))
        }),
        part("breaker", breaker_of),
        part("bulkhead", |it| {
            let [places, queue, wait] = words(it, ["in_flight", "queue", "wait"]);
            format!("{places}, {queue} wait {wait}")
        }),
        part("rate", rate),
        part("accept", rate),
        part("cache", |it| {
            let [entries, ttl] = words(it, ["entries", "ttl"]);
            format!("{entries} for {ttl}")
        }),
        part("fallback", word),
    ]
}

fn breaker_of(it: &Value) -> String {
    let [failures, within, open] = words(it, ["failures", "within", "open"]);
    let share = |name: &str, of| Some(format!("{} {of}", it.get(name)?));
    let row = (it["failures"] != 0).then_some(failures);
    let after = [
        row,
        share("failure_rate", "fail"),
        share("slow_rate", "slow"),
    ];
    let after: Vec<_> = after.into_iter().flatten().collect();
    format!("{} in {within}, for {open}", after.join(" or "))
}

fn rate(it: &Value) -> String {
    let [limit, per] = words(it, ["limit", "per"]);
    let by = match &it["by"] {
        Value::Object(field) => field.values().map(word).collect(),
        by => word(by),
    };
    match by.as_str() {
        "all" => format!("{limit} in {per}"),
        by => format!("{limit} in {per} by {by}"),
    }
}

fn words<const N: usize>(part: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| word(&part[name]))
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
