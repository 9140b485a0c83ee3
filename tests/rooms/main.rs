//! The house has floors: imports go down, and each foreign crate has its room.

mod reading;

use reading::{imports, tokens};
use std::{collections::BTreeSet, fs, path::Path};

/// The rooms of `src/`, from the ground up.
const FLOORS: [&[&str]; 10] = [
    &["error", "span", "telemetry", "time", "version"],
    &["message", "roster"],
    &["bus", "policy", "route"],
    &["call"],
    &["actor"],
    &["supervision"],
    &[
        "entity",
        "projection",
        "saga",
        "breaker",
        "mesh",
        "config",
        "limit",
    ],
    &["node"],
    &["gateway", "replay", "console"],
    &["cli"],
];

/// Crates that are named only under these paths.
const HOMES: [(&str, &[&str]); 6] = [
    ("async_nats", &["src/bus/nats/"]),
    ("rusqlite", &["src/bus/embedded/store/"]),
    ("rmp_serde", &["src/message/codec.rs"]),
    ("actix", &["src/actor/", "src/supervision/", "src/node/"]),
    ("actix_rt", &["src/actor/", "src/supervision/", "src/node/"]),
    ("actix_web", &["src/gateway/"]),
];

/// The roots assemble the house, so they see all of it.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

const MAX_LINES: usize = 600;

#[test]
fn imports_go_down_only_and_foreign_crates_stay_in_their_rooms() {
    let faults: Vec<_> = sources("src")
        .iter()
        .flat_map(|(path, text)| faults(path, text))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_six_hundred_lines() {
    let long: Vec<_> = ["src", "actors", "schemas"]
        .into_iter()
        .flat_map(sources)
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(
        long.is_empty(),
        "split these, at {MAX_LINES} lines at most: {long:?}"
    );
}

#[test]
fn the_nightly_run_lists_every_ignored_test() {
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/nightly"))
        .expect("there is one");
    let listed: BTreeSet<_> = script
        .lines()
        .map(str::to_owned)
        .filter(|line| line.starts_with("callboard ") || line.starts_with("shop "))
        .collect();
    let ignored: BTreeSet<_> = [("tests", "callboard"), ("actors/tests", "shop")]
        .into_iter()
        .flat_map(|(folder, package)| {
            sources(folder).into_iter().flat_map(move |(path, text)| {
                let program = path.trim_start_matches(folder).trim_start_matches('/');
                let program = program
                    .split(['/', '.'])
                    .next()
                    .unwrap_or(program)
                    .to_owned();
                let tests = ignored(&text).into_iter();
                tests
                    .map(move |test| format!("{package} {program} {test}"))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    assert_eq!(
        listed, ignored,
        "`.ci/nightly` runs what is ignored elsewhere"
    );
}

/// Returns the names of the ignored tests of a source file.
fn ignored(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line.starts_with("#[ignore")) {
        let head = lines.find_map(|line| line.split_once("fn "));
        let name = head.and_then(|(_, name)| name.split_once('('));
        names.extend(name.map(|(name, _)| name.to_owned()));
    }
    names
}

#[test]
fn a_planted_upward_or_sideways_import_is_found() {
    let found = |path, text| faults(path, text).len();
    assert_eq!(found("src/bus/mod.rs", "use crate::actor::Actor;"), 1);
    assert_eq!(found("src/saga/mod.rs", "use crate::breaker::Breaker;"), 1);
    assert_eq!(found("src/error.rs", "fn f() { crate::time::now() }"), 1);
    assert_eq!(
        found("src/bus/mod.rs", "pub(crate) use crate::node::Node;"),
        1
    );
    assert_eq!(found("src/bus/mod.rs", "pub(in crate::node) fn f() {}"), 1);
    assert_eq!(found("src/bus/mod.rs", "m! { $crate::node::f }"), 1);
    assert_eq!(
        found(
            "src/bus/mod.rs",
            "use ::std::fmt; impl crate::cli::T for U {}"
        ),
        1
    );
    let nested = "use crate::{\n    message::{self, Id},\n    node::{Node, drain::{self, Drain}},\n    \
                  entity::Entity as E,\n    error::*,\n};";
    let lines = faults("src/call/mod.rs", nested);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(
        lines[0],
        "src/call/mod.rs:3: call (floor 3) imports node (floor 7)"
    );
    assert_eq!(
        lines[3],
        "src/call/mod.rs:4: call (floor 3) imports entity (floor 6)"
    );
}

#[test]
fn a_planted_way_around_through_super_is_found() {
    let found = |path, text| faults(path, text).len();
    assert_eq!(found("src/bus/mod.rs", "use super::node::Node;"), 1);
    assert_eq!(
        found("src/bus/filter.rs", "use super::super::node::Node;"),
        1
    );
    assert_eq!(
        found("src/bus/filter.rs", "use super::{super::node::Node, Bus};"),
        1
    );
    assert_eq!(
        found("src/bus/nats/mod.rs", "use super::super::node::Node;"),
        1
    );
    assert_eq!(found("src/bus/filter.rs", "use super::node::Node;"), 0);
    assert_eq!(
        found("src/error.rs", "mod tests { use super::Failure; }"),
        0
    );
    assert_eq!(
        found("src/error.rs", "mod tests { use super::super::bus; }"),
        1
    );
    assert_eq!(
        found("src/error.rs", "mod a { fn f() {} } use super::bus;"),
        1
    );
}

#[test]
fn a_planted_import_through_the_crate_root_is_found() {
    let found = |text| faults("src/node/mod.rs", text).len();
    assert_eq!(found("use crate::Failure;"), 1);
    assert_eq!(found("use crate::{Failure, bus::Bus, Subject};"), 2);
    assert_eq!(found("use crate::*;"), 1);
    assert_eq!(found("use crate as root;"), 1);
    assert_eq!(found("use crate::{self};"), 1);
    assert_eq!(found("use super::Failure;"), 1);
}

#[test]
fn a_planted_foreign_crate_and_an_unknown_room_are_found() {
    let found = |path, text| faults(path, text).len();
    assert_eq!(found("src/bus/stream.rs", "use async_nats::Client;"), 1);
    assert_eq!(found("src/bus/nats/link.rs", "use async_nats::Client;"), 0);
    assert_eq!(
        found("src/message/event.rs", "rmp_serde::to_vec_named(&e)"),
        1
    );
    assert_eq!(
        found("src/message/codec.rs", "rmp_serde::to_vec_named(&e)"),
        0
    );
    assert_eq!(
        found("src/call/mod.rs", "#[actix_rt::main] use actix::Addr;"),
        2
    );
    assert_eq!(found("src/actor/cell.rs", "use actix::Addr;"), 0);
    assert_eq!(found("src/attic/mod.rs", ""), 1);
}

#[test]
fn what_is_allowed_or_only_written_about_is_no_fault() {
    let found = |text| faults("src/actor/mod.rs", text);
    for text in [
        "use crate::{bus::{Bus, Message}, call::Call, actor::cell};",
        "/// See [`Node`](crate::node::Node).\n//! use crate::node;",
        "/* use crate::node; /* crate::cli */ async_nats */",
        "let s = \"// crate::node \\\" crate::cli\"; let t = r#\"crate::\"node\"#;",
        "let c = ('\"', '\\'', b'\"'); fn f<'a>(x: &'a str) {} // crate::cli",
        "pub(crate) fn f(self, node: usize) { self::g(node) }",
        "match m { crate::call::Mode { node } => node, Mode => 0 }",
    ] {
        assert_eq!(found(text), Vec::<String>::new(), "{text}");
    }
}

// ===== the rules =====

/// Returns what is wrong with a source file, one line each.
fn faults(path: &str, text: &str) -> Vec<String> {
    if ROOTS.contains(&path) {
        return Vec::new();
    }
    let module = module(path);
    let room = &module[0];
    let Some(floor) = floor_of(room) else {
        return vec![format!("{path}: no floor for {room}; add it to FLOORS")];
    };
    let tokens = tokens(text);
    let homeless = tokens.iter().filter_map(|(line, token)| {
        let (name, homes) = HOMES.iter().find(|(name, _)| name == token)?;
        let at_home = homes.iter().any(|home| path.starts_with(home));
        (!at_home).then(|| format!("{path}:{line}: {name} belongs in {}", homes.join(", ")))
    });
    let climbing = imports(&tokens, &module)
        .into_iter()
        .filter_map(|(line, target)| {
            let Some(below) = floor_of(&target) else {
                return Some(format!(
                    "{path}:{line}: {target} comes from the crate root; name its room"
                ));
            };
            let fine = target == *room || below < floor;
            (!fine).then(|| {
                format!("{path}:{line}: {room} (floor {floor}) imports {target} (floor {below})")
            })
        });
    homeless.chain(climbing).collect()
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Returns the module that a file holds, as its path below the crate root.
fn module(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").expect("a path below src/");
    let inside = inside.strip_suffix(".rs").expect("a Rust file");
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    inside.split('/').map(str::to_owned).collect()
}

/// Returns all Rust files below a folder, with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of that folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let name = path.strip_prefix(root).expect("a path below the root");
                found.push((name.display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}
