use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// Messages in order per key, parallel across keys.
///
/// Each key has a lane; only the head of a lane is worked on. Slots name
/// messages while they are held, and are used again afterwards.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    held: Vec<Option<Held<T>>>,
    free: Vec<usize>,
    /// The last message of each lane.
    ends: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Held<T> {
    item: T,
    key: Arc<str>,
    /// The one behind it in its lane.
    next: Option<usize>,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { held: Vec::new(), free: Vec::new(), ends: HashMap::new() }
    }

    /// Returns how many messages are held.
    pub(super) fn len(&self) -> usize {
        self.held.len() - self.free.len()
    }

    /// Takes a message in; returns its slot if it is the head of its lane.
    pub(super) fn arrive(&mut self, key: Arc<str>, item: T) -> Option<usize> {
        let held = Some(Held { item, key: Arc::clone(&key), next: None });
        let slot = if let Some(slot) = self.free.pop() {
            self.held[slot] = held;
            slot
        } else {
            self.held.push(held);
            self.held.len() - 1
        };
        match self.ends.entry(key) {
            Entry::Vacant(lane) => {
                lane.insert(slot);
                Some(slot)
            }
            Entry::Occupied(mut lane) => {
                let before = lane.insert(slot);
                let before = self.held[before].as_mut();
                before.expect("a lane ends in a held message").next = Some(slot);
                None
            }
        }
    }

    /// Returns a held message.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.held.get_mut(slot)?.as_mut().map(|held| &mut held.item)
    }

    /// Lets the head of a lane go; returns it, and the lane's next head.
    pub(super) fn leave(&mut self, slot: usize) -> Option<(T, Option<usize>)> {
        let held = self.held.get_mut(slot)?.take()?;
        self.free.push(slot);
        if held.next.is_none() {
            self.ends.remove(&held.key);
        }
        Some((held.item, held.next))
    }

    /// Returns all held messages with their slots.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.held
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, held)| held.as_mut().map(|held| (slot, &mut held.item)))
    }

    /// Takes all held messages out.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        self.ends.clear();
        self.free.clear();
        self.held
            .drain(..)
            .flatten()
            .map(|held| held.item)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;

    #[test]
    fn one_message_of_a_key_is_out_at_a_time_and_keys_do_not_wait_for_each_other() {
        let mut lanes = Lanes::new();
        let first = lanes.arrive("a".into(), 1);
        assert!(first.is_some());
        assert_eq!(lanes.arrive("a".into(), 2), None);
        let other = lanes.arrive("b".into(), 3);
        assert!(other.is_some() && other != first);

        let (item, next) = lanes.leave(first.unwrap()).unwrap();
        assert_eq!(item, 1);
        assert_eq!(lanes.get_mut(next.unwrap()), Some(&mut 2));
        assert_eq!(lanes.leave(next.unwrap()), Some((2, None)));
        assert!(
            lanes.arrive("a".into(), 4).is_some(),
            "an empty lane is open again"
        );
        assert_eq!(lanes.len(), 2);
    }

    #[test]
    fn slots_are_used_again() {
        let mut lanes = Lanes::new();
        for round in 0..1_000 {
            let slot = lanes.arrive("k".into(), round).unwrap();
            assert_eq!(slot, 0);
            lanes.leave(slot);
        }
        assert_eq!(lanes.len(), 0);
    }
}
