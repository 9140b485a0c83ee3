//! Every kind of end in every kind of group, and what follows.
//!
//! A group is written as its children, left to right: `P` permanent, `T`
//! transient, `M` temporary ("mayfly"); in lower case if it is away already.

use super::{
    Backoff, Intensity, Strategy,
    machine::{Decision, Machine},
};
use crate::actor::{Exit, Restart};
use Exit::{Failed, Normal};
use Strategy::{OneForAll, OneForOne, RestForOne};
use std::{collections::HashSet, fmt::Write, time::Duration};
use tokio::time::Instant;

type Case = (Strategy, &'static str, usize, Exit, &'static str);

/// What follows while restarts are still allowed.
#[rustfmt::skip]
const ALLOWED: &[Case] = &[
    // A child alone: the strategy makes no difference, the restart type does.
    (OneForOne,  "P",     0, Failed, "start 0"),
    (OneForOne,  "P",     0, Normal, "start 0"),
    (OneForOne,  "T",     0, Failed, "start 0"),
    (OneForOne,  "T",     0, Normal, "remove"),
    (OneForOne,  "M",     0, Failed, "remove"),
    (OneForOne,  "M",     0, Normal, "remove"),
    (OneForAll,  "P",     0, Failed, "start 0"),
    (OneForAll,  "P",     0, Normal, "start 0"),
    (OneForAll,  "T",     0, Failed, "start 0"),
    (OneForAll,  "T",     0, Normal, "remove"),
    (OneForAll,  "M",     0, Failed, "remove"),
    (OneForAll,  "M",     0, Normal, "remove"),
    (RestForOne, "P",     0, Failed, "start 0"),
    (RestForOne, "P",     0, Normal, "start 0"),
    (RestForOne, "T",     0, Failed, "start 0"),
    (RestForOne, "T",     0, Normal, "remove"),
    (RestForOne, "M",     0, Failed, "remove"),
    (RestForOne, "M",     0, Normal, "remove"),

    // One for one: no sibling notices, whatever and wherever it is.
    (OneForOne,  "PPP",   0, Failed, "start 0"),
    (OneForOne,  "PPP",   1, Failed, "start 1"),
    (OneForOne,  "PPP",   2, Failed, "start 2"),
    (OneForOne,  "PPP",   1, Normal, "start 1"),
    (OneForOne,  "PTM",   0, Failed, "start 0"),
    (OneForOne,  "PTM",   1, Failed, "start 1"),
    (OneForOne,  "PTM",   1, Normal, "remove"),
    (OneForOne,  "PTM",   2, Failed, "remove"),
    (OneForOne,  "MPM",   1, Failed, "start 1"),
    (OneForOne,  "tPm",   1, Failed, "start 1"),

    // One for all: all stop from the right, all start from the left.
    (OneForAll,  "PPP",   0, Failed, "stop 2 1; start 0 1 2"),
    (OneForAll,  "PPP",   1, Failed, "stop 2 0; start 0 1 2"),
    (OneForAll,  "PPP",   2, Failed, "stop 1 0; start 0 1 2"),
    (OneForAll,  "PPP",   1, Normal, "stop 2 0; start 0 1 2"),
    (OneForAll,  "PPPPP", 3, Failed, "stop 4 2 1 0; start 0 1 2 3 4"),
    (OneForAll,  "TTT",   1, Failed, "stop 2 0; start 0 1 2"),
    (OneForAll,  "TTT",   1, Normal, "remove"),
    (OneForAll,  "PTP",   0, Normal, "stop 2 1; start 0 1 2"),
    // A temporary sibling is stopped with the others, and stays away.
    (OneForAll,  "PMP",   0, Failed, "stop 2 1; forget 1; start 0 2"),
    (OneForAll,  "PMP",   2, Failed, "stop 1 0; forget 1; start 0 2"),
    (OneForAll,  "MPM",   1, Failed, "stop 2 0; forget 2 0; start 1"),
    (OneForAll,  "MTM",   1, Failed, "stop 2 0; forget 2 0; start 1"),
    (OneForAll,  "MPMTM", 3, Failed, "stop 4 2 1 0; forget 4 2 0; start 1 3"),
    // A temporary child takes nobody down.
    (OneForAll,  "PMP",   1, Failed, "remove"),
    (OneForAll,  "PMP",   1, Normal, "remove"),
    (OneForAll,  "MMM",   0, Failed, "remove"),
    // Who is away is not stopped; a transient child comes back, a temporary one does not.
    (OneForAll,  "PmP",   0, Failed, "stop 2; start 0 2"),
    (OneForAll,  "PmP",   2, Normal, "stop 0; start 0 2"),
    (OneForAll,  "PtP",   0, Failed, "stop 2; start 0 1 2"),
    (OneForAll,  "tPm",   1, Failed, "start 0 1"),
    (OneForAll,  "tPMm",  1, Failed, "stop 2; forget 2; start 0 1"),
    (OneForAll,  "tTTt",  2, Failed, "stop 1; start 0 1 2 3"),
    (OneForAll,  "tTTt",  2, Normal, "remove"),

    // Rest for one: the ones to the right, and nobody to the left.
    (RestForOne, "PPP",   0, Failed, "stop 2 1; start 0 1 2"),
    (RestForOne, "PPP",   1, Failed, "stop 2; start 1 2"),
    (RestForOne, "PPP",   2, Failed, "start 2"),
    (RestForOne, "PPP",   1, Normal, "stop 2; start 1 2"),
    (RestForOne, "PPPPP", 1, Failed, "stop 4 3 2; start 1 2 3 4"),
    (RestForOne, "TTT",   1, Failed, "stop 2; start 1 2"),
    (RestForOne, "TTT",   1, Normal, "remove"),
    (RestForOne, "TTP",   2, Normal, "start 2"),
    (RestForOne, "PMP",   0, Failed, "stop 2 1; forget 1; start 0 2"),
    (RestForOne, "PMP",   1, Failed, "remove"),
    (RestForOne, "PMP",   1, Normal, "remove"),
    (RestForOne, "PMP",   2, Failed, "start 2"),
    (RestForOne, "MPM",   1, Failed, "stop 2; forget 2; start 1"),
    (RestForOne, "MMPMM", 2, Failed, "stop 4 3; forget 4 3; start 2"),
    (RestForOne, "PmP",   0, Failed, "stop 2; start 0 2"),
    (RestForOne, "PtP",   0, Normal, "stop 2; start 0 1 2"),
    (RestForOne, "Ptm",   0, Failed, "start 0 1"),
    (RestForOne, "tPPt",  1, Failed, "stop 2; start 1 2 3"),
    (RestForOne, "mTMt",  1, Failed, "stop 2; forget 2; start 1 3"),

    // Who is away already stays away, whatever is said of it.
    (OneForOne,  "Pt",    1, Failed, "remove"),
    (OneForAll,  "Pt",    1, Failed, "remove"),
    (OneForAll,  "mP",    0, Failed, "remove"),
    (RestForOne, "tP",    0, Failed, "remove"),
    (RestForOne, "tP",    0, Normal, "remove"),
];

/// What follows when one more restart is too many.
#[rustfmt::skip]
const EXCEEDED: &[Case] = &[
    (OneForOne,  "P",     0, Failed, "escalate"),
    (OneForOne,  "P",     0, Normal, "escalate"),
    (OneForOne,  "T",     0, Failed, "escalate"),
    (OneForOne,  "PPP",   1, Failed, "escalate; stop 2 0"),
    (OneForOne,  "PMT",   0, Failed, "escalate; stop 2 1"),
    (OneForOne,  "PmT",   2, Failed, "escalate; stop 0"),
    (OneForAll,  "PPP",   0, Failed, "escalate; stop 2 1"),
    (OneForAll,  "PPP",   1, Normal, "escalate; stop 2 0"),
    (OneForAll,  "MPM",   1, Failed, "escalate; stop 2 0"),
    (OneForAll,  "tPm",   1, Failed, "escalate"),
    // Also the ones to the left: the group ends, not a part of it.
    (RestForOne, "PPP",   2, Failed, "escalate; stop 1 0"),
    (RestForOne, "PtMP",  3, Failed, "escalate; stop 2 0"),
    // An end without a restart uses nothing up.
    (OneForOne,  "PM",    1, Failed, "remove"),
    (OneForOne,  "PT",    1, Normal, "remove"),
    (OneForAll,  "PM",    1, Failed, "remove"),
    (OneForAll,  "PT",    1, Normal, "remove"),
    (RestForOne, "MP",    0, Failed, "remove"),
    (RestForOne, "TP",    0, Normal, "remove"),
    (RestForOne, "tP",    0, Failed, "remove"),
];

#[test]
fn every_end_has_its_consequence() {
    for case in ALLOWED {
        check(case, 1);
    }
}

#[test]
fn one_restart_too_many_ends_the_whole_group() {
    for case in EXCEEDED {
        check(case, 0);
    }
}

#[test]
fn the_tables_hold_more_than_sixty_cases_and_none_twice() {
    let distinct = |cases: &[Case]| -> usize {
        let inputs = cases
            .iter()
            .map(|(s, group, i, exit, _)| (*s, *group, *i, *exit as u8));
        inputs.collect::<HashSet<_>>().len()
    };
    assert_eq!(
        (distinct(ALLOWED), distinct(EXCEEDED)),
        (ALLOWED.len(), EXCEEDED.len())
    );
    assert_eq!((ALLOWED.len(), EXCEEDED.len()), (75, 19));
}

#[test]
fn a_forgotten_sibling_stays_away_for_good() {
    let mut machine = group(OneForAll, "PMT", 2);
    assert_eq!(
        told(&mut machine, 0, Failed),
        "stop 2 1; forget 1; start 0 2"
    );
    assert_eq!(told(&mut machine, 2, Failed), "stop 0; start 0 2");
}

#[test]
fn a_start_that_fails_is_one_more_failure_of_that_child() {
    let mut machine = group(RestForOne, "PPP", 2);
    assert_eq!(told(&mut machine, 0, Failed), "stop 2 1; start 0 1 2");
    assert_eq!(told(&mut machine, 1, Failed), "stop 2; start 1 2");
    assert_eq!(told(&mut machine, 1, Failed), "escalate; stop 2 0");
}

#[test]
fn the_children_of_a_group_share_its_intensity() {
    let mut machine = group(OneForOne, "PPP", 2);
    assert_eq!(told(&mut machine, 0, Failed), "start 0");
    assert_eq!(told(&mut machine, 1, Failed), "start 1");
    assert_eq!(told(&mut machine, 2, Failed), "escalate; stop 1 0");
}

// ===== how cases are read and written =====

fn check(case: &Case, restarts: u32) {
    let (strategy, children, index, exit, expected) = *case;
    let mut machine = group(strategy, children, restarts);
    assert_eq!(told(&mut machine, index, exit), expected, "{case:?}");
}

fn group(strategy: Strategy, children: &str, restarts: u32) -> Machine {
    let intensity = Intensity { restarts, period: Duration::from_secs(1) };
    let types = children.chars().map(restart).collect();
    let mut machine = Machine::new(strategy, intensity, Backoff::default(), types);
    for (index, letter) in children.chars().enumerate() {
        if letter.is_lowercase() {
            assert_eq!(
                told(&mut machine, index, Normal),
                "remove",
                "set-up of {children}"
            );
        }
    }
    machine
}

fn restart(letter: char) -> Restart {
    match letter.to_ascii_uppercase() {
        'P' => Restart::Permanent,
        'T' => Restart::Transient,
        'M' => Restart::Temporary,
        other => panic!("no restart type is called {other}"),
    }
}

fn told(machine: &mut Machine, index: usize, exit: Exit) -> String {
    match machine.ended(index, exit, Instant::now(), 0.0) {
        Decision::Remove => "remove".into(),
        Decision::Restart { stop, remove, start, .. } => {
            listed("", &[("stop", stop), ("forget", remove), ("start", start)])
        }
        Decision::Escalate { stop } => listed("escalate", &[("stop", stop)]),
    }
}

/// Writes what is not empty, separated by semicolons.
fn listed(head: &str, parts: &[(&str, Vec<usize>)]) -> String {
    let mut text = head.to_owned();
    for (verb, indices) in parts.iter().filter(|(_, indices)| !indices.is_empty()) {
        let separator = if text.is_empty() { "" } else { "; " };
        write!(text, "{separator}{verb}").expect("writing to a string cannot fail");
        for index in indices {
            write!(text, " {index}").expect("writing to a string cannot fail");
        }
    }
    text
}
