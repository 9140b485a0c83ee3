use schemas::OrderId;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

/// The number of closed orders that are known one by one.
const KNOWN: usize = 1_024;

/// The orders that a product is done with: their number, and the last of them.
///
/// Whoever says how many there were when an order was open for certain, is told
/// whether it is closed by now, or that this was too long ago to say. So the memory
/// is bounded, and no order is taken for open that is closed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(super) struct Closed {
    count: u64,
    last: VecDeque<u64>,
    /// How often each is among the last.
    known: HashMap<u64, u32>,
}

/// What is known of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    Closed,
    /// Too many were closed since it was seen open.
    Unknown,
}

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    count: u64,
    last: Vec<u64>,
}

impl Closed {
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Notes that an order is done with.
    pub(super) fn add(&mut self, order: &OrderId) {
        self.count += 1;
        self.push(mark(order));
    }

    /// Whether an order is among the last.
    pub(super) fn knows(&self, order: &OrderId) -> bool {
        self.known.contains_key(&mark(order))
    }

    /// Says how an order stands that was open when so many were closed.
    pub(super) fn standing(&self, order: &OrderId, since: u64) -> Standing {
        if self.knows(order) {
            Standing::Closed
        } else if self.count - since.min(self.count) <= KNOWN as u64 {
            Standing::Open
        } else {
            Standing::Unknown
        }
    }

    fn push(&mut self, mark: u64) {
        self.last.push_back(mark);
        *self.known.entry(mark).or_default() += 1;
        if self.last.len() > KNOWN
            && let Some(oldest) = self.last.pop_front()
            && let Some(often) = self.known.get_mut(&oldest)
        {
            *often -= 1;
            if *often == 0 {
                self.known.remove(&oldest);
            }
        }
    }
}

impl From<Kept> for Closed {
    fn from(kept: Kept) -> Self {
        let mut closed = Self { count: kept.count, ..Self::default() };
        for mark in kept.last {
            closed.push(mark);
        }
        closed
    }
}

impl From<Closed> for Kept {
    fn from(closed: Closed) -> Self {
        Self { count: closed.count, last: closed.last.into() }
    }
}

/// Tells an order from others in few bytes, the same in every version (FNV-1a).
fn mark(order: &OrderId) -> u64 {
    let bytes = order.as_str().bytes();
    bytes.fold(0xcbf2_9ce4_8422_2325, |mark, byte| {
        (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: usize) -> OrderId {
        OrderId::new(format!("o-{n}"))
    }

    #[test]
    fn no_order_that_is_closed_is_taken_for_open() {
        let mut closed = Closed::default();
        for n in 0..3 * KNOWN {
            let since = closed.count();
            closed.add(&order(n));
            assert_eq!(closed.standing(&order(n), since), Standing::Closed);
            if let Some(early) = n.checked_sub(KNOWN) {
                let seen_open = early as u64;
                assert_eq!(closed.standing(&order(early), seen_open), Standing::Unknown);
            }
            assert_eq!(
                closed.standing(&order(n + 1), closed.count()),
                Standing::Open
            );
        }
        assert_eq!(closed.standing(&order(9_999), 0), Standing::Unknown);
        assert!(closed.last.len() == KNOWN && closed.known.len() == KNOWN);
    }

    #[test]
    fn it_is_kept_as_it_is() {
        let mut closed = Closed::default();
        for n in 0..2 * KNOWN {
            closed.add(&order(n));
            closed.add(&order(n));
        }
        let again = Closed::from(Kept::from(closed.clone()));
        assert_eq!((again.count, &again.last), (closed.count, &closed.last));
        assert_eq!(again.known, closed.known);
    }
}
