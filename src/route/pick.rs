use super::{Spread, hash::share, split::split};

/// The instances that may be chosen: each is asked only for what the choice depends
/// on, for there may be many, and this is done for every call.
pub(super) trait Candidates {
    fn count(&self) -> usize;
    fn id(&self, place: usize) -> &str;
    /// Returns its share, if shares are asked for.
    fn weight(&self, place: usize) -> u32;
    /// Returns how many calls from here it has at hand.
    fn load(&self, place: usize) -> usize;
    /// Returns whether it is this process.
    fn is_here(&self, place: usize) -> bool;
    /// Returns whether it is in this region.
    fn is_near(&self, place: usize) -> bool;
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
pub(super) fn pick(spread: Spread, all: &impl Candidates, draw: Draw<'_>) -> Option<usize> {
    let count = all.count();
    if count == 0 {
        return None;
    }
    let any = || least(all, (count, |nth| nth), draw);
    match spread {
        Spread::Queue => None,
        Spread::RoundRobin => Some(draw.turn % count),
        Spread::Random => Some(at(draw.random[0], count)),
        Spread::Weighted => weighted(all, draw.random[0]),
        Spread::LeastInFlight => Some(any()),
        Spread::Key if draw.key.is_empty() => Some(any()),
        Spread::Key => {
            let named = |place| (all.id(place), all.weight(place), place);
            split(draw.key, (0..count).map(named))
        }
        Spread::Local => {
            let here = (0..count).find(|&place| all.is_here(place));
            here.or_else(|| Some(any()))
        }
        Spread::Region => {
            let has_room = |place: &usize| all.is_near(*place) && all.load(*place) < draw.overflow;
            let room: Vec<_> = (0..count).filter(has_room).collect();
            Some(match room.len() {
                0 => any(),
                few => least(all, (few, |nth| room[nth]), draw),
            })
        }
    }
}

/// Chooses the less busy of two that are drawn among some, of which there is one.
fn least(
    all: &impl Candidates,
    (count, place): (usize, impl Fn(usize) -> usize),
    draw: Draw<'_>,
) -> usize {
    let one = at(draw.random[0], count);
    let Some(others) = std::num::NonZeroUsize::new(count - 1) else {
        return place(one);
    };
    let other = (one + 1 + at(draw.random[1], others.get())) % count;
    let (one, other) = (place(one), place(other));
    if all.load(other) < all.load(one) {
        other
    } else {
        one
    }
}

fn weighted(all: &impl Candidates, random: u64) -> Option<usize> {
    let weight = |place| u64::from(all.weight(place));
    let total: u64 = (0..all.count()).map(weight).sum();
    if total == 0 {
        return None;
    }
    let mut left = random % total;
    (0..all.count()).find(|&place| {
        let weight = weight(place);
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

    struct Candidate {
        id: &'static str,
        weight: u32,
        load: usize,
        is_here: bool,
        is_near: bool,
    }

    impl Candidates for Vec<Candidate> {
        fn count(&self) -> usize {
            self.len()
        }

        fn id(&self, place: usize) -> &str {
            self[place].id
        }

        fn weight(&self, place: usize) -> u32 {
            self[place].weight
        }

        fn load(&self, place: usize) -> usize {
            self[place].load
        }

        fn is_here(&self, place: usize) -> bool {
            self[place].is_here
        }

        fn is_near(&self, place: usize) -> bool {
            self[place].is_near
        }
    }

    fn candidates(ids: &[&'static str]) -> Vec<Candidate> {
        let one = |&id| Candidate { id, weight: 1, load: 0, is_here: false, is_near: false };
        ids.iter().map(one).collect()
    }

    fn counts(spread: Spread, all: &Vec<Candidate>, key: impl Fn(usize) -> String) -> Vec<usize> {
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
    fn one_without_weight_is_never_chosen_where_weights_count() {
        let mut all = candidates(&["a", "b", "c"]);
        all[1].weight = 0;
        let keyed = counts(Spread::Key, &all, |turn| format!("k{turn}"));
        for counts in [counts(Spread::Weighted, &all, no_key), keyed] {
            assert_eq!(counts[1], 0, "{counts:?}");
            assert!(counts[0] > 4_000 && counts[2] > 4_000, "{counts:?}");
        }
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
        assert_eq!(pick(Spread::Random, &Vec::new(), draw), None);
    }
}
