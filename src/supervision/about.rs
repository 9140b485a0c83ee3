//! What a group says of itself to who looks for it.

use super::{Group, GroupError, child::Kind, group::join};
use crate::message::is_name;
use futures_util::future::LocalBoxFuture;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    sync::Arc,
};

/// How many bytes a tag may have.
const LONGEST_TAG: usize = 128;

/// Looks whether a group can work; the text says why not.
pub(crate) type Look = Arc<dyn Fn() -> LocalBoxFuture<'static, Result<(), String>> + Send + Sync>;

/// One of a group's own checks.
#[derive(Clone)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) look: Look,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// What a group says of itself beside its table.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) version: Option<String>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) depends_on: BTreeSet<String>,
    pub(crate) checks: Vec<Check>,
}

impl About {
    /// Checks what a group at a path says of itself.
    pub(super) fn check(&self, path: &str) -> Result<(), GroupError> {
        let path = || path.to_owned();
        if let Some(version) = &self.version
            && semver::Version::parse(version).is_err()
        {
            return Err(GroupError::Version { path: path(), version: version.clone() });
        }
        if let Some(tag) = self.tags.iter().find(|tag| !is_tag(tag)) {
            return Err(GroupError::Tag { path: path(), tag: tag.clone() });
        }
        if let Some(domain) = self.depends_on.iter().find(|domain| !is_name(domain)) {
            return Err(GroupError::Dependency { path: path(), domain: domain.clone() });
        }
        if let Some(weight) = self.metadata.get("weight")
            && weight.parse::<u32>().is_err()
        {
            return Err(GroupError::Weight { path: path(), weight: weight.clone() });
        }
        let mut names = HashSet::new();
        match self.checks.iter().find(|check| !names.insert(&check.name)) {
            Some(check) => Err(GroupError::CheckTwice { path: path(), check: check.name.clone() }),
            None => Ok(()),
        }
    }
}

fn is_tag(text: &str) -> bool {
    let visible = text.chars().any(|c| !c.is_whitespace());
    visible && text.len() <= LONGEST_TAG && !text.chars().any(char::is_control)
}

/// What a group's table says: the commands it answers, the events it hears, what it
/// repeats, and up to which version it reads each event type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Says {
    pub(crate) answers: BTreeSet<&'static str>,
    pub(crate) hears: BTreeSet<&'static str>,
    /// What it repeats, by the actor's path and the name.
    pub(crate) repeats: BTreeSet<String>,
    pub(crate) schemas: BTreeMap<&'static str, u32>,
}

impl Group {
    /// Says which version of its domain this is, as [semver](https://semver.org)
    /// has them; that of its [node](crate::Node::version) by default.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.about.version = Some(version.into());
        self
    }

    /// Adds a tag, by which others may look for it.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.about.tags.insert(tag.into());
        self
    }

    /// Says something else of it, under a name. All that the groups of a node say
    /// goes to every other node: 192 KiB together at most.
    ///
    /// `weight` is a whole number, for routes that spread by weight.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.about.metadata.insert(name.into(), value.into());
        self
    }

    /// Says that it needs a domain, for the graph of who needs whom.
    pub fn depends_on(mut self, domain: impl Into<String>) -> Self {
        self.about.depends_on.insert(domain.into());
        self
    }

    /// Adds a check of its health, under a name of its own: while one fails, the group is there and is
    /// not healthy.
    ///
    /// Checks run every 10 s, side by side, on the node's own thread, and may
    /// take 5 s.
    pub fn healthy_if<F, E>(mut self, name: impl Into<String>, look: F) -> Self
    where
        F: AsyncFn() -> Result<(), E> + Clone + Send + Sync + 'static,
        E: fmt::Display + 'static,
    {
        let look: Look = Arc::new(move || {
            let look = look.clone();
            Box::pin(async move { look().await.map_err(|error| error.to_string()) })
        });
        self.about.checks.push(Check { name: name.into(), look });
        self
    }

    /// Returns what it says of itself.
    pub(crate) fn about(&self) -> About {
        self.about.clone()
    }

    /// Returns what its table says, with all that is below it.
    pub(crate) fn says(&self) -> Says {
        let mut says = Says::default();
        self.add_words("", &mut says);
        says
    }

    fn add_words(&self, parent: &str, says: &mut Says) {
        let path = join(parent, self.name());
        for child in &self.children {
            match &child.0 {
                Kind::Group(group) => group.add_words(&path, says),
                Kind::Actor(actor) => {
                    let answers = actor.answers.iter();
                    says.answers
                        .extend(answers.map(|answered| answered.subject.as_str()));
                    says.hears
                        .extend(actor.hears.iter().map(|(event, _)| event.as_str()));
                    let repeated = actor.repeats.iter();
                    says.repeats
                        .extend(repeated.map(|it| format!("{path}/{}/{}", actor.name, it.name)));
                    for (event, &version) in &actor.schemas {
                        // Of several readers, the one that knows least decides.
                        let known = says.schemas.entry(event).or_insert(version);
                        *known = version.min(*known);
                    }
                }
            }
        }
    }
}
