//! Every interleaving of threads that pass a breaker: the gate's own sources,
//! built over loom's atomics and locks.

#![allow(
    clippy::allow_attributes,
    reason = "the sources are shared with the library"
)]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::pedantic,
    reason = "so they are"
)]

#[path = "../../src/policy/breaker/mod.rs"]
mod breaker;
#[path = "../../src/policy/ring.rs"]
mod ring;
#[path = "../../src/span.rs"]
mod span;

/// What the gate is built of.
mod sync {
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

use breaker::{Force, Gate, Limits, Outcome, State};
use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn limits(failures: u32, probes: u32) -> Limits {
    Limits::new()
        .failures(failures, 10 * SECOND)
        .open(SECOND, SECOND)
        .probes(probes)
}

fn fail(gate: &Gate, at: Instant) {
    let permit = gate.enter_at(at).expect("it is closed");
    permit.end_at(Outcome::Failure, Some(at));
}

#[test]
fn half_open_never_lets_more_probes_in_than_it_has() {
    let born = Instant::now();
    loom::model(move || {
        let gate = Arc::new(Gate::new(limits(1, 1), born, None));
        fail(&gate, born);
        let late = born + 2 * SECOND;
        let inside = Arc::new(AtomicUsize::new(0));
        let probe = |outcome: Option<Outcome>| {
            let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
            move || {
                let Ok(permit) = gate.enter_at(late) else {
                    return;
                };
                // Once a probe has closed it, calls are no probes any more.
                if gate.state(late).0 == State::HalfOpen {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
                match outcome {
                    Some(outcome) => permit.end_at(outcome, Some(late)),
                    None => drop(permit),
                }
            }
        };
        let first = thread::spawn(probe(Some(Outcome::Failure)));
        let second = thread::spawn(probe(None));
        first.join().expect("the first ends well");
        second.join().expect("the second ends well");
    });
}

#[test]
fn who_saw_it_open_is_never_let_through() {
    let born = Instant::now();
    loom::model(move || {
        let gate = Arc::new(Gate::new(limits(2, 1), born, None));
        let failing = || {
            let gate = Arc::clone(&gate);
            move || {
                let Ok(permit) = gate.enter_at(born) else {
                    return;
                };
                permit.end_at(Outcome::Failure, Some(born));
                if gate.state(born).0 == State::Open {
                    assert!(gate.enter_at(born).is_err(), "it is open");
                }
            }
        };
        let first = thread::spawn(failing());
        let second = thread::spawn(failing());
        first.join().expect("the first ends well");
        second.join().expect("the second ends well");
        assert_eq!(gate.state(born).0, State::Open, "two failed in a row");
        assert!(gate.enter_at(born).is_err());
        assert_eq!(gate.counts().failed, 2);
    });
}

#[test]
fn a_dropped_probe_is_given_back_to_exactly_one_other() {
    let born = Instant::now();
    loom::model(move || {
        let gate = Arc::new(Gate::new(limits(1, 1), born, None));
        fail(&gate, born);
        let late = born + 2 * SECOND;
        let held = gate.enter_at(late).expect("it is the probe");
        let other = |gate: &Arc<Gate>| {
            let gate = Arc::clone(gate);
            thread::spawn(move || gate.enter_at(late).map(std::mem::forget).is_ok())
        };
        let others = [other(&gate), other(&gate)];
        drop(held);
        let passed = others.map(|other| other.join().expect("it ends well"));
        let last = gate.enter_at(late).map(std::mem::forget).is_ok();
        let all = passed.iter().chain([&last]).filter(|passed| **passed);
        assert_eq!(all.count(), 1);
    });
}

#[test]
fn what_an_operator_shuts_stays_shut_whatever_ends_meanwhile() {
    let born = Instant::now();
    loom::model(move || {
        let gate = Arc::new(Gate::new(limits(1, 1), born, None));
        fail(&gate, born);
        let late = born + 2 * SECOND;
        let shutting = Arc::clone(&gate);
        let operator = thread::spawn(move || shutting.force(Force::Open));
        if let Ok(permit) = gate.enter_at(late) {
            permit.end_at(Outcome::Success, Some(late));
        }
        operator.join().expect("the operator ends well");
        assert_eq!(gate.state(late).0, State::ForcedOpen);
        assert!(gate.enter_at(late + 10 * SECOND).is_err());
    });
}
