//! A library whose events two streams tell: what is lent, and what members do.

use callboard::{
    Answer, Child, Command, Decision, Event, Group, Infallible, Projection, Subject,
    projection::{Lag, Seen},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lent {
    pub(crate) book: String,
    pub(crate) user: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Overdue {
    pub(crate) book: String,
}

/// It is told by another domain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Returned {
    pub(crate) book: String,
}

macro_rules! about_a_book {
    ($event:ty, $subject:literal) => {
        impl Event for $event {
            const SUBJECT: Subject = Subject::new($subject);

            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.book)
            }
        }
    };
}

about_a_book!(Lent, "library.lent");
about_a_book!(Overdue, "library.overdue");
about_a_book!(Returned, "members.returned");

impl Lent {
    pub(crate) fn of(book: &str, user: &str) -> Self {
        Self { book: book.into(), user: user.into() }
    }
}

impl Returned {
    pub(crate) fn of(book: &str) -> Self {
        Self { book: book.into() }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lend {
    pub(crate) book: String,
    pub(crate) user: String,
}

impl Command for Lend {
    const SUBJECT: Subject = Subject::new("library.lend");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.book)
    }
}

impl Lend {
    /// Lends a book that is overdue at once: one decision, two events.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        clippy::unnecessary_wraps,
        reason = "the signature of a decision"
    )]
    pub(crate) fn decide(_: &u32, lend: Self) -> Result<Decision<()>, Infallible> {
        let Self { book, user } = lend;
        Ok(Decision::of(Lent { book: book.clone(), user }).and(Overdue { book }))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tell;

impl Command for Tell {
    const SUBJECT: Subject = Subject::new("library.tell");
    type Outcome = Result<Overview, Infallible>;
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overview {
    pub(crate) lent: u32,
    pub(crate) returned: u32,
    pub(crate) overdue: u32,
    pub(crate) lag: u64,
    pub(crate) age_ms: u64,
}

/// The model.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shelf {
    lent: u32,
    returned: u32,
    overdue: u32,
    /// Makes it large.
    #[serde(default)]
    ballast: String,
}

impl Shelf {
    pub(crate) fn lent(&mut self, _: &Lent, _: &Seen) {
        self.lent += 1;
    }

    fn overdue(&mut self, _: &Overdue, _: &Seen) {
        self.overdue += 1;
    }

    fn returned(&mut self, _: &Returned, _: &Seen) {
        self.returned += 1;
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of an answer")]
    fn tell(&self, _: &Tell, lag: &Lag) -> Answer<Tell> {
        Ok(Overview {
            lent: self.lent,
            returned: self.returned,
            overdue: self.overdue,
            lag: lag.messages,
            age_ms: u64::try_from(lag.age.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// Looks at the folds from outside, and makes some panic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    folded: Arc<AtomicU32>,
    panics: Arc<AtomicU32>,
}

impl Gate {
    /// Returns how many events were folded, in all lives.
    pub(crate) fn folded(&self) -> u32 {
        self.folded.load(SeqCst)
    }

    /// Lets so many folds panic.
    pub(crate) fn panics(&self, count: u32) {
        self.panics.store(count, SeqCst);
    }

    fn pass(&self) {
        self.folded.fetch_add(1, SeqCst);
        let left = self.panics.load(SeqCst);
        if left > 0 {
            self.panics.store(left - 1, SeqCst);
            unreachable!("a fold that goes wrong");
        }
    }
}

/// A projection with helpers to host it.
#[derive(Debug)]
pub(crate) struct Described(pub(crate) Projection<Shelf>);

/// Describes the projection under test.
pub(crate) fn shelf(gate: &Gate) -> Described {
    with_ballast(gate, 0)
}

/// Describes it with a model of at least so many bytes.
pub(crate) fn with_ballast(gate: &Gate, bytes: usize) -> Described {
    let gate = gate.clone();
    let empty = move || Shelf { ballast: "x".repeat(bytes), ..Shelf::default() };
    let lent = move |shelf: &mut Shelf, event: &Lent, seen: &Seen| {
        gate.pass();
        assert_eq!(seen.key(), event.book);
        shelf.lent(event, seen);
    };
    Described(
        Projection::new("shelf", empty)
            .fold(lent)
            .fold(Shelf::overdue)
            .fold(Shelf::returned)
            .answer(Shelf::tell),
    )
}

impl Described {
    pub(crate) fn fresh_within(self, limit: Duration) -> Self {
        Self(self.0.fresh_within(limit))
    }

    pub(crate) fn caught_up_within(self, limit: Duration) -> Self {
        Self(self.0.caught_up_within(limit))
    }

    pub(crate) fn checkpoint_every(self, messages: u64) -> Self {
        Self(self.0.checkpoint_every(messages))
    }

    pub(crate) fn version(self, version: u32) -> Self {
        Self(self.0.version(version))
    }

    pub(crate) fn child(self) -> Child {
        self.0.into()
    }

    pub(crate) fn into_group(self) -> Group {
        Group::new("library").child(self.0)
    }
}
