//! A store from before it was a database, taken over once.

use crate::{
    kit::{Verdict, append, committed, config, consumer, known, order, payloads, run, taken},
    support::folder::Folder,
};
use callboard::bus::{Bus, ConsumerConfig, Expect, OpenError, Store, StreamConfig};
use std::{fs, path::Path};

/// A store with 20 orders, of which a consumer has some out; two latest
/// messages; and jobs that were passed on, taken back, replaced, or wait.
fn old() -> Result<Folder, std::io::Error> {
    let folder = Folder::fresh();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedded_store/old_format");
    for name in ["log", "state"] {
        fs::copy(from.join(name), folder.path().join(name))?;
    }
    Ok(folder)
}

fn latest() -> StreamConfig {
    let mut config = StreamConfig::new("LATEST", ["latest.*".to_owned()]);
    config.last_per_subject = true;
    config
}

fn jobs() -> StreamConfig {
    let subjects = ["jobs.*", "later.*"].map(ToOwned::to_owned);
    let mut config = StreamConfig::new("JOBS", subjects);
    (config.schedules, config.immutable, config.partitions) = (true, false, 8);
    config
}

#[expect(
    clippy::too_many_lines,
    reason = "one story, from its start to its end"
)]
async fn all_is_there(folder: &Path) -> Verdict {
    let bus = Bus::embedded_at(folder)?;
    let stream = bus.stream(&config()).await?;
    let expected: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
    assert_eq!(payloads(&stream, "orders.*").await?, expected);
    assert_eq!(append(&stream, "o-1", "7").await?, known(7));
    let last = stream.last("orders.o-1").await?.ok_or("it is gone")?;
    assert_eq!((last.sequence, last.headers.get("x")), (19, Some("y")));
    let mut reader = consumer(&stream).await?;
    let mut found = Vec::new();
    for _ in 0..4 {
        let delivery = taken(&mut reader).await?;
        found.push((delivery.message.sequence, delivery.attempt));
    }
    assert_eq!(found, [(1, 4), (4, 2), (5, 1), (6, 1)]);

    let latest = bus.stream(&latest()).await?;
    assert_eq!(payloads(&latest, "latest.*").await?, ["l-2", "l-3"]);

    let jobs = bus.stream(&jobs()).await?;
    let info = jobs.info().await?;
    assert_eq!((info.messages, info.last_sequence), (3, 7));
    let mut filter = ConsumerConfig::new("j");
    filter.filter = Some("jobs.*".to_owned());
    let mut reader = jobs.consumer(&filter).await?;
    let again = order("fired", "fired");
    let mut again = again.scheduled(std::time::SystemTime::UNIX_EPOCH, "jobs.fired");
    again.subject = "later.fired".into();
    assert_eq!(
        jobs.append(again, Expect::Any).await?,
        known(1),
        "it was done"
    );
    let mut next = order("new", "new");
    next.subject = "jobs.new".into();
    assert_eq!(jobs.append(next, Expect::Any).await?, committed(8));
    assert_eq!(
        taken(&mut reader).await?.message.sequence,
        8,
        "the first was settled"
    );
    for (subject, there) in [
        ("waits", true),
        ("replaced", true),
        ("cancelled", false),
        ("fired", false),
    ] {
        assert_eq!(
            jobs.cancel(&format!("later.{subject}")).await?,
            there,
            "{subject}"
        );
    }
    Ok(())
}

fn is_set_aside(folder: &Path) {
    for name in ["log", "state"] {
        assert!(!folder.join(name).exists(), "{name}");
        assert!(folder.join(format!("{name}.migrated")).exists(), "{name}");
    }
}

#[test]
fn an_old_store_is_taken_over_and_its_files_are_kept() -> Verdict {
    let folder = old()?;
    let before = fs::read(folder.path().join("log"))?;
    run(async {
        drop(Bus::embedded_at(folder.path())?);
        is_set_aside(folder.path());
        assert_eq!(fs::read(folder.path().join("log.migrated"))?, before);
        let found = Store::at(folder.path()).check()?;
        assert_eq!((found.messages, found.faults), (25, vec![]));
        all_is_there(folder.path()).await
    })
}

#[test]
fn a_takeover_that_was_cut_short_begins_again_or_ends() -> Verdict {
    run(async {
        let folder = old()?;
        fs::write(
            folder.path().join("callboard.sqlite.new"),
            "the beginning of it",
        )?;
        all_is_there(folder.path()).await?;
        is_set_aside(folder.path());

        let folder = old()?;
        drop(Bus::embedded_at(folder.path())?);
        fs::rename(
            folder.path().join("log.migrated"),
            folder.path().join("log"),
        )?;
        all_is_there(folder.path()).await?;
        is_set_aside(folder.path());
        Ok(())
    })
}

#[test]
fn an_old_store_beside_a_new_one_is_refused() -> Verdict {
    let (folder, other) = (old()?, Folder::fresh());
    drop(Bus::embedded_at(other.path())?);
    fs::copy(
        other.path().join("callboard.sqlite"),
        folder.path().join("callboard.sqlite"),
    )?;
    let refused = Bus::embedded_at(folder.path()).err();
    let said = refused
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        matches!(refused, Some(OpenError::Unreadable { .. })) && said.contains("move one away"),
        "{said}"
    );
    Ok(())
}

/// An older program that is run once more finds no files of its own and begins anew.
#[test]
fn what_an_old_program_stored_after_the_takeover_is_told_of_and_kept() -> Verdict {
    let folder = old()?;
    drop(Bus::embedded_at(folder.path())?);
    let file = |name: &str| fs::read(folder.path().join(name));
    let before = [file("log.migrated")?, file("state.migrated")?];
    let later = old()?;
    for name in ["log", "state"] {
        let bytes = fs::read(later.path().join(name))?;
        fs::write(folder.path().join(name), &bytes)?;
    }
    let refused = Bus::embedded_at(folder.path()).err();
    let said = refused
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        matches!(refused, Some(OpenError::Unreadable { .. })) && said.contains("move"),
        "{said}"
    );
    assert_eq!([file("log.migrated")?, file("state.migrated")?], before);
    assert!(folder.path().join("log").exists(), "nothing is set aside");
    Ok(())
}

#[test]
fn a_damaged_old_store_is_refused_and_stays_as_it_is() -> Verdict {
    let folder = old()?;
    let file = folder.path().join("log");
    let mut bytes = fs::read(&file)?;
    bytes[1_000] ^= 0x55;
    fs::write(&file, &bytes)?;
    let refused = Bus::embedded_at(folder.path()).err();
    assert!(
        matches!(&refused, Some(OpenError::Unreadable { path, .. }) if *path == file),
        "{refused:?}"
    );
    assert_eq!(fs::read(&file)?, bytes);
    assert!(!folder.path().join("callboard.sqlite").exists());
    assert!(!folder.path().join("callboard.sqlite.new").exists());
    Ok(())
}

#[test]
fn a_torn_end_of_an_old_store_is_left_out() -> Verdict {
    run(async {
        let folder = old()?;
        let file = folder.path().join("log");
        let bytes = fs::read(&file)?;
        fs::write(&file, &bytes[..bytes.len() - 10])?;
        let bus = Bus::embedded_at(folder.path())?;
        let stream = bus.stream(&config()).await?;
        assert_eq!(stream.info().await?.messages, 20);
        Ok(())
    })
}
