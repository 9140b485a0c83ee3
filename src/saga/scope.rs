//! Branches of a saga's code: the names of their steps, and whether they wait for
//! something of their own.

use super::{step::Step, trip::Trip};
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::HashMap,
    future::{Future, IntoFuture, poll_fn},
    rc::{Rc, Weak},
};

/// One branch of the code, or its trunk.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// What the names of its steps begin with; nothing for the trunk.
    path: String,
    /// How often each name came so far.
    names: RefCell<HashMap<String, u32>>,
    /// How often it went into branches.
    forks: Cell<u32>,
    /// How many steps and branches of it are awaited now.
    awaited: Cell<usize>,
}

/// All branches of one run.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    trunk: Rc<Scope>,
    /// The one whose code runs now; the trunk if there is none.
    current: RefCell<Option<Rc<Scope>>>,
    branches: RefCell<Vec<Weak<Scope>>>,
    /// Whether all steps are named as those of the trunk are, as they once were.
    is_flat: bool,
}

/// Counts what a branch awaits.
pub(super) struct Awaited(Rc<Scope>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.awaited.set(self.0.awaited.get().saturating_sub(1));
    }
}

/// Puts back which branch runs.
struct Entered<'a>(&'a Scopes, Option<Rc<Scope>>);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        *self.0.current.borrow_mut() = self.1.take();
    }
}

impl Scopes {
    pub(super) fn new(is_flat: bool) -> Self {
        Self { is_flat, ..Self::default() }
    }

    fn current(&self) -> Rc<Scope> {
        let current = self.current.borrow();
        Rc::clone(current.as_ref().unwrap_or(&self.trunk))
    }

    /// Names the next step of a kind by its branch and its occurrence there.
    pub(super) fn name(&self, kind: &str) -> String {
        let scope = if self.is_flat {
            Rc::clone(&self.trunk)
        } else {
            self.current()
        };
        let mut names = scope.names.borrow_mut();
        let count = names.entry(kind.to_owned()).or_default();
        *count += 1;
        match *count {
            1 => format!("{}{kind}", scope.path),
            count => format!("{}{kind}#{count}", scope.path),
        }
    }

    /// Counts something as awaited by the branch that runs now.
    pub(super) fn awaited(&self) -> Awaited {
        let scope = self.current();
        scope.awaited.set(scope.awaited.get() + 1);
        Awaited(scope)
    }

    /// Whether the code, or a branch of it, waits for something that is no step.
    pub(super) fn is_elsewhere(&self) -> bool {
        let mut branches = self.branches.borrow_mut();
        branches.retain(|branch| branch.strong_count() > 0);
        let branches = branches.iter().filter_map(Weak::upgrade);
        let mut all = branches.chain([Rc::clone(&self.trunk)]);
        all.any(|scope| scope.awaited.get() == 0)
    }

    fn enter(&self, scope: &Rc<Scope>) -> Entered<'_> {
        let before = self.current.borrow_mut().replace(Rc::clone(scope));
        Entered(self, before)
    }

    /// Returns what the names of the next branches begin with.
    fn fork(&self) -> String {
        let scope = self.current();
        let fork = scope.forks.get() + 1;
        scope.forks.set(fork);
        match fork {
            1 => scope.path.clone(),
            fork => format!("{}{fork}.", scope.path),
        }
    }

    fn branch(&self, fork: &str, number: usize) -> Rc<Scope> {
        let path = format!("{fork}{number}/");
        let scope = Rc::new(Scope { path, ..Scope::default() });
        self.branches.borrow_mut().push(Rc::downgrade(&scope));
        scope
    }
}

/// Branches of the code that are about to run side by side.
pub(super) struct Fork {
    trip: Rc<Trip>,
    path: String,
    next: usize,
}

impl Fork {
    pub(super) fn new(trip: &Rc<Trip>) -> Self {
        Self { trip: Rc::clone(trip), path: trip.scopes.fork(), next: 0 }
    }

    /// Runs code as the next branch: its steps are named by it.
    pub(super) fn branch<S: IntoFuture>(
        &mut self,
        code: S,
    ) -> impl Future<Output = S::Output> + use<S> {
        let trip = Rc::clone(&self.trip);
        let scope = trip.scopes.branch(&self.path, self.next);
        self.next += 1;
        let mut code = {
            let _inside = trip.scopes.enter(&scope);
            Box::pin(code.into_future())
        };
        let mut awaited = Some((trip.scopes.awaited(), scope));
        poll_fn(move |context| {
            let polled = match &awaited {
                Some((_, scope)) => {
                    let _inside = trip.scopes.enter(scope);
                    code.as_mut().poll(context)
                }
                None => code.as_mut().poll(context),
            };
            if polled.is_ready() {
                // It is over, though others beside it may not be.
                awaited = None;
            }
            polled
        })
    }
}

impl Trip {
    /// Names the next step, by its own name or its subject.
    pub(super) fn next(&self, name: Option<&Cow<'static, str>>, subject: &'static str) -> Step {
        let label = match name {
            Some(Cow::Borrowed(name)) => name,
            _ => subject,
        };
        let name = self.scopes.name(name.map_or(subject, |name| name));
        self.visited.borrow_mut().insert(name.clone());
        Step::begun(name, label)
    }
}

/// Whether two steps are in branches that run side by side, by their names.
pub(super) fn are_side_by_side(one: &str, other: &str) -> bool {
    let (one, other) = (path(one), path(other));
    !one.starts_with(other) && !other.starts_with(one)
}

/// Returns the branch that a step's name begins with.
fn path(name: &str) -> &str {
    let mut end = 0;
    for part in name.split_inclusive('/') {
        let is_branch = part.strip_suffix('/').is_some_and(|part| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            part.split('.').all(digits)
        });
        if !is_branch {
            break;
        }
        end += part.len();
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::{Scopes, are_side_by_side, path};
    use std::rc::Rc;

    #[test]
    fn names_are_counted_per_branch() {
        let scopes = Scopes::new(false);
        assert_eq!([scopes.name("pay"), scopes.name("pay")], ["pay", "pay#2"]);
        let fork = scopes.fork();
        let (one, two) = (scopes.branch(&fork, 0), scopes.branch(&fork, 1));
        for (scope, names) in [(&one, ["0/pay", "0/pay#2"]), (&two, ["1/pay", "1/pay#2"])] {
            let _inside = scopes.enter(scope);
            assert_eq!([scopes.name("pay"), scopes.name("pay")], names);
        }
        let _inside = scopes.enter(&one);
        let inner = scopes.fork();
        let _deeper = scopes.enter(&scopes.branch(&inner, 3));
        assert_eq!(scopes.name("pay"), "0/3/pay");
    }

    #[test]
    fn a_second_fork_has_names_of_its_own_and_a_flat_journal_has_none() {
        let scopes = Scopes::new(false);
        scopes.fork();
        let fork = scopes.fork();
        let _inside = scopes.enter(&scopes.branch(&fork, 1));
        assert_eq!(scopes.name("pay"), "2.1/pay");
        let flat = Scopes::new(true);
        let fork = flat.fork();
        let _inside = flat.enter(&flat.branch(&fork, 1));
        assert_eq!(flat.name("pay"), "pay");
    }

    #[test]
    fn only_branches_beside_each_other_are_side_by_side() {
        assert_eq!(path("2.1/0/pay/x"), "2.1/0/");
        assert_eq!(path("a/pay"), "");
        assert!(are_side_by_side("0/pay", "1/pay"));
        assert!(!are_side_by_side("0/pay", "0/hold"));
        assert!(!are_side_by_side("0/pay", "0/1/hold"));
        assert!(!are_side_by_side("0/pay", "hold"));
    }

    #[test]
    fn code_that_awaits_no_step_is_elsewhere() {
        let scopes = Scopes::new(false);
        assert!(scopes.is_elsewhere());
        let step = scopes.awaited();
        assert!(!scopes.is_elsewhere());
        let branch = scopes.branch("", 0);
        assert!(scopes.is_elsewhere(), "the branch awaits nothing yet");
        let inner = {
            let _inside = scopes.enter(&branch);
            scopes.awaited()
        };
        assert!(!scopes.is_elsewhere());
        drop((inner, branch));
        assert_eq!(Rc::strong_count(&scopes.trunk), 2, "the step holds it");
        drop(step);
        assert!(scopes.is_elsewhere());
    }
}
