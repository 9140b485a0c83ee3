//! What the message room promises: keys, headers, and bytes from anywhere.
//!
//! Random cases print their seed; `CALLBOARD_SEED=<number>` runs them again.

mod codec;
mod envelope;
mod hostile;
mod key;
mod request;
mod status;
mod strategies;

/// Returns a random number generator, and prints the seed that failed or not.
fn random() -> fastrand::Rng {
    let given = std::env::var("CALLBOARD_SEED").ok();
    let seed = given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("CALLBOARD_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
