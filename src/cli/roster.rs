//! Who is there: nodes, services, and who needs whom.

use super::{
    columns::columns,
    error::CommandError,
    json,
    out::{Out, plain},
    place::{PATIENCE, Place},
    stats,
    watch::{self, Follow},
};
use crate::{
    bus::{Bus, RequestError},
    mesh::{self, Edge, Graph, Known},
    roster::{Card, Count, Instance, Query, Roster, Service, Statistics, VersionReq},
};
use clap::Args as Options;
use serde::Serialize;
use std::{fmt::Write, time::Duration};
use tokio::time::Instant;

#[derive(Debug, Options)]
pub(super) struct Nodes {
    #[command(flatten)]
    pub(super) follow: Follow,
    /// Writes one JSON object per node and line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Options)]
pub(super) struct Services {
    /// Shows only this service.
    service: Option<String>,
    /// Shows only versions in this range, such as `^1.2`.
    #[arg(long, value_name = "RANGE")]
    version_in: Option<VersionReq>,
    /// Shows only what has this tag; of several, all of them.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Shows only what runs in this region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Shows only what is healthy.
    #[arg(long)]
    healthy: bool,
    /// Shows how often each was sent each of its commands since its node started.
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    pub(super) follow: Follow,
    /// Writes one JSON object per instance and line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Options)]
pub(super) struct Drawn {
    /// Writes it for Graphviz.
    #[arg(long, group = "form")]
    dot: bool,
    /// Writes it for Mermaid.
    #[arg(long, group = "form")]
    mermaid: bool,
    /// Writes one JSON object.
    #[arg(long, group = "form")]
    json: bool,
}

/// Asks a node who is there.
async fn ask(bus: &Bus, place: &Place) -> Result<Vec<Known>, CommandError> {
    match mesh::cards(bus, &place.namespace, PATIENCE).await {
        Ok((known, _)) => Ok(known),
        Err(RequestError::NoResponders { .. }) => Err(nobody(place)),
        Err(error) => Err(error.into()),
    }
}

/// Checks that there is a node at all.
pub(super) async fn anybody(bus: &Bus, place: &Place) -> Result<(), CommandError> {
    ask(bus, place).await.map(drop)
}

pub(super) fn nobody(place: &Place) -> CommandError {
    CommandError::NoNode(format!(
        "no node answers in namespace `{}`; is one running there, and is `--namespace` right?",
        place.namespace
    ))
}

pub(super) async fn nodes(place: &Place, args: Nodes, out: &mut Out) -> Result<(), CommandError> {
    let bus = place.connect().await?;
    let json = args.json;
    watch::show(args.follow.in_json(json), out, async || {
        let mut known = ask(&bus, place).await?;
        known.sort_by(|a, b| a.card.node.cmp(&b.card.node));
        if json {
            return Ok(known.iter().map(|it| json::text(&Told::of(it))).collect());
        }
        Ok(table(&known))
    })
    .await
}

/// Draws the nodes; with their clocks, if one of them is to be set.
fn table(known: &[Known]) -> Vec<String> {
    let rows = known.iter().map(node);
    if known.iter().all(|it| it.off_ms.is_none()) {
        let rows: Vec<_> = rows.collect();
        return columns(["NODE", "INSTANCE", "REGION", "HEALTHY", "HEARD"], &rows);
    }
    let rows = rows.zip(known);
    let rows: Vec<_> = rows
        .map(|([name, instance, region, healthy, heard], it)| {
            let clock = it.off_ms.map_or_else(String::new, off);
            [name, instance, region, healthy, heard, clock]
        })
        .collect();
    let head = ["NODE", "INSTANCE", "REGION", "HEALTHY", "HEARD", "CLOCK"];
    let mut lines = columns(head, &rows);
    lines.push(String::new());
    lines.push(
        "! clocks differ, as the node that was asked sees it: calls between these nodes end with \
         408; set them by a time server"
            .to_owned(),
    );
    lines
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn off(ms: i64) -> String {
    format!("{:+.1}s", ms as f64 / 1_000.0)
}

/// A node's card as JSON, and how long ago it was heard of.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    card: &'a Card,
    heard_ms_ago: u64,
    /// By how much its clock is ahead of that of the node that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_off_ms: Option<i64>,
}

impl<'a> Told<'a> {
    fn of(known: &'a Known) -> Self {
        let heard_ms_ago = u64::try_from(known.age.as_millis()).unwrap_or(u64::MAX);
        Self { card: &known.card, heard_ms_ago, clock_off_ms: known.off_ms }
    }
}

fn node(Known { card, age, .. }: &Known) -> [String; 5] {
    let healthy = card
        .services
        .iter()
        .filter(|service| service.status.is_healthy())
        .count();
    [
        card.node.clone(),
        card.instance.clone(),
        or_dash(&card.region),
        format!("{healthy}/{}", card.services.len()),
        ago(*age),
    ]
}

pub(super) async fn services(
    place: &Place,
    args: Services,
    out: &mut Out,
) -> Result<(), CommandError> {
    let bus = place.connect().await?;
    let mut query = args.service.clone().map_or_else(Query::all, Query::of);
    query = args.version_in.into_iter().fold(query, Query::version);
    query = args.region.into_iter().fold(query, Query::region);
    query = args.tag.into_iter().fold(query, Query::tag);
    if !args.healthy {
        query = query.any_status();
    }
    let (json, stats) = (args.json, args.stats);
    let named = args.service.as_deref();
    watch::show(args.follow.in_json(json), out, async || {
        let roster = roster(ask(&bus, place).await?);
        let found = roster.find(&query);
        if let (Some(named), true) = (named, found.is_empty()) {
            return Err(absent(place, &roster, named));
        }
        if stats {
            return stats::show(&bus, &found, json).await;
        }
        if json {
            return Ok(found.iter().map(|it| json::text(&instance(it))).collect());
        }
        let rows: Vec<_> = found.iter().map(service).collect();
        let head = [
            "SERVICE", "VERSION", "STATUS", "NODE", "REGION", "TAGS", "HEARD", "",
        ];
        let mut lines = columns(head, &rows);
        lines.push(String::new());
        let counted = Statistics::of(&found);
        lines.push(format!(
            "{} services, {} instances, {} healthy",
            counted.services, counted.instances, counted.healthy
        ));
        let sick = counted
            .by_service
            .iter()
            .filter(|(_, count)| count.healthy == 0);
        lines.extend(sick.map(|(name, Count { instances, .. })| {
            format!("! none of {instances} of {} is healthy", plain(name))
        }));
        Ok(lines)
    })
    .await
}

/// Says that a service is not there, or not as it is asked for.
fn absent(place: &Place, roster: &Roster, named: &str) -> CommandError {
    let (namespace, known) = (&place.namespace, roster.of(named).len());
    CommandError::NoNode(match known {
        0 => format!("no node in namespace `{namespace}` has a service `{named}`"),
        _ => format!(
            "none of {known} instances of `{named}` in namespace `{namespace}` is as asked for"
        ),
    })
}

fn roster(known: Vec<Known>) -> Roster {
    let (roster, now) = (Roster::default(), Instant::now());
    for Known { card, age, .. } in known {
        roster.hear(card, now.checked_sub(age).unwrap_or(now), "");
    }
    roster
}

/// An instance as JSON: what its node says of the service, and where it is.
fn instance(it: &Instance) -> impl Serialize {
    #[derive(Serialize)]
    struct Row {
        instance: String,
        node: String,
        region: String,
        heard_ms_ago: u64,
        #[serde(flatten)]
        service: Service,
    }
    Row {
        instance: it.id().to_owned(),
        node: it.node().to_owned(),
        region: it.region().to_owned(),
        heard_ms_ago: u64::try_from(it.age().as_millis()).unwrap_or(u64::MAX),
        service: it.service().clone(),
    }
}

fn service(it: &Instance) -> [String; 8] {
    let service = it.service();
    let tags: Vec<_> = service.tags.iter().map(String::as_str).collect();
    [
        service.name.clone(),
        service.version.to_string(),
        service.status.to_string(),
        it.node().to_owned(),
        or_dash(it.region()),
        or_dash(&tags.join(",")),
        ago(it.age()),
        service.reason.clone().unwrap_or_default(),
    ]
}

pub(super) async fn graph(place: &Place, drawn: Drawn, out: &mut Out) -> Result<(), CommandError> {
    let bus = place.connect().await?;
    let known = ask(&bus, place).await?;
    let cards: Vec<_> = known.into_iter().map(|known| known.card).collect();
    let graph = Graph::of(&cards);
    let text = match drawn {
        Drawn { dot: true, .. } => graph.dot(),
        Drawn { mermaid: true, .. } => graph.mermaid(),
        Drawn { json: true, .. } => json::text(&graph) + "\n",
        Drawn { .. } => written(&graph),
    };
    Ok(out.text(text.as_bytes())?)
}

/// Writes each service and what it needs, then what declarations and sight differ in.
fn written(graph: &Graph) -> String {
    let mut text = String::new();
    for (service, instances) in &graph.services {
        let many = match instances {
            0 => "not there".to_owned(),
            1 => "1 instance".to_owned(),
            many => format!("{many} instances"),
        };
        writeln!(text, "{}  {many}", plain(service)).ok();
        for edge in graph.edges.iter().filter(|edge| edge.from == *service) {
            let (arrow, what) = match edge {
                Edge { commands: false, .. } => ("<-", "events"),
                Edge { declared: true, observed: true, .. } => ("->", "declared, seen"),
                Edge { declared: true, .. } => ("->", "declared, not seen"),
                Edge { .. } => ("->", "seen, not declared"),
            };
            writeln!(text, "  {arrow} {}  {what}", plain(&edge.to)).ok();
        }
    }
    for (edges, what) in [
        (
            graph.undeclared().collect::<Vec<_>>(),
            "seen and not declared",
        ),
        (graph.unseen().collect(), "declared and not seen"),
    ] {
        if edges.is_empty() {
            continue;
        }
        writeln!(text, "\n{what}:").ok();
        for edge in edges {
            writeln!(text, "  {} -> {}", plain(&edge.from), plain(&edge.to)).ok();
        }
    }
    text
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}

fn ago(age: Duration) -> String {
    format!("{:.1}s ago", age.as_secs_f64())
}
