//! Who listens to every sign of life, and who passes on what the listeners heard.

use std::time::Duration;
use tokio::time::Instant;

/// Up to so many nodes all listen to all.
const FEW: usize = 8;
/// Among more, so many listen, one of them passes on, the others stand by.
pub(super) const RELAYS: usize = 3;

/// Decides for one node what it does for the others.
///
/// Among many nodes, those with the first names are relays: they listen to all
/// signs of life, and the first of them tells everybody twice per heartbeat who
/// is there. So a node hears two words per heartbeat, however many others there
/// are. A relay that hears nothing of the one before it takes over, and one that
/// is no relay listens for itself while nobody tells it anything.
#[derive(Debug)]
pub(super) struct Relay {
    heartbeat: Duration,
    /// When somebody told who is there.
    told: Instant,
    /// Until when silence means nothing: it was not listened to others before.
    deaf_until: Instant,
}

/// What a node does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Duty {
    /// It listens to all signs of life.
    pub(super) listens: bool,
    /// It tells all who is there.
    pub(super) tells: bool,
}

impl Relay {
    pub(super) const fn new(heartbeat: Duration, now: Instant) -> Self {
        Self { heartbeat, told: now, deaf_until: now }
    }

    /// Notes that somebody told who is there; perhaps this node itself.
    pub(super) fn told(&mut self, now: Instant) {
        self.told = now;
    }

    /// Notes that the node has begun to listen: every other speaks within a heartbeat.
    pub(super) fn listens_now(&mut self, now: Instant) {
        self.deaf_until = now + self.heartbeat * 3 / 2;
    }

    /// Whether who is silent may be taken for gone.
    pub(super) fn trusts_silence(&self, now: Instant) -> bool {
        now >= self.deaf_until
    }

    /// Says what to do among so many nodes, of which so many have names before
    /// this one's; more than [`RELAYS`] need not be counted.
    pub(super) fn duty(&mut self, now: Instant, (nodes, before): (usize, usize)) -> Duty {
        if nodes <= FEW {
            self.told = now;
            return Duty { listens: true, tells: false };
        }
        let silence = now.duration_since(self.told);
        let rank = u32::try_from(before).unwrap_or(u32::MAX);
        let is_relay = before < RELAYS;
        // Those behind wait a little longer, so that one speaks.
        let turn = self.heartbeat / 8 * (4_u32.saturating_add(rank).min(8));
        Duty {
            listens: is_relay || silence > self.heartbeat * 4 / 5,
            tells: is_relay && silence >= turn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(8);

    fn duty(relay: &mut Relay, now: Instant, place: (usize, usize)) -> (bool, bool) {
        let Duty { listens, tells } = relay.duty(now, place);
        (listens, tells)
    }

    #[test]
    fn among_few_all_listen_and_nobody_tells() {
        let now = Instant::now();
        let mut relay = Relay::new(HEARTBEAT, now);
        for before in 0..FEW {
            let later = now + HEARTBEAT * 9;
            assert_eq!(duty(&mut relay, later, (FEW, before)), (true, false));
        }
    }

    #[test]
    fn among_many_the_first_tells_twice_per_heartbeat_and_the_others_stand_by() {
        let now = Instant::now();
        let place = |before| (100, before);
        for (before, seconds) in [(0, 4), (1, 5), (2, 6)] {
            let mut relay = Relay::new(HEARTBEAT, now);
            let turn = now + Duration::from_secs(seconds);
            let early = turn - Duration::from_millis(1);
            assert_eq!(duty(&mut relay, early, place(before)), (true, false));
            assert_eq!(duty(&mut relay, turn, place(before)), (true, true));
            relay.told(turn);
            assert_eq!(duty(&mut relay, turn, place(before)), (true, false));
        }
    }

    #[test]
    fn who_is_told_nothing_listens_and_does_not_trust_silence_at_once() {
        let now = Instant::now();
        let mut relay = Relay::new(HEARTBEAT, now);
        let told = now + Duration::from_secs(6);
        assert_eq!(duty(&mut relay, told, (100, 3)), (false, false));
        let deaf = now + Duration::from_secs(7);
        assert_eq!(duty(&mut relay, deaf, (100, 3)), (true, false));
        assert!(relay.trusts_silence(deaf));
        relay.listens_now(deaf);
        assert!(!relay.trusts_silence(deaf + HEARTBEAT));
        assert!(relay.trusts_silence(deaf + HEARTBEAT * 3 / 2));
        relay.told(deaf);
        assert_eq!(duty(&mut relay, deaf, (100, 3)), (false, false));
    }
}
