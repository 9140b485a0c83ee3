//! Disks that are full, disks that fail, and files that are damaged.

use crate::{
    crash::{FOLDER, again},
    kit::{SOON, Verdict, append, consumer, fill, opened, order, payloads, run, taken},
    support::folder::Folder,
};
use callboard::{
    Bus, Node,
    bus::{
        Append, AppendError, Durability, Expect, OpenError, ReadError, Store, Stream, StreamConfig,
    },
    node::NodeError,
};
use std::{
    env,
    error::Error,
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};
use tokio::time::timeout;

/// Runs one test of this program again, under what a shell sets up before.
fn under(shell: &str, test: &str, folder: &Path) -> Result<Output, Box<dyn Error>> {
    let program = env::current_exe()?;
    let script = format!("{shell}; exec \"$0\" \"$@\"");
    Ok(Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .output()?)
}

fn assert_passed(ran: &Output) {
    let said = String::from_utf8_lossy(&ran.stdout);
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}\n{complained}"
    );
}

/// Appends large messages until one is not stored, and returns how many were,
/// and how the last one ended.
async fn fill_up(stream: &Stream, from: usize) -> (usize, Result<Append, AppendError>) {
    for number in from.. {
        let mut message = order("o-1", &number.to_string());
        message.payload = vec![b'x'; 20_000].into();
        match stream.append(message, Expect::Any).await {
            Ok(Append::Committed { .. }) => {}
            other => return (number - from, other),
        }
    }
    (0, Ok(Append::Conflict))
}

/// Fills a small disk and makes room again, when it is started on one.
#[test]
fn fills_its_disk() -> Verdict {
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(());
    };
    let folder = Path::new(&folder);
    let (ballast, data) = (folder.join("ballast"), folder.join("data"));
    fs::write(&ballast, vec![0; 1_500_000])?;
    run(async {
        let (bus, stream) = opened(&data).await?;
        let node = Node::new("n", bus.clone()).start().await?;
        let mut reader = consumer(&stream).await?;
        let (stored, refused) = fill_up(&stream, 1).await;
        assert!(stored > 3, "{refused:?}");
        let Err(AppendError::Full { reason, .. }) = &refused else {
            return Err(format!("{refused:?}").into());
        };
        assert!(reason.contains("the disk is full"), "{reason}");
        let again = fill_up(&stream, stored + 1).await.1;
        assert!(matches!(again, Err(AppendError::Full { .. })), "{again:?}");
        for sequence in 1..=stored {
            let delivery = taken(&mut reader).await?;
            assert_eq!(delivery.message.sequence, sequence as u64);
            delivery.ack().await?;
        }
        assert_eq!(payloads(&stream, "orders.*").await?.len(), stored);
        fs::remove_file(&ballast)?;
        let next = append(&stream, "o-2", &(stored + 1).to_string()).await?;
        assert_eq!(next, crate::kit::committed(stored as u64 + 1));
        let delivery = taken(&mut reader).await?;
        delivery.ack_confirmed().await?;
        node.stop().await?;
        drop((bus, stream, reader));
        let found = Store::at(&*data).check()?;
        assert_eq!((found.messages, found.faults), (stored as u64 + 1, vec![]));
        let (_bus, stream) = opened(&data).await?;
        assert_eq!(stream.info().await?.messages, stored as u64 + 1);
        Ok(())
    })
}

/// Returns how a command is run on a disk of 4 MiB, if this system lets it.
#[cfg(target_os = "linux")]
fn on_a_small_disk() -> Option<fn(&Path) -> String> {
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|ran| ran.status.success()) {
        eprintln!("this system lets nobody mount a small disk, so nothing was tried");
        return None;
    }
    Some(|folder| {
        let place = folder.display();
        format!(
            "exec unshare -rm sh -c 'mount -t tmpfs -o size=4m none {place} && exec \"$0\" \"$@\"' \"$0\" \"$@\""
        )
    })
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_refuses_appends_until_there_is_room() -> Verdict {
    let Some(script) = on_a_small_disk() else {
        return Ok(());
    };
    let folder = Folder::fresh();
    let script = script(folder.path());
    assert_passed(&under(&script, "faults::fills_its_disk", folder.path())?);
    Ok(())
}

/// Stores small messages on a small disk, of which another file takes the most at
/// first, when it is started on one.
#[test]
fn stores_little_on_a_small_disk() -> Verdict {
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(());
    };
    let folder = Path::new(&folder);
    let (ballast, data) = (folder.join("ballast"), folder.join("data"));
    fs::write(&ballast, vec![0; 3_300_000])?;
    run(async {
        let (bus, stream) = opened(&data).await?;
        let mut stored = 0;
        while let Ok(Append::Committed { .. }) = append(&stream, "o-1", &stored.to_string()).await {
            stored += 1;
        }
        assert!((1..500).contains(&stored), "{stored}");
        fs::remove_file(&ballast)?;
        for number in stored..stored + 500 {
            let appended = append(&stream, "o-1", &number.to_string()).await;
            assert!(
                matches!(appended, Ok(Append::Committed { .. })),
                "{number}: {appended:?}"
            );
        }
        drop((bus, stream));
        let found = Store::at(&*data).check()?;
        assert_eq!((found.messages, found.faults), (stored + 500, vec![]));
        Ok(())
    })
}

/// Each commit writes several pages to the log, however little it stores.
#[test]
#[cfg(target_os = "linux")]
fn the_log_of_a_small_store_does_not_fill_a_small_disk() -> Verdict {
    let Some(script) = on_a_small_disk() else {
        return Ok(());
    };
    let folder = Folder::fresh();
    let script = script(folder.path());
    assert_passed(&under(
        &script,
        "faults::stores_little_on_a_small_disk",
        folder.path(),
    )?);
    Ok(())
}

/// Appends beyond what a file may grow to, when it is started with such a limit.
#[test]
fn outgrows_its_limit() -> Verdict {
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(());
    };
    run(async {
        let (bus, stream) = opened(Path::new(&folder)).await?;
        let mut node = Node::new("n", bus.clone()).start().await?;
        let (stored, failed) = fill_up(&stream, 1).await;
        // Nobody knows of one that was under way; it may also be the log that could not be
        // moved, between two of them.
        let is_told = matches!(
            failed,
            Ok(Append::Unknown { .. }) | Err(AppendError::Refused { .. })
        );
        assert!(stored > 3 && is_told, "{failed:?}");
        timeout(SOON, node.ended()).await?;
        let Err(NodeError::GaveUp { reason }) = node.stop().await else {
            return Err("the node did not give up".into());
        };
        assert!(reason.contains("cannot be used any more"), "{reason}");
        let refused = append(&stream, "o-1", "late").await;
        assert!(
            matches!(refused, Err(AppendError::Refused { .. })),
            "{refused:?}"
        );
        Ok(())
    })
}

#[test]
#[cfg(unix)]
fn a_disk_that_fails_ends_the_node() -> Verdict {
    let folder = Folder::fresh();
    let ran = under(
        "ulimit -f 4096; trap '' XFSZ",
        "faults::outgrows_its_limit",
        folder.path(),
    )?;
    assert_passed(&ran);
    let found = Store::at(folder.path()).check()?;
    assert_eq!(found.faults, Vec::<String>::new());
    run(async {
        let (_bus, stream) = opened(folder.path()).await?;
        append(&stream, "o-1", "later").await?;
        Ok(())
    })
}

/// Reads and appends though this process may open no more files, when it is started with a
/// limit of them.
#[test]
fn runs_out_of_files() -> Verdict {
    let Some(folder) = env::var_os(FOLDER) else {
        return Ok(());
    };
    run(async {
        let (_bus, stream) = opened(Path::new(&folder)).await?;
        append(&stream, "o-1", "1").await?;
        let mut files = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            files.push(file);
        }
        let read = stream.last("orders.o-1").await;
        assert!(
            matches!(read, Err(ReadError::Unavailable { .. })),
            "{read:?}"
        );
        assert_eq!(
            append(&stream, "o-1", "2").await?,
            crate::kit::committed(2),
            "what is open can be written"
        );
        drop(files);
        let last = stream.last("orders.o-1").await?.ok_or("it is gone")?;
        assert_eq!(last.sequence, 2);
        Ok(())
    })
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_may_open_no_more_files_keeps_its_store() -> Verdict {
    let folder = Folder::fresh();
    let ran = under("ulimit -n 64", "faults::runs_out_of_files", folder.path())?;
    assert_passed(&ran);
    Ok(())
}

#[test]
fn a_damaged_page_ends_the_node_and_is_found_by_the_check() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        for number in 1..=300 {
            let mut message = order("o-1", &number.to_string());
            message.payload = vec![b'x'; 3_000].into();
            stream.append(message, Expect::Any).await?;
        }
        drop((bus, stream));
        let file = folder.path().join("callboard.sqlite");
        let mut bytes = fs::read(&file)?;
        for page in bytes.chunks_mut(4_096).skip(40).take(60) {
            page[..64].fill(0xEE);
        }
        fs::write(&file, bytes)?;
        let (bus, stream) = opened(folder.path()).await?;
        let mut node = Node::new("n", bus.clone()).start().await?;
        let read = stream.read("orders.*", 1).await?.all().await;
        assert!(
            matches!(read, Err(ReadError::Unavailable { .. })),
            "{read:?}"
        );
        timeout(SOON, node.ended()).await?;
        let ended = node.stop().await;
        assert!(matches!(ended, Err(NodeError::GaveUp { .. })), "{ended:?}");
        drop((bus, stream));
        let found = Store::at(folder.path()).check()?;
        assert!(!found.faults.is_empty());
        Ok(())
    })
}

#[test]
fn a_changed_byte_of_a_message_is_told_and_not_given() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 3).await?;
        append(&stream, "o-1", "the-last-before-the-end").await?;
        drop((bus, stream));
        let file = folder.path().join("callboard.sqlite");
        let mut bytes = fs::read(&file)?;
        let needle = b"the-last-before-the-end";
        let places: Vec<_> = bytes
            .windows(needle.len())
            .enumerate()
            .filter_map(|(at, window)| (window == needle).then_some(at))
            .collect();
        for at in places {
            bytes[at] ^= 1;
        }
        fs::write(&file, bytes)?;
        let (bus, stream) = opened(folder.path()).await?;
        let Err(ReadError::Unavailable { reason, .. }) = stream.last("orders.o-1").await else {
            return Err("it was given".into());
        };
        assert!(reason.contains("message 4 is damaged"), "{reason}");
        let mut read = stream.read("orders.*", 1).await?;
        for sequence in 1..=3 {
            let stored = read.next().await?.ok_or("it ended")?;
            assert_eq!(stored.sequence, sequence, "what is before it is sound");
        }
        assert!(read.next().await.is_err());
        drop((bus, stream, read));
        let found = Store::at(folder.path()).check()?;
        assert!(
            found.faults.iter().any(|fault| fault.contains("message 4")),
            "{found:?}"
        );
        Ok(())
    })
}

#[test]
fn a_file_of_another_program_is_named_and_left_alone() -> Verdict {
    let folder = Folder::fresh();
    let file = folder.path().join("callboard.sqlite");
    let text = "the diary of somebody else, who would not like to lose it".repeat(100);
    fs::write(&file, &text)?;
    let refused = Bus::embedded_at(folder.path()).err();
    let Some(OpenError::Unreadable { path, .. }) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    assert_eq!(path, &file);
    assert_eq!(fs::read_to_string(&file)?, text);
    fs::remove_file(&file)?;
    rusqlite::Connection::open(&file)?.execute_batch("CREATE TABLE diary(day TEXT)")?;
    let refused = Bus::embedded_at(folder.path()).err();
    let said = refused
        .map(|refused| refused.to_string())
        .unwrap_or_default();
    assert!(said.contains("of another program"), "{said}");
    Ok(())
}

/// With commits that are not synced a loss of power takes what was written
/// last: what is left is a beginning, so no acknowledgement is left without
/// what it rests on.
#[test]
fn an_acknowledgement_does_not_outlive_what_it_rests_on() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let never = Durability::Interval(Duration::from_hours(1));
        let bus = Bus::embedded_at(Store::at(folder.path()).durability(never))?;
        let orders = bus.stream(&crate::kit::config()).await?;
        let outcomes = StreamConfig::new("OUTCOMES", ["outcomes.*".to_owned()]);
        let written = bus.stream(&outcomes).await?;
        append(&orders, "o-1", "1").await?;
        let mut reader = consumer(&orders).await?;
        let delivery = taken(&mut reader).await?;
        let mut outcome = order("o-1", "1/0");
        outcome.subject = "outcomes.o-1".to_owned();
        written.append(outcome, Expect::Any).await?;
        delivery.ack_confirmed().await?;
        let names = ["callboard.sqlite", "callboard.sqlite-wal"];
        let [base, log] = names.map(|name| fs::read(folder.path().join(name)));
        let (base, log) = (base?, log?);
        let (mut settled, mut again) = (0, 0);
        for cut in (32..=log.len()).step_by(4_096 + 24) {
            let torn = Folder::fresh();
            fs::write(torn.path().join(names[0]), &base)?;
            fs::write(torn.path().join(names[1]), &log[..cut])?;
            let bus = Bus::embedded_at(torn.path())?;
            let orders = bus.stream(&crate::kit::config()).await?;
            if orders.info().await?.messages == 0 {
                continue;
            }
            let written = bus.stream(&outcomes).await?.info().await?.messages;
            let mut reader = consumer(&orders).await?;
            if timeout(Duration::from_millis(50), reader.next())
                .await
                .is_ok()
            {
                again += 1;
            } else {
                assert_eq!(written, 1, "cut at {cut}");
                settled += 1;
            }
        }
        assert!(settled > 0 && again > 0, "{settled} {again}");
        Ok(())
    })
}

/// Copies what a store has on disk, which is open and idle.
fn copied(from: &Path, to: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let [file, log] = FILES;
    fs::copy(from.join(file), to.join(file))?;
    Ok(fs::read(from.join(log))?)
}

const FILES: [&str; 2] = ["callboard.sqlite", "callboard.sqlite-wal"];

/// A log is read up to the first place that is not whole: a write that was cut
/// off is there, and nothing behind it. What is behind damage would be lost
/// without a word.
#[test]
fn damage_in_the_middle_of_the_log_is_told_and_what_is_behind_it_is_kept() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (_bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 20).await?;
        let hurt = Folder::fresh();
        let mut log = copied(folder.path(), hurt.path())?;
        let whole = log.clone();
        let at = log.len() / 2;
        log[at] ^= 1;
        let place = hurt.path().join(FILES[1]);
        fs::write(&place, &log)?;
        let refused = Bus::embedded_at(hurt.path()).err();
        let Some(OpenError::Unreadable { path, reason }) = &refused else {
            return Err(format!("{refused:?}").into());
        };
        assert_eq!(path, &place);
        assert!(reason.contains("truncate -s"), "{reason}");
        let found = Store::at(hurt.path()).check()?;
        assert!(
            found
                .faults
                .iter()
                .any(|fault| fault.contains("damaged at byte")),
            "{found:?}"
        );
        assert_eq!(fs::read(&place)?, log, "neither of the two changed it");
        // Who restores it has all; who cuts it has what is before.
        fs::write(&place, &whole)?;
        let (bus, stream) = opened(hurt.path()).await?;
        assert_eq!(stream.info().await?.messages, 20);
        drop((bus, stream));
        let said: usize = reason
            .split_once("damaged at byte ")
            .and_then(|(_, rest)| rest.split(',').next()?.parse().ok())
            .ok_or("it does not say where")?;
        let cut = Folder::fresh();
        copied(folder.path(), cut.path())?;
        fs::write(cut.path().join(FILES[1]), &log[..said])?;
        let (_cut_bus, stream) = opened(cut.path()).await?;
        let left = stream.info().await?.messages;
        assert!((1..20).contains(&left), "{left}");
        Ok(())
    })
}

#[test]
fn a_log_whose_header_is_damaged_is_told() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (_bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 3).await?;
        for at in [3, 17, 30] {
            let hurt = Folder::fresh();
            let mut log = copied(folder.path(), hurt.path())?;
            log[at] ^= 1;
            fs::write(hurt.path().join(FILES[1]), &log)?;
            let refused = Bus::embedded_at(hurt.path()).err();
            assert!(
                matches!(refused, Some(OpenError::Unreadable { .. })),
                "byte {at}: {refused:?}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_write_that_was_cut_off_is_left_out() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (_bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 20).await?;
        let log = fs::read(folder.path().join(FILES[1]))?;
        for cut in (33..log.len()).step_by(1_001) {
            let torn = Folder::fresh();
            copied(folder.path(), torn.path())?;
            fs::write(torn.path().join(FILES[1]), &log[..cut])?;
            let bus = Bus::embedded_at(torn.path());
            assert!(bus.is_ok(), "cut at {cut}: {:?}", bus.err());
        }
        Ok(())
    })
}

#[test]
fn a_log_with_a_gap_is_used_up_to_it_where_commits_are_not_synced() -> Verdict {
    let folder = Folder::fresh();
    run(async {
        let (_bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 20).await?;
        let hurt = Folder::fresh();
        let mut log = copied(folder.path(), hurt.path())?;
        let at = log.len() / 2;
        log[at] ^= 1;
        fs::write(hurt.path().join(FILES[1]), &log)?;
        let store = Store::at(hurt.path()).durability(Durability::EVERY_SECOND);
        let bus = Bus::embedded_at(store)?;
        let left = bus.stream(&crate::kit::config()).await?.info().await?;
        assert!((1..20).contains(&left.messages), "{left:?}");
        Ok(())
    })
}

#[test]
fn a_store_that_is_gone_is_missed() -> Verdict {
    for gone in [true, false] {
        let folder = Folder::fresh();
        run(async {
            let (bus, stream) = opened(folder.path()).await?;
            fill(&stream, "o-1", 3).await?;
            drop((bus, stream));
            let file = folder.path().join(FILES[0]);
            if gone {
                fs::remove_file(&file)?;
            } else {
                fs::write(&file, "")?;
            }
            for _ in 0..2 {
                let refused = Bus::embedded_at(folder.path()).err();
                let said = refused.map(|refused| refused.to_string());
                let said = said.ok_or("it began anew without a word")?;
                assert!(said.contains("gone or empty"), "{said}");
                assert!(said.contains("start with nothing"), "{said}");
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Opens a store when it is started for that, though its lock file is gone.
#[test]
fn the_lock_holds_without_its_file() -> Verdict {
    if env::var_os(FOLDER).is_some() {
        return Ok(());
    }
    run(async {
        let folder = Folder::fresh();
        let (_bus, _stream) = opened(folder.path()).await?;
        fs::remove_file(folder.path().join("lock"))?;
        let refused = Bus::embedded_at(folder.path()).err();
        assert!(
            matches!(refused, Some(OpenError::InUse { .. })),
            "{refused:?}"
        );
        let said = again("crash::opens_what_another_has", folder.path())?;
        assert!(said.contains("is in use"), "{said}");
        Ok(())
    })
}
