use super::{About, Backoff, Child, Intensity, Strategy, child::Kind};
use crate::{
    actor::{Answered, Restart},
    message::{Subject, is_name},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// A supervised group of children: a business domain, or a part of one.
///
/// Children start from left to right and stop from right to left. When one
/// ends, the strategy says who else is restarted; when that happens too often,
/// the whole group fails towards its parent, and the last parent is the node.
///
/// # Examples
///
/// ```
/// use callboard::{Actor, Context, Failure, Group, Strategy};
/// use std::time::Duration;
///
/// struct Ledger;
///
/// impl Ledger {
///     async fn open() -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     async fn close_day(&mut self, _: &Context) -> Result<(), Failure> {
///         Ok(())
///     }
/// }
///
/// let payments = Group::new("payments")
///     .strategy(Strategy::OneForOne)
///     .intensity(3, Duration::from_secs(10))
///     .child(Actor::new("ledger", Ledger::open).every(Duration::from_hours(24), Ledger::close_day));
/// ```
#[derive(Debug)]
#[must_use = "a group does nothing until it is on a node"]
pub struct Group {
    name: Cow<'static, str>,
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) backoff: Backoff,
    pub(super) restart: Restart,
    pub(super) children: Vec<Child>,
    pub(super) about: About,
}

impl Group {
    /// Describes a group without children.
    ///
    /// The name is one token of `a-z 0-9 -`, unique among its siblings. A
    /// group at the top of a node is a domain: by its name it is known as the
    /// caller of commands and the source of events.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            strategy: Strategy::default(),
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            restart: Restart::default(),
            children: Vec::new(),
            about: About::default(),
        }
    }

    /// Sets whom a restart reaches; only the child that ended, by default.
    pub const fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Sets how many restarts are fine within a period; one more, and the
    /// group fails. 10 in 10 s by default, which a single crashing child does
    /// not reach, because its restarts are delayed more and more.
    ///
    /// Intensities multiply through levels.
    pub const fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts, period };
        self
    }

    /// Sets how long restarts wait.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets whether the group is started again when it fails; always, by default.
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Adds a child to the right of the others.
    pub fn child(mut self, child: impl Into<Child>) -> Self {
        self.children.push(child.into());
        self
    }

    /// Returns the group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how many places its supervisor has: one for each instance of an
    /// actor, one for each group.
    ///
    /// A child that waits for its supervisor to take a report hears no orders,
    /// so there must always be room for all of them: for the report of this
    /// life, and for a stale one of the life before.
    pub(super) fn seats(&self) -> usize {
        let seats = |child: &Child| match &child.0 {
            Kind::Actor(actor) => actor.instances,
            Kind::Group(_) => 1,
        };
        self.children.iter().map(seats).sum()
    }

    /// Checks what the types cannot: names, and that one command has one answerer.
    ///
    /// # Errors
    ///
    /// Returns [`GroupError`] with the first flaw found.
    pub fn check(&self) -> Result<(), GroupError> {
        self.check_under("", &mut BTreeMap::new())
    }

    pub(crate) fn check_under(
        &self,
        parent: &str,
        answerers: &mut BTreeMap<Subject, String>,
    ) -> Result<(), GroupError> {
        let path = join(parent, &self.name);
        check_name(&path, &self.name)?;
        self.about.check(&path)?;
        let mut names = HashSet::new();
        for child in &self.children {
            let path = join(&path, child.name());
            if !names.insert(child.name()) {
                return Err(GroupError::NameTaken { path });
            }
            match &child.0 {
                Kind::Group(group) => group.check_under(&join(parent, &self.name), answerers)?,
                Kind::Actor(actor) => {
                    check_name(&path, actor.name)?;
                    for &Answered { subject: command, .. } in &actor.answers {
                        if let Some(first) = answerers.insert(command, path.clone()) {
                            return Err(GroupError::TwoAnswerers { command, first, second: path });
                        }
                    }
                    let mut heard = HashSet::new();
                    if let Some((event, _)) =
                        actor.hears.iter().find(|(event, _)| !heard.insert(*event))
                    {
                        return Err(GroupError::HeardTwice { event: *event, path });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Names a child of a path.
pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

fn check_name(path: &str, name: &str) -> Result<(), GroupError> {
    // An underscore joins names in a consumer's name, so none may hold one.
    if is_name(name) && !name.contains('_') {
        return Ok(());
    }
    Err(GroupError::Name { path: path.to_owned() })
}

/// What is wrong with a group's table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A name cannot stand in a subject.
    #[error("`{}` is not a name; use `a-z 0-9 -`, such as `till`", path.escape_debug())]
    Name {
        /// Where it stands in the tree.
        path: String,
    },
    /// Its version is none.
    #[error("`{path}` has the version `{version}`; use three numbers, such as `1.4.0`")]
    Version {
        /// The group.
        path: String,
        /// What was given.
        version: String,
    },
    /// Its name is that of a group that every node hosts itself.
    #[error("`{name}` is reserved by the runtime, whose own group has that name; use another")]
    Reserved {
        /// The name.
        name: String,
    },
    /// One of its tags is none.
    #[error(
        "`{path}` has the tag `{}`; a tag has 1 to 128 characters that can be seen, such as `gold`",
        tag.escape_debug()
    )]
    Tag {
        /// The group.
        path: String,
        /// What was given.
        tag: String,
    },
    /// What it depends on is no domain.
    #[error(
        "`{path}` depends on `{}`, which is no domain; use `a-z 0-9 - _`, such as `payments`",
        domain.escape_debug()
    )]
    Dependency {
        /// The group.
        path: String,
        /// What was given.
        domain: String,
    },
    /// Its weight is no number.
    #[error(
        "`{path}` has the weight `{}`; use a whole number such as `100`",
        weight.escape_debug()
    )]
    Weight {
        /// The group.
        path: String,
        /// What was given.
        weight: String,
    },
    /// Two of its checks have the same name.
    #[error("`{path}` has the check `{}` twice; give each another name", check.escape_debug())]
    CheckTwice {
        /// The group.
        path: String,
        /// The name.
        check: String,
    },
    /// It says so much of itself that no other node could be told.
    #[error(
        "`{path}` says {bytes} bytes of itself, such as metadata and tags, and the groups of a node \
         may say {limit} together; keep it elsewhere, and say where"
    )]
    SaysTooMuch {
        /// The group that says most.
        path: String,
        /// How many bytes it says.
        bytes: usize,
        /// How many all groups of a node may say.
        limit: usize,
    },
    /// Two children have the same name.
    #[error("`{path}` is there twice; siblings need different names")]
    NameTaken {
        /// Where both stand in the tree.
        path: String,
    },
    /// Two actors answer the same command.
    #[error("`{command}` is answered by `{first}` and by `{second}`; a command has one answerer")]
    TwoAnswerers {
        /// The command.
        command: Subject,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// An actor lists two handlers for an event.
    #[error("`{path}` hears `{event}` twice; list one handler")]
    HeardTwice {
        /// The event.
        event: Subject,
        /// The actor.
        path: String,
    },
}
