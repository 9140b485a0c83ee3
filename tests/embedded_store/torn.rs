//! Writes that did not end, and damage that no unfinished write explains.

use crate::{
    kit::{Verdict, append, committed, consumer, fill, opened, payloads, run, taken},
    support::folder::Folder,
};
use callboard::bus::{Bus, OpenError};
use std::{error::Error, fs, path::Path};

/// A store, and how long its log was after each message.
struct Written {
    folder: Folder,
    log: Vec<u8>,
    ends: Vec<usize>,
}

const COUNT: usize = 8;

async fn written() -> Result<Written, Box<dyn Error>> {
    let folder = Folder::fresh();
    let (bus, stream) = opened(folder.path()).await?;
    let file = folder.path().join("log");
    let mut ends = Vec::new();
    for number in 1..=COUNT {
        append(&stream, "o-1", &number.to_string()).await?;
        ends.push(fs::read(&file)?.len());
    }
    drop((bus, stream));
    let log = fs::read(file)?;
    Ok(Written { folder, log, ends })
}

/// Copies a store, but for its log.
fn copy(from: &Path, log: &[u8]) -> Result<Folder, Box<dyn Error>> {
    let to = Folder::fresh();
    fs::copy(from.join("state"), to.path().join("state"))?;
    fs::write(to.path().join("log"), log)?;
    Ok(to)
}

/// Opens a store that must hold the first messages, and goes on with it.
async fn goes_on(folder: &Path, count: usize) -> Verdict {
    let expected: Vec<_> = (1..=count).map(|number| number.to_string()).collect();
    let (bus, stream) = opened(folder).await?;
    assert_eq!(payloads(&stream, "orders.*").await?, expected);
    let next = append(&stream, "o-1", "next").await?;
    assert_eq!(next, committed(count as u64 + 1));
    drop((bus, stream));
    let (_bus, stream) = opened(folder).await?;
    let again = payloads(&stream, "orders.o-1").await?;
    assert_eq!(
        (again.len(), again.last().map(String::as_str)),
        (count + 1, Some("next"))
    );
    Ok(())
}

#[test]
fn a_write_torn_at_any_byte_costs_no_earlier_message() -> Verdict {
    run(async {
        let written = written().await?;
        for cut in written.ends[COUNT - 3]..=written.log.len() {
            let whole = written.ends.iter().filter(|end| **end <= cut).count();
            let torn = copy(written.folder.path(), &written.log[..cut])?;
            goes_on(torn.path(), whole)
                .await
                .map_err(|error| format!("cut at {cut}: {error}"))?;
        }
        Ok(())
    })
}

#[test]
fn a_last_write_of_which_any_part_is_missing_is_cut_off() -> Verdict {
    run(async {
        let written = written().await?;
        let start = written.ends[COUNT - 2];
        for from in (start..written.log.len()).step_by(5) {
            let mut log = written.log.clone();
            let to = log.len().min(from + 16);
            log[from..to].fill(0);
            log.extend_from_slice(&[0; 100]);
            let torn = copy(written.folder.path(), &log)?;
            goes_on(torn.path(), COUNT - 1)
                .await
                .map_err(|error| format!("{from}: {error}"))?;
        }
        Ok(())
    })
}

#[test]
fn damage_to_what_was_synced_is_refused_and_nothing_is_cut_off() -> Verdict {
    run(async {
        let written = written().await?;
        for at in (30..written.ends[COUNT - 3]).step_by(7) {
            let mut log = written.log.clone();
            log[at] ^= 0x55;
            let damaged = copy(written.folder.path(), &log)?;
            let Err(OpenError::Unreadable { path, reason }) = Bus::embedded_at(damaged.path())
            else {
                return Err(format!("damage at {at} was not seen").into());
            };
            assert!(
                path.ends_with("log") && reason.contains("damaged at byte"),
                "{reason}"
            );
            assert_eq!(fs::read(path)?, log);
        }
        Ok(())
    })
}

#[test]
fn places_torn_at_any_byte_go_back_to_earlier_ones() -> Verdict {
    run(async {
        let folder = Folder::fresh();
        let (bus, stream) = opened(folder.path()).await?;
        fill(&stream, "o-1", 4).await?;
        let mut reader = consumer(&stream).await?;
        let state = folder.path().join("state");
        let declared = fs::read(&state)?.len();
        for _ in 0..3 {
            taken(&mut reader).await?.ack_confirmed().await?;
        }
        let whole = fs::read(&state)?;
        let log = fs::read(folder.path().join("log"))?;
        let mut earlier = 0;
        for cut in declared..=whole.len() {
            let torn = copy(folder.path(), &log)?;
            fs::write(torn.path().join("state"), &whole[..cut])?;
            let (_bus, stream) = opened(torn.path()).await?;
            let next = taken(&mut consumer(&stream).await?).await?.message.sequence;
            assert!(next >= earlier, "cut at {cut}: {next} after {earlier}");
            earlier = next;
        }
        assert_eq!(earlier, 4);
        drop((bus, stream, reader));
        Ok(())
    })
}

#[test]
fn a_log_that_lost_messages_its_consumers_saw_starts_them_at_its_end() -> Verdict {
    run(async {
        let written = written().await?;
        let (bus, stream) = opened(written.folder.path()).await?;
        let mut reader = consumer(&stream).await?;
        for _ in 0..COUNT {
            taken(&mut reader).await?.ack_confirmed().await?;
        }
        drop((bus, stream, reader));
        let torn = copy(written.folder.path(), &written.log[..written.ends[4]])?;
        let (_bus, stream) = opened(torn.path()).await?;
        append(&stream, "o-1", "next").await?;
        let next = taken(&mut consumer(&stream).await?).await?;
        assert_eq!(next.message.sequence, 6);
        Ok(())
    })
}
