use super::{Backoff, Intensity, Strategy, intensity::Window};
use crate::actor::{Exit, Restart};
use std::{ops::Range, time::Duration};
use tokio::time::Instant;

/// Decides, for one group, what follows when a child ended. It does nothing itself.
///
/// Children are known by their position, and start from left to right. The
/// machine of a group that is started again is a new one: temporary children
/// are back then, and no restarts are counted.
#[derive(Debug)]
pub(crate) struct Machine {
    strategy: Strategy,
    window: Window,
    backoff: Backoff,
    children: Vec<Child>,
}

/// What the machine knows of one child.
#[derive(Debug)]
struct Child {
    restart: Restart,
    /// Whether it is in the group; a temporary child that ended is not.
    present: bool,
    /// Whether it runs, or is about to.
    up: bool,
    /// Restarts in a row, none of them followed by a quiet time.
    consecutive: u32,
    /// When the quiet time is over; nothing if that is never.
    quiet_at: Option<Instant>,
}

/// What follows when a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The child stays away; nothing else changes. A transient child comes back
    /// with the restart of a sibling that reaches it, a temporary one never.
    Remove,
    /// Stop some siblings, then start some children after a delay.
    ///
    /// This replaces what an earlier decision still has to do for the children
    /// named here. To stop a child that does not run is nothing.
    Restart {
        /// The siblings to stop first, in this order: right to left.
        stop: Vec<usize>,
        /// Those of the stopped that are temporary, and stay away.
        remove: Vec<usize>,
        /// The children to start then, in this order: left to right. The one
        /// that ended is among them.
        start: Vec<usize>,
        /// How long to wait between stopping and starting.
        after: Duration,
    },
    /// Too many restarts: the group fails towards its parent.
    Escalate {
        /// All siblings, to be stopped in this order: right to left.
        stop: Vec<usize>,
    },
}

impl Machine {
    /// Makes the machine of a group whose children are all present.
    pub(crate) fn new(
        strategy: Strategy,
        intensity: Intensity,
        backoff: Backoff,
        children: Vec<Restart>,
    ) -> Self {
        let children = children.into_iter().map(Child::new).collect();
        Self { strategy, window: Window::new(intensity), backoff, children }
    }

    /// Decides what follows when child `index` ended by itself at `now`.
    ///
    /// A child that could not be started again failed once more. The end of a
    /// child that was stopped on a decision is none of this: it is not told here.
    /// The `jitter` is in 0.0..1.0.
    ///
    /// # Panics
    ///
    /// Panics if there is no such child.
    pub(crate) fn ended(
        &mut self,
        index: usize,
        exit: Exit,
        now: Instant,
        jitter: f64,
    ) -> Decision {
        let child = &mut self.children[index];
        if !child.up || !child.restart.follows(exit) {
            child.up = false;
            child.present = child.restart != Restart::Temporary;
            return Decision::Remove;
        }
        if self.window.exceeded_by(now) {
            return Decision::Escalate { stop: self.siblings(index, 0..self.children.len()) };
        }

        let after = child.next_delay(&self.backoff, now, jitter);
        let reach = self.strategy.restarts(index, self.children.len());
        let stop = self.siblings(index, reach.clone());
        let remove = self.forget_temporary(&stop);
        let start: Vec<_> = reach.filter(|&i| self.children[i].present).collect();
        for &i in &start {
            self.children[i].up = true;
        }
        Decision::Restart { stop, remove, start, after }
    }

    /// Returns the running siblings of a child within a range, right to left.
    fn siblings(&self, index: usize, range: Range<usize>) -> Vec<usize> {
        range
            .rev()
            .filter(|&i| i != index && self.children[i].up)
            .collect()
    }

    /// Removes the temporary ones of some children, and returns them.
    fn forget_temporary(&mut self, stopped: &[usize]) -> Vec<usize> {
        let mut gone = stopped.to_vec();
        gone.retain(|&i| self.children[i].restart == Restart::Temporary);
        for &i in &gone {
            self.children[i].present = false;
            self.children[i].up = false;
        }
        gone
    }
}

impl Child {
    const fn new(restart: Restart) -> Self {
        Self { restart, present: true, up: true, consecutive: 0, quiet_at: None }
    }

    /// Counts one more restart in a row, and returns how long it has to wait.
    fn next_delay(&mut self, backoff: &Backoff, now: Instant, jitter: f64) -> Duration {
        if self.quiet_at.is_some_and(|at| at <= now) {
            self.consecutive = 0;
        }
        let delay = backoff.delay(self.consecutive, jitter);
        self.consecutive = self.consecutive.saturating_add(1);
        // The quiet time begins with the restart: a long delay is no sign of health.
        self.quiet_at = now.checked_add(delay.saturating_add(backoff.quiet_time()));
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision, Machine};
    use crate::{
        actor::{Exit, Restart},
        supervision::{Backoff, Intensity, Strategy},
    };
    use std::time::Duration;
    use tokio::time::Instant;

    fn alone(intensity: Intensity) -> Machine {
        let children = vec![Restart::Permanent];
        Machine::new(Strategy::OneForOne, intensity, Backoff::default(), children)
    }

    fn delay(machine: &mut Machine, now: Instant) -> Duration {
        match machine.ended(0, Exit::Failed, now, 1.0) {
            Decision::Restart { after, .. } => after,
            other => panic!("no restart but {other:?}"),
        }
    }

    #[test]
    fn by_default_a_child_that_crashes_on_every_start_never_escalates() {
        for jitter in [0.0, 0.5, 1.0] {
            let (mut machine, mut now) = (alone(Intensity::default()), Instant::now());
            for _ in 0..1_000 {
                let decision = machine.ended(0, Exit::Failed, now, jitter);
                let Decision::Restart { after, .. } = decision else {
                    panic!("escalated with a jitter of {jitter}");
                };
                now += after;
            }
        }
    }

    #[test]
    fn delays_grow_with_each_failure_and_start_over_after_a_quiet_time() {
        let (mut machine, now) = (alone(Intensity::default()), Instant::now());
        let ms = Duration::from_millis;
        assert_eq!(delay(&mut machine, now), ms(0));
        assert_eq!(delay(&mut machine, now + ms(1)), ms(100));
        assert_eq!(delay(&mut machine, now + ms(101)), ms(200));
        let restarted = now + ms(101) + ms(200);
        assert_eq!(delay(&mut machine, restarted + ms(9_999)), ms(400));
        let restarted = restarted + ms(9_999) + ms(400);
        assert_eq!(delay(&mut machine, restarted + ms(10_000)), ms(0));
    }

    #[test]
    fn a_quiet_time_without_end_never_starts_over() {
        let backoff = Backoff::default().quiet(Duration::MAX);
        let children = vec![Restart::Permanent];
        let mut machine =
            Machine::new(Strategy::OneForOne, Intensity::default(), backoff, children);
        let now = Instant::now();
        assert_eq!(delay(&mut machine, now), Duration::ZERO);
        let later = now + Duration::from_hours(24);
        assert_eq!(delay(&mut machine, later), Duration::from_millis(100));
    }
}
