//! What processes take of the processor.

use super::Outcome;
use std::{fs, time::Duration};
use tokio::time::{Instant, interval_at};

/// The unit of times in `/proc`, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures the share of a core that each process takes over a span, which begins
/// after it had some time to settle.
pub(crate) async fn shares(
    pids: &[u32],
    (settling, span): (Duration, Duration),
) -> Outcome<Vec<f64>> {
    let all = || {
        pids.iter()
            .map(|pid| ticks(*pid))
            .collect::<Outcome<Vec<_>>>()
    };
    let mut windows = interval_at(Instant::now() + settling, span);
    windows.tick().await;
    let before = all()?;
    windows.tick().await;
    let taken = all()?.into_iter().zip(before);
    let whole = TICKS_PER_SECOND * span.as_secs_f64();
    Ok(taken
        .map(|(after, before)| (after - before) / whole)
        .collect())
}

/// Reads how long a process was on a core, in ticks.
fn ticks(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("a name stands in brackets")?;
    let mut fields = fields.split(' ').skip(11);
    let (user, system) = (fields.next(), fields.next());
    let (user, system) = user.zip(system).ok_or("there are 52 fields")?;
    Ok(user.parse::<f64>()? + system.parse::<f64>()?)
}
