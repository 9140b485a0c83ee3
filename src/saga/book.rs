//! A journal folded into what is known of its saga.

use super::{
    Abort,
    page::{Act, Begin, Ending, Move, Order, Settled, Told},
};
use bytes::Bytes;
use std::collections::HashMap;

/// The name under which what is said of an abort is done.
pub(super) const LAST_WORD: &str = "on_abort";

/// What is known of one saga.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// The sequence of the journal's last message; 0 if there is none.
    pub(super) last: u64,
    pub(super) begin: Option<Begin>,
    /// Its steps in the order in which they were intended.
    pub(super) steps: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// The steps that were done, in that order.
    done: Vec<usize>,
    pub(super) pivoted: bool,
    pub(super) aborted: Option<Abort>,
    /// What is to be said once all is undone.
    last_word: Option<Order>,
    pub(super) last_word_attempts: u32,
    last_word_trouble: Option<Trouble>,
    pub(super) parked: Option<String>,
    pub(super) told: Option<Told>,
    pub(super) ending: Option<Ending>,
}

/// What is known of one step.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) act: Act,
    pub(super) state: State,
    pub(super) attempts: u32,
    /// What undoes it whatever its outcome is.
    pub(super) anyway: Option<Order>,
    /// What stands in its way, or in the way of undoing it.
    pub(super) trouble: Option<Trouble>,
}

/// What stands in the way of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// How many attempts there were, of all runners.
    pub(super) attempts: u32,
    pub(super) reason: String,
    /// When the next is made, in Unix milliseconds; 0 if at once.
    pub(super) again: u64,
}

/// How far a step is.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// It may have been taken.
    Intended,
    /// The operator says that it was taken; what undoes it is not made yet.
    Settled {
        reply: Bytes,
    },
    Done {
        reply: Bytes,
        undo: Option<Order>,
    },
    Failed {
        rejection: Option<Bytes>,
        reason: String,
    },
    Undone {
        undo: Option<Order>,
    },
}

impl Entry {
    /// Returns the command that undoes it, or did.
    pub(super) const fn undo(&self) -> Option<&Order> {
        match &self.state {
            State::Done { undo, .. } | State::Undone { undo } => undo.as_ref(),
            State::Intended | State::Settled { .. } => self.anyway.as_ref(),
            State::Failed { .. } => None,
        }
    }

    /// Whether its outcome is not known, or not noted yet, and matters to others.
    const fn is_open(&self) -> bool {
        matches!(self.state, State::Intended | State::Settled { .. }) && self.act.has_effect()
    }
}

impl Book {
    /// Goes on by the transitions of one message.
    pub(super) fn turn(&mut self, moves: Vec<Move>, sequence: u64) {
        for step in moves {
            self.apply(step);
        }
        self.last = sequence;
    }

    /// Goes on by one transition.
    pub(super) fn apply(&mut self, step: Move) {
        match step {
            Move::Started(begin) => self.begin = Some(begin),
            Move::Intended { step, act, undo } => self.intend(step, act, undo),
            Move::Tried { step, attempts, trouble: reason, again } => {
                self.trouble(&step, Trouble { attempts, reason, again });
            }
            Move::Done { step, reply, undo, attempts } => {
                self.done.extend(self.by_name.get(&step));
                let undo = undo.or_else(|| self.step(&step)?.anyway.clone());
                self.set(&step, State::Done { reply, undo }, attempts);
            }
            Move::Failed { step, rejection, reason, attempts } => {
                self.set(&step, State::Failed { rejection, reason }, attempts);
            }
            Move::Pivoted => self.pivoted = true,
            Move::Aborted { abort, last } => {
                self.aborted = Some(abort);
                self.last_word = last;
                self.steps.iter_mut().for_each(|entry| entry.trouble = None);
            }
            Move::Undone { step, attempts } => self.undone(&step, attempts),
            Move::Parked { reason } => self.parked = Some(reason),
            Move::Told(told) => {
                self.hear();
                // What is to be undone past the pivot stays so.
                let wanted = match (self.told, told) {
                    (told, Told::Retry) => told,
                    (Some(Told::Compensate), _) => Some(Told::Compensate),
                    _ => Some(told),
                };
                self.told = wanted;
            }
            Move::Settled { step, outcome, reason } => {
                self.hear();
                self.settle(&step, outcome, reason);
            }
            Move::Ended(ending) => self.ending = Some(ending),
        }
    }

    /// The operator said something: it is parked no more, and what waits for its
    /// next attempt waits no longer.
    fn hear(&mut self) {
        self.parked = None;
        let troubles = self.steps.iter_mut().map(|entry| &mut entry.trouble);
        for trouble in troubles.chain([&mut self.last_word_trouble]).flatten() {
            trouble.again = 0;
        }
    }

    /// Takes the operator's word for what came of a step, or of undoing it.
    fn settle(&mut self, step: &str, outcome: Settled, reason: String) {
        let is_undoing = self.aborted.is_some();
        if is_undoing && step == LAST_WORD {
            return self.undone(step, self.last_word_attempts);
        }
        let Some(entry) = self.by_name.get(step).map(|&at| &mut self.steps[at]) else {
            return;
        };
        if is_undoing {
            let attempts = entry.attempts;
            return self.undone(step, attempts);
        }
        if entry.is_open() {
            entry.trouble = None;
            entry.state = match outcome {
                Settled::Done(reply) => State::Settled { reply },
                Settled::NotDone => State::Failed { rejection: None, reason },
            };
        }
    }

    fn undone(&mut self, step: &str, attempts: u32) {
        if step == LAST_WORD {
            (self.last_word, self.last_word_attempts) = (None, attempts);
            self.last_word_trouble = None;
            return;
        }
        let undo = self.step(step).and_then(Entry::undo).cloned();
        self.set(step, State::Undone { undo }, attempts);
    }

    fn trouble(&mut self, step: &str, trouble: Trouble) {
        if step == LAST_WORD {
            self.last_word_attempts = trouble.attempts;
            self.last_word_trouble = Some(trouble);
        } else if let Some(entry) = self.by_name.get(step).map(|&at| &mut self.steps[at]) {
            entry.attempts = trouble.attempts;
            entry.trouble = Some(trouble);
        }
    }

    /// Returns what stands in the way of a step, or of undoing it.
    pub(super) fn trouble_of(&self, step: &str) -> Option<&Trouble> {
        if step == LAST_WORD {
            return self.last_word_trouble.as_ref();
        }
        self.step(step)?.trouble.as_ref()
    }

    /// Whether something is tried again and again.
    pub(super) fn is_troubled(&self) -> bool {
        let of_steps = self.steps.iter().any(|entry| entry.trouble.is_some());
        of_steps || self.last_word_trouble.is_some()
    }

    fn intend(&mut self, name: String, act: Act, anyway: Option<Order>) {
        self.by_name.insert(name.clone(), self.steps.len());
        let (state, attempts, trouble) = (State::Intended, 0, None);
        self.steps
            .push(Entry { name, act, state, attempts, anyway, trouble });
    }

    fn set(&mut self, step: &str, state: State, attempts: u32) {
        if let Some(entry) = self.by_name.get(step).map(|&at| &mut self.steps[at]) {
            entry.state = state;
            entry.attempts = attempts;
            entry.trouble = None;
        }
    }

    pub(super) fn step(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|&at| &self.steps[at])
    }

    /// Returns the steps whose outcome is not known and matters to others.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &Entry> {
        self.steps.iter().filter(|entry| entry.is_open())
    }

    /// Returns those of them that cannot be undone before their outcome is known.
    pub(super) fn hanging(&self) -> impl Iterator<Item = &Entry> {
        self.unsettled().filter(|entry| entry.anyway.is_none())
    }

    /// Returns what is to be undone, what was done last first, and what is
    /// said at the end.
    pub(super) fn owed(&self) -> Vec<(String, Order)> {
        let open = self.steps.iter().rev().filter(|entry| entry.is_open());
        let done = self.done.iter().rev().map(|&at| &self.steps[at]);
        let done = done.filter(|entry| matches!(entry.state, State::Done { .. }));
        open.chain(done)
            .filter_map(|entry| Some((entry.name.clone(), entry.undo()?.clone())))
            .chain(
                self.last_word
                    .clone()
                    .map(|word| (LAST_WORD.to_owned(), word)),
            )
            .collect()
    }

    /// Returns why it must be undone, if that was said and there is a way back.
    pub(super) fn called_off(&self) -> Option<Abort> {
        match self.told? {
            Told::Cancel if self.pivoted => None,
            Told::Cancel => Some(Abort::new("it was cancelled by the operator")),
            Told::Compensate => Some(Abort::new("the operator wants it undone")),
            Told::Retry => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(subject: &str) -> Order {
        Order { subject: subject.into(), key: String::new(), payload: Bytes::new() }
    }

    fn intended(step: &str) -> Move {
        Move::Intended { step: step.into(), act: Act::Call(order(step)), undo: None }
    }

    fn done(step: &str, undo: Option<&str>) -> Move {
        let undo = undo.map(order);
        Move::Done { step: step.into(), reply: Bytes::new(), undo, attempts: 1 }
    }

    fn book(moves: &[Move]) -> Book {
        let mut book = Book::default();
        for next in moves {
            book.apply(next.clone());
        }
        book
    }

    #[test]
    fn what_was_done_last_is_undone_first_and_only_what_was_done() {
        let moves = [
            intended("a"),
            intended("b"),
            intended("c"),
            done("b", Some("undo-b")),
            done("a", Some("undo-a")),
            Move::Failed { step: "c".into(), rejection: None, reason: "no".into(), attempts: 1 },
        ];
        let mut book = book(&moves);
        let owed: Vec<_> = book.owed().into_iter().map(|(step, _)| step).collect();
        assert_eq!(owed, ["a", "b"]);
        book.apply(Move::Undone { step: "a".into(), attempts: 1 });
        assert_eq!(book.owed(), [("b".to_owned(), order("undo-b"))]);
    }

    #[test]
    fn a_step_that_was_intended_is_unsettled_until_its_outcome_is_known() {
        let sleep = Move::Intended { step: "nap".into(), act: Act::Sleep { until: 1 }, undo: None };
        let mut book = book(&[intended("a"), sleep]);
        let names = |book: &Book| {
            let unsettled = book.unsettled().map(|entry| entry.name.clone());
            unsettled.collect::<Vec<_>>()
        };
        assert_eq!(names(&book), ["a"], "nobody sees a sleep");
        book.apply(done("a", None));
        assert!(names(&book).is_empty());
    }

    #[test]
    fn past_its_pivot_it_is_undone_by_force_only() {
        let mut book = book(&[Move::Pivoted, Move::Told(Told::Cancel)]);
        assert_eq!(book.called_off(), None);
        book.apply(Move::Told(Told::Compensate));
        assert!(book.called_off().is_some());
        book.apply(Move::Parked { reason: "it fails".into() });
        book.apply(Move::Told(Told::Retry));
        assert!(book.called_off().is_some(), "what was said holds");
        book.apply(Move::Told(Told::Cancel));
        assert!(book.called_off().is_some(), "also by a weaker word");
    }
}
