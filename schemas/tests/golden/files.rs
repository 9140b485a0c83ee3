//! The files on disk: golden bytes, schemas, and the sources they stand for.

use crate::kind::Kind;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn golden_file(name: &str) -> PathBuf {
    Path::new("golden").join(format!("{name}.hex"))
}

pub(crate) fn json_file(name: &str) -> PathBuf {
    Path::new("json").join(format!("{name}.json"))
}

/// Returns the golden bytes of each sample; none if there is no file.
pub(crate) fn golden(name: &str) -> Vec<Vec<u8>> {
    fs::read_to_string(Path::new(ROOT).join(golden_file(name)))
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            unhex(line)
                .ok_or(line)
                .expect("a golden file holds hex and comments")
        })
        .collect()
}

/// Returns the schema on file; nothing if there is none.
pub(crate) fn json(name: &str) -> Option<Value> {
    let text = fs::read_to_string(Path::new(ROOT).join(json_file(name))).ok()?;
    serde_json::from_str(&text).ok()
}

/// Returns all golden and schema files.
pub(crate) fn found() -> BTreeSet<PathBuf> {
    ["golden", "json"].into_iter().flat_map(list).collect()
}

/// Writes the files of all types anew, and removes those of no type.
pub(crate) fn bless(kinds: &[Kind]) {
    for file in found() {
        fs::remove_file(Path::new(ROOT).join(file)).expect("an old file can be removed");
    }
    let write = |file: PathBuf, text: String| {
        fs::write(Path::new(ROOT).join(file), text).expect("a new file can be written");
    };
    for kind in kinds {
        let lines = kind.readable.iter().zip(&kind.encoded);
        let golden: Vec<_> = lines
            .map(|(json, bytes)| format!("# {json}\n{}\n", hex(bytes)))
            .collect();
        write(golden_file(&kind.name), golden.concat());
        write(json_file(&kind.name), format!("{:#}\n", kind.schema));
    }
}

/// Returns the names of all message types that the sources declare.
pub(crate) fn declared() -> BTreeSet<String> {
    let impls = [
        "impl Event for ",
        "impl Command for ",
        "impl Rejection for ",
    ];
    let mut names: BTreeSet<_> = impls.iter().flat_map(|what| after(what)).collect();
    names.extend(after("type Outcome = Result<"));
    names
}

/// Returns the subjects of all events and commands.
pub(crate) fn subjects() -> Vec<String> {
    after("const SUBJECT: Subject = Subject::new(\"")
}

/// Returns the word after each occurrence of a text in the sources.
fn after(what: &str) -> Vec<String> {
    let word = |line: &str| {
        let rest = line.trim_start().strip_prefix(what)?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '_');
        Some(rest[..end.unwrap_or(rest.len())].to_owned())
    };
    let sources = list("")
        .into_iter()
        .filter(|file| file.extension() == Some("rs".as_ref()));
    sources
        .flat_map(|file| {
            let text = fs::read_to_string(Path::new(ROOT).join(file)).expect("a source is text");
            text.lines().filter_map(word).collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the files in a folder of the crate, by their paths in the crate.
fn list(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("the folder is there");
    entries
        .map(|entry| Path::new(folder).join(entry.expect("the folder can be read").file_name()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes anything");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(high << 4 | low).ok())
        .collect()
}
