//! Rounds, and the lines they end in.

use super::wanted;
use std::time::Duration;

/// How often each side runs after its warm-up.
const ROUNDS: usize = 7;

/// What one side did in one round.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) count: u64,
    pub(crate) took: Duration,
    /// How long each took, where that is known.
    pub(crate) each: Vec<Duration>,
}

impl Round {
    pub(crate) const fn of(count: u64, took: Duration) -> Self {
        Self { count, took, each: Vec::new() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

/// Runs both sides in turn and prints their line.
pub(crate) async fn compare(
    name: &str,
    ours: impl AsyncFnMut() -> Round,
    raw: impl AsyncFnMut() -> Round,
) {
    compare_so(name, "", ours, raw).await;
}

/// The same, with more to say of the measure.
pub(crate) async fn compare_so(
    name: &str,
    more: &str,
    mut ours: impl AsyncFnMut() -> Round,
    mut raw: impl AsyncFnMut() -> Round,
) {
    if !wanted(name) {
        return;
    }
    drop((ours().await, raw().await));
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.push(ours().await);
        theirs.push(raw().await);
    }
    report(name, &mine, &theirs, more);
}

/// Prints a measure's line. The ratio is the median of the rounds' ratios, so
/// that a drift of the machine between rounds does not count.
#[expect(clippy::print_stdout, reason = "this is what a bench is for")]
pub(crate) fn report(name: &str, ours: &[Round], raw: &[Round], more: &str) {
    let ratios = ours
        .iter()
        .zip(raw)
        .map(|(ours, raw)| ours.rate() / raw.rate());
    let rate = |rounds: &[Round]| median(rounds.iter().map(Round::rate));
    println!(
        "name={name} ours={:.0}/s raw={:.0}/s ratio={:.2}{}{}{more}",
        rate(ours),
        rate(raw),
        median(ratios),
        times(ours, ""),
        times(raw, "raw_"),
    );
}

/// Writes how long each took: two percentiles, or the mean where only that is known.
fn times(rounds: &[Round], side: &str) -> String {
    let each = rounds.iter().flat_map(|round| &round.each);
    let mut each: Vec<Duration> = each.copied().collect();
    each.sort_unstable();
    if let (Some(half), Some(most)) = (at(&each, 50), at(&each, 99)) {
        return format!(" {side}p50={half:.1?} {side}p99={most:.1?}");
    }
    let mean = 1e9 / median(rounds.iter().map(Round::rate));
    format!(" {side}ns={mean:.0}")
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn at(sorted: &[Duration], percent: usize) -> Option<Duration> {
    sorted.get(sorted.len() * percent / 100).copied()
}
