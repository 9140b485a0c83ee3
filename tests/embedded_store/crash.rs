//! Processes that end without a word.

use crate::{
    kit::{Verdict, config, opened, order, run},
    support::folder::Folder,
};
use callboard::bus::{Append, Bus, Durability, Expect, Store, Stream};
use std::{
    collections::HashMap,
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) const FOLDER: &str = "CALLBOARD_TEST_STORE";
const INTERVAL: &str = "CALLBOARD_TEST_INTERVAL";

/// Starts this program again to run one test on a store.
pub(crate) fn child(test: &str, folder: &Path, interval: bool) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped());
    if interval {
        command.env(INTERVAL, "");
    }
    command.spawn()
}

/// Runs one test of this program on a store, and returns what it said.
pub(crate) fn again(test: &str, folder: &Path) -> Result<String, Box<dyn Error>> {
    let ended = child(test, folder, false)?.wait_with_output()?;
    Ok(String::from_utf8(ended.stdout)?)
}

/// Appends without end when it is started for that, and says what was committed.
#[test]
fn appends_until_killed() -> Verdict {
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(());
    };
    let durability = match env::var_os(INTERVAL) {
        Some(_) => Durability::Interval(Duration::from_hours(1)),
        None => Durability::Always,
    };
    run(async {
        let bus = Bus::embedded_at(Store::at(folder).durability(durability))?;
        let stream = bus.stream(&config()).await?;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            writers.spawn(writes(stream.clone(), writer));
        }
        while let Some(ended) = writers.join_next().await {
            ended?.map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

async fn writes(stream: Stream, writer: u32) -> Result<(), Box<dyn Error + Send + Sync>> {
    let key = format!("o-{writer}");
    let mut last = 0;
    for number in 0.. {
        let id = format!("{writer}-{number}");
        match stream.append(order(&key, &id), Expect::Last(last)).await? {
            Append::Committed { sequence, duplicate: false } => last = sequence,
            other => return Err(format!("{id}: {other:?}").into()),
        }
        writeln!(io::stdout().lock(), "committed {id} {last}")?;
    }
    Ok(())
}

/// Lets a process append until it has committed so many, kills it, and returns
/// what it said it had committed.
fn killed(
    folder: &Path,
    interval: bool,
    enough: usize,
) -> Result<HashMap<String, u64>, Box<dyn Error>> {
    let mut child = child("crash::appends_until_killed", folder, interval)?;
    let out = child.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(out).lines();
    let mut committed = HashMap::new();
    for line in lines.by_ref() {
        committed.extend(said(&line?));
        if committed.len() > enough {
            break;
        }
    }
    child.kill()?;
    child.wait()?;
    // What it said before its end counts as well, but for a line cut short.
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    let whole = rest.len().saturating_sub(1);
    committed.extend(rest[..whole].iter().filter_map(|line| said(line)));
    Ok(committed)
}

/// Reads the id and the sequence from a line that says what was committed.
fn said(line: &str) -> Option<(String, u64)> {
    let (_, said) = line.split_once("committed ")?;
    let (id, sequence) = said.split_once(' ')?;
    Some((id.into(), sequence.parse().ok()?))
}

async fn all_that_was_committed_is_there(interval: bool) -> Verdict {
    let folder = Folder::fresh();
    for round in 1..=3 {
        let folder = folder.path().join(round.to_string());
        let committed = killed(&folder, interval, 200 * round)?;
        let (_bus, stream) = opened(&folder).await?;
        let stored = stream.read("orders.*", 1).await?.all().await?;
        let mut found = HashMap::new();
        for stored in stored {
            let id = String::from_utf8(stored.payload.into())?;
            assert_eq!(found.insert(id, stored.sequence), None, "it is there twice");
        }
        for (id, sequence) in &committed {
            assert_eq!(found.get(id), Some(sequence), "{id}");
        }
    }
    Ok(())
}

#[test]
fn what_was_committed_survives_a_kill() -> Verdict {
    run(all_that_was_committed_is_there(false))
}

#[test]
fn what_was_committed_between_syncs_survives_a_kill() -> Verdict {
    run(all_that_was_committed_is_there(true))
}

/// Opens a store when it is started for that, and says why it cannot.
#[test]
fn opens_what_another_has() -> Verdict {
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(());
    };
    let refused = Bus::embedded_at(Store::at(folder)).err();
    let refused = refused.map_or("it was opened".into(), |refused| refused.to_string());
    writeln!(io::stdout(), "{refused}")?;
    Ok(())
}

#[test]
fn a_second_process_is_refused_and_told_who_has_it() -> Verdict {
    run(async {
        let folder = Folder::fresh();
        let (_bus, _stream) = opened(folder.path()).await?;
        let child = child("crash::opens_what_another_has", folder.path(), false)?;
        let said = String::from_utf8(child.wait_with_output()?.stdout)?;
        let path = folder.path().display();
        let id = std::process::id();
        let expected = format!("the store at {path} is in use by process {id}; end what uses it");
        assert!(said.contains(&expected), "{said}");
        Ok(())
    })
}
