//! Holds the wire format: what was written yesterday is read today.
//!
//! `golden/<Type>.hex` has the bytes of each sample, `json/<Type>.json` the
//! type's JSON Schema. After a change that is meant, write both anew:
//!
//! ```text
//! CALLBOARD_BLESS=1 cargo test -p schemas
//! ```
//!
//! and read the difference before committing it. A golden sample that no
//! longer decodes means that events already stored do not either.

mod files;
mod kind;
mod samples;
mod shape;

use callboard::message::codec;
use files::{golden_file, json_file};
use kind::Kind;
use schemas::orders::{OrderPlaced, Payment};
use shape::Shape;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

const BLESS: &str = "run `CALLBOARD_BLESS=1 cargo test -p schemas` and read the difference";

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let kinds = samples::all();
    if std::env::var("CALLBOARD_BLESS").as_deref() == Ok("1") {
        files::bless(&kinds);
    }
    kinds
});

/// Fails with everything that is wrong, one complaint per line.
#[track_caller]
fn report(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_message_type_has_a_sample_and_every_sample_is_a_message() {
    let declared = files::declared();
    let sampled: BTreeSet<_> = KINDS.iter().map(|kind| kind.name.clone()).collect();
    let unsampled = declared.difference(&sampled).map(|name| {
        format!("{name} has no sample: add one to `tests/golden/samples.rs`, then {BLESS}")
    });
    let undeclared = sampled.difference(&declared).map(|name| {
        format!("{name} has a sample but is no event, command, reply or rejection: remove it")
    });
    report(unsampled.chain(undeclared));
}

#[test]
fn no_two_message_types_share_a_name() {
    let mut count = BTreeMap::new();
    for kind in KINDS.iter() {
        *count.entry(&kind.name).or_insert(0) += 1;
    }
    report(
        count
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(name, count)| format!("{count} types are called {name}: rename one")),
    );
}

#[test]
fn no_two_messages_share_a_subject() {
    let subjects = files::subjects();
    let twice = |subject: &&String| subjects.iter().filter(|other| other == subject).count() > 1;
    report(
        subjects
            .iter()
            .filter(twice)
            .map(|subject| format!("{subject} is the subject of two types: rename one")),
    );
}

#[test]
fn every_type_has_its_files_and_every_file_its_type() {
    let wanted: BTreeSet<_> = KINDS
        .iter()
        .flat_map(|kind| [golden_file(&kind.name), json_file(&kind.name)])
        .collect();
    let found = files::found();
    let missing = wanted
        .difference(&found)
        .map(|file| format!("{} is missing: {BLESS}", file.display()));
    let orphans = found.difference(&wanted).map(|file| {
        format!(
            "{} belongs to no type: remove it, or {BLESS}",
            file.display()
        )
    });
    report(missing.chain(orphans));
}

#[test]
fn golden_bytes_decode_to_their_samples() {
    report(KINDS.iter().flat_map(|kind| {
        kind.misread(&files::golden(&kind.name)).into_iter().map(|(at, reason)| {
            format!(
                "{} #{at} no longer reads what was written before: {reason}; stored events would be lost: \
                 give new fields `#[serde(default)]`, keep old names with `#[serde(alias)]`, or raise \
                 `Event::VERSION`; if nothing was ever stored, {BLESS}",
                kind.name
            )
        })
    }));
}

#[test]
fn samples_encode_to_their_golden_bytes() {
    report(
        KINDS
            .iter()
            .filter(|kind| kind.encoded != files::golden(&kind.name))
            .map(|kind| {
                format!(
                    "{} is written otherwise than before: undo the change, or {BLESS}",
                    kind.name
                )
            }),
    );
}

#[test]
fn json_schemas_are_those_of_the_types() {
    report(
        KINDS
            .iter()
            .filter(|kind| Some(&kind.schema) != files::json(&kind.name).as_ref())
            .map(|kind| {
                format!(
                    "{} has another JSON Schema than its file says: {BLESS}",
                    kind.name
                )
            }),
    );
}

#[test]
fn golden_bytes_have_the_fields_of_their_schema() {
    let mut complaints = Vec::new();
    for kind in KINDS.iter() {
        let schema = files::json(&kind.name).unwrap_or_default();
        let mut shape = Shape::of(&schema);
        for (at, bytes) in files::golden(&kind.name).iter().enumerate() {
            let checked = codec::decode(bytes)
                .map_err(|error| error.to_string())
                .and_then(|value| shape.check(&value));
            if let Err(reason) = checked {
                complaints.push(format!(
                    "{} #{at} is not what its schema says: {reason}",
                    kind.name
                ));
            }
        }
        complaints.extend(shape.unseen().into_iter().map(|variant| {
            format!(
                "{} has no sample with {variant}: add one to `tests/golden/samples.rs`",
                kind.name
            )
        }));
    }
    report(complaints);
}

#[test]
fn an_order_that_does_not_say_how_it_is_paid_is_paid_by_card() {
    // As it was written before there were invoices.
    let old = "84a56f72646572a46f2d3432a475736572a3616461a56c696e65739282a770726f64756374a3746561a8\
               7175616e746974790282a770726f64756374a3637570a87175616e74697479cd012ca5746f74616ccd09c4";
    let bytes = files::unhex(old).expect("this is hex");
    let placed: OrderPlaced = codec::decode(&bytes).expect("an old event can be read");
    assert_eq!(placed.pay, Payment::Card);
}
