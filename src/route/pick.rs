use super::{Spread, hash::share, split::split};

/// One instance that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) id: &'a str,
    /// Its share, if shares are asked for.
    pub(super) weight: u32,
    /// How many calls from here it has at hand.
    pub(super) load: usize,
    /// Whether it is this process.
    pub(super) is_here: bool,
    /// Whether it is in this region.
    pub(super) is_near: bool,
}

/// What a choice depends on beside the candidates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw<'a> {
    pub(super) key: &'a str,
    /// Counts the calls.
    pub(super) turn: usize,
    /// Two random numbers.
    pub(super) random: [u64; 2],
    /// How many calls an instance of this region may have at hand before others get some.
    pub(super) overflow: usize,
}

/// Chooses one of the candidates; nothing if a queue is to choose, or there are none.
pub(super) fn pick(spread: Spread, all: &[Candidate<'_>], draw: Draw<'_>) -> Option<usize> {
    if all.is_empty() {
        return None;
    }
    let every = 0..all.len();
    match spread {
        Spread::Queue => None,
        Spread::RoundRobin => Some(draw.turn % all.len()),
        Spread::Random => Some(at(draw.random[0], all.len())),
        Spread::Weighted => weighted(all, draw.random[0]),
        Spread::LeastInFlight => least(all, &every.collect::<Vec<_>>(), draw),
        Spread::Key if draw.key.is_empty() => least(all, &every.collect::<Vec<_>>(), draw),
        Spread::Key => split(
            draw.key,
            all.iter()
                .enumerate()
                .map(|(at, it)| (it.id, it.weight.max(1), at)),
        ),
        Spread::Local => {
            let here = all.iter().position(|it| it.is_here);
            here.or_else(|| least(all, &every.collect::<Vec<_>>(), draw))
        }
        Spread::Region => {
            let near = every
                .clone()
                .filter(|&at| all[at].is_near)
                .collect::<Vec<_>>();
            let idle = |at: &usize| all[*at].load < draw.overflow;
            let room: Vec<_> = near.into_iter().filter(idle).collect();
            let room = if room.is_empty() {
                every.collect()
            } else {
                room
            };
            least(all, &room, draw)
        }
    }
}

/// Chooses the less busy of two that are drawn.
fn least(all: &[Candidate<'_>], among: &[usize], draw: Draw<'_>) -> Option<usize> {
    if among.is_empty() {
        return None;
    }
    let one = at(draw.random[0], among.len());
    let Some(others) = std::num::NonZeroUsize::new(among.len() - 1) else {
        return Some(among[one]);
    };
    let other = (one + 1 + at(draw.random[1], others.get())) % among.len();
    let (one, other) = (among[one], among[other]);
    Some(if all[other].load < all[one].load {
        other
    } else {
        one
    })
}

fn weighted(all: &[Candidate<'_>], random: u64) -> Option<usize> {
    let total: u64 = all.iter().map(|it| u64::from(it.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut left = random % total;
    all.iter().position(|it| {
        let weight = u64::from(it.weight);
        let is_it = left < weight;
        left = left.saturating_sub(weight);
        is_it
    })
}

/// Turns a random number into a place.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are few places"
)]
fn at(random: u64, places: usize) -> usize {
    ((share(random) * places as f64) as usize).min(places - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(ids: &[&'static str]) -> Vec<Candidate<'static>> {
        let one = |&id| Candidate { id, weight: 1, load: 0, is_here: false, is_near: false };
        ids.iter().map(one).collect()
    }

    fn counts(spread: Spread, all: &[Candidate<'_>], key: impl Fn(usize) -> String) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0; all.len()];
        for turn in 0..10_000 {
            let random = [random.u64(..), random.u64(..)];
            let draw = Draw { key: &key(turn), turn, random, overflow: 10 };
            counts[pick(spread, all, draw).expect("there is one")] += 1;
        }
        counts
    }

    fn no_key(_: usize) -> String {
        String::new()
    }

    #[test]
    fn each_spread_keeps_its_shares() {
        let mut all = candidates(&["a", "b", "c", "d"]);
        assert_eq!(counts(Spread::RoundRobin, &all, no_key), [2_500; 4]);
        for spread in [
            Spread::Random,
            Spread::LeastInFlight,
            Spread::Local,
            Spread::Region,
        ] {
            let counts = counts(spread, &all, no_key);
            assert!(
                counts.iter().all(|count| (2_350..2_650).contains(count)),
                "{counts:?}"
            );
        }
        all[0].weight = 7;
        let shares = counts(Spread::Weighted, &all, no_key);
        assert!((6_850..7_150).contains(&shares[0]), "{shares:?}");
        let keyed = counts(Spread::Key, &all, |turn| format!("k{turn}"));
        assert!((6_850..7_150).contains(&keyed[0]), "{keyed:?}");
    }

    #[test]
    fn the_busy_one_is_never_the_better_of_two() {
        let mut all = candidates(&["a", "b", "c"]);
        all[1].load = 5;
        let counts = counts(Spread::LeastInFlight, &all, no_key);
        assert_eq!(counts[1], 0, "{counts:?}");
    }

    #[test]
    fn what_is_here_or_near_comes_first_until_it_is_full() {
        let mut all = candidates(&["a", "b", "c"]);
        all[2].is_here = true;
        assert_eq!(counts(Spread::Local, &all, no_key), [0, 0, 10_000]);
        all[0].is_near = true;
        assert_eq!(counts(Spread::Region, &all, no_key), [10_000, 0, 0]);
        all[0].load = 10;
        let spilt = counts(Spread::Region, &all, no_key);
        assert_eq!(spilt[0], 0, "{spilt:?}");
    }

    #[test]
    fn a_queue_or_nobody_is_no_choice() {
        let draw = Draw { key: "k", turn: 0, random: [1, 2], overflow: 10 };
        assert_eq!(pick(Spread::Queue, &candidates(&["a"]), draw), None);
        assert_eq!(pick(Spread::Random, &[], draw), None);
    }
}
