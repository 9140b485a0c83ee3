use super::hash::{hash, share};

/// Chooses one of several weighted names for a key: the same key gets the same
/// one, however often and wherever it is asked.
///
/// Shares are as the weights say. When a weight changes, or a name comes or goes,
/// only the keys move that must: the others keep what they had.
pub(super) fn split<'a, T>(
    key: &str,
    names: impl IntoIterator<Item = (&'a str, u32, T)>,
) -> Option<T> {
    // Weighted rendezvous: of one exponential clock per name, the first to ring.
    let clocks = names.into_iter().filter(|(_, weight, _)| *weight > 0);
    let rung = clocks.map(|(name, weight, it)| {
        let time = -share(hash(name, key)).ln() / f64::from(weight);
        (time, it)
    });
    let first = rung.min_by(|(one, _), (other, _)| one.total_cmp(other));
    first.map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u32 = 100_000;

    fn chosen(weights: &[(&'static str, u32)]) -> Vec<&'static str> {
        let one = |key| {
            let names = weights.iter().map(|&(name, weight)| (name, weight, name));
            split(&format!("o-{key}"), names).expect("there is one")
        };
        (0..KEYS).map(one).collect()
    }

    fn count(chosen: &[&str], name: &str) -> f64 {
        let of = chosen.iter().filter(|it| **it == name).count();
        f64::from(u32::try_from(of).expect("it is small")) / f64::from(KEYS)
    }

    fn moves(before: &[&'static str], after: &[&'static str]) -> Vec<(&'static str, &'static str)> {
        let pairs = before.iter().copied().zip(after.iter().copied());
        let mut moved: Vec<_> = pairs.filter(|(before, after)| before != after).collect();
        moved.sort_unstable();
        moved.dedup();
        moved
    }

    #[test]
    fn ninety_and_ten_are_that_within_a_percent() {
        let all = chosen(&[("1", 90), ("2", 10)]);
        assert!(
            (count(&all, "2") - 0.10).abs() < 0.01,
            "{}",
            count(&all, "2")
        );
        assert_eq!(
            all,
            chosen(&[("2", 10), ("1", 90)]),
            "their order means nothing"
        );
    }

    #[test]
    fn as_a_canary_grows_keys_move_one_way_only() {
        let mut before = chosen(&[("1", 100), ("2", 0)]);
        for weight in [10, 25, 50, 90, 100] {
            let after = chosen(&[("1", 100 - weight), ("2", weight)]);
            assert_eq!(moves(&before, &after), [("1", "2")], "at {weight}");
            before = after;
        }
        assert!(before.iter().all(|name| *name == "2"));
    }

    #[test]
    fn who_comes_takes_its_share_and_who_goes_leaves_only_its_own() {
        let two = chosen(&[("a", 1), ("b", 1)]);
        let three = chosen(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(moves(&two, &three), [("a", "c"), ("b", "c")]);
        assert_eq!(moves(&three, &two), [("c", "a"), ("c", "b")]);
        assert!((count(&three, "c") - 1.0 / 3.0).abs() < 0.01);
    }

    #[test]
    fn without_weight_there_is_no_choice() {
        assert_eq!(split("k", [("a", 0, ())]), None);
    }
}
