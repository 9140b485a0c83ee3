use super::{Key, Subject, subject::is_name};
use std::{fmt, sync::Arc};

/// The first token of every subject: keeps several systems on one server apart.
///
/// It knows how each kind of traffic is addressed; nothing else writes subjects.
///
/// # Examples
///
/// ```
/// use callboard::message::{Key, Namespace};
///
/// let shop = Namespace::new("shop")?;
/// assert_eq!(shop.event("orders", &Key::new("o-42")?), "shop.evt.orders.o-42");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Checks and returns a namespace.
    ///
    /// # Errors
    ///
    /// Returns [`NamespaceError`] unless it is one or more of `a-z 0-9 - _`.
    pub fn new(name: &str) -> Result<Self, NamespaceError> {
        if is_name(name) {
            Ok(Self(name.into()))
        } else {
            Err(NamespaceError { name: name.into() })
        }
    }

    /// Returns the namespace's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the subject of all events of one entity.
    pub fn event(&self, domain: &str, key: &Key) -> String {
        format!("{self}.evt.{domain}.{key}")
    }

    /// Returns the filter for all events of a domain.
    pub fn events(&self, domain: &str) -> String {
        format!("{self}.evt.{domain}.*")
    }

    /// Returns the name of the stream of a domain's events.
    pub fn event_stream(&self, domain: &str) -> String {
        format!("{self}_EVT_{domain}")
    }

    /// Returns the subject of a command.
    pub fn command(&self, command: Subject) -> String {
        format!("{self}.cmd.{command}")
    }

    /// Returns the subject of a command that is known by its name only.
    pub(crate) fn command_named(&self, command: &str) -> String {
        format!("{self}.cmd.{command}")
    }

    /// Returns the subject of a command to one instance.
    pub fn instance(&self, instance: &str, command: Subject) -> String {
        format!("{self}.inst.{instance}.{command}")
    }

    /// Returns the subject of a command to one instance, known by its name only.
    pub(crate) fn instance_named(&self, instance: &str, command: &str) -> String {
        format!("{self}.inst.{instance}.{command}")
    }

    /// Returns the filter for all commands of a domain to one instance.
    pub fn instance_commands(&self, instance: &str, domain: &str) -> String {
        format!("{self}.inst.{instance}.{domain}.>")
    }

    /// Returns the filter for all commands of a domain.
    pub fn commands(&self, domain: &str) -> String {
        format!("{self}.cmd.{domain}.>")
    }

    /// Returns the subject of a command's jobs of one key, which is a token.
    pub(crate) fn job(&self, command: Subject, key: &str) -> String {
        format!("{self}.job.{command}.{key}")
    }

    /// Returns the filter for all jobs of a domain.
    pub fn jobs(&self, domain: &str) -> String {
        format!("{self}.job.{domain}.*.*")
    }

    /// Returns the subject on which a command's job of one key waits for its
    /// time, told from others by its name; key and name are tokens.
    pub(crate) fn timer(&self, command: Subject, key: &str, name: &Key) -> String {
        format!("{self}.tmr.{command}.{key}.{name}")
    }

    /// Returns the filter for all timers of a domain.
    pub fn timers(&self, domain: &str) -> String {
        format!("{self}.tmr.{domain}.>")
    }

    /// Returns the subjects on which a repetition waits and is done.
    pub(crate) fn repetition(&self, domain: &str, command: &str, key: &Key) -> (String, String) {
        let [timer, job] =
            ["tmr", "job"].map(|kind| format!("{self}.{kind}.{domain}.{command}.{key}"));
        (timer, job)
    }

    /// Returns the name of the stream of a domain's jobs and timers.
    pub fn job_stream(&self, domain: &str) -> String {
        format!("{self}_JOB_{domain}")
    }

    /// Returns the subject of dead letters of one actor, by its path in the tree.
    pub fn dead(&self, path: &str) -> String {
        format!("{self}.dead.{}", path.replace('/', "."))
    }

    /// Returns the filter for all dead letters.
    pub fn all_dead(&self) -> String {
        format!("{self}.dead.>")
    }

    /// Returns the name of the stream of dead letters.
    pub fn dead_stream(&self) -> String {
        format!("{self}_DEAD")
    }

    /// Returns the subject of the snapshot of one entity of a domain.
    pub fn snapshot(&self, domain: &str, entity: &str, key: &Key) -> String {
        format!("{self}.snap.{domain}.{entity}.{key}")
    }

    /// Returns the filter for all snapshots.
    pub fn all_snapshots(&self) -> String {
        format!("{self}.snap.>")
    }

    /// Returns the name of the stream of snapshots.
    pub fn snapshot_stream(&self) -> String {
        format!("{self}_SNAP")
    }

    /// Returns the subject of one parked key: its last message is its state.
    pub(crate) fn park(&self, child: &str, domain: &str, partition: u32, key: &str) -> String {
        let child = child.replace('/', "_");
        format!("{self}.park.key.{child}.{domain}.{partition}.{key}")
    }

    /// Returns the subject of a dead letter that is handled again.
    pub(crate) fn redrive(&self, child: &str, domain: &str, partition: u32, letter: u64) -> String {
        let child = child.replace('/', "_");
        format!("{self}.park.letter.{child}.{domain}.{partition}.{letter}")
    }

    /// Returns the filter for what concerns an actor in one partition of a domain.
    pub(crate) fn parks(&self, child: &str, domain: &str, partition: u32) -> String {
        let child = child.replace('/', "_");
        format!("{self}.park.*.{child}.{domain}.{partition}.*")
    }

    /// Returns the filter for all that is said of parked keys.
    pub fn all_parked(&self) -> String {
        format!("{self}.park.>")
    }

    /// Returns the name of the stream of parked keys.
    pub fn park_stream(&self) -> String {
        format!("{self}_PARK")
    }

    /// Returns the subject of what is left out of one entity; the key is a token.
    pub(crate) fn skip(&self, domain: &str, key: &str) -> String {
        format!("{self}.skip.{domain}.{key}")
    }

    /// Returns the filter for what is left out of the entities of a domain.
    pub(crate) fn skips(&self, domain: &str) -> String {
        format!("{self}.skip.{domain}.*")
    }

    /// Returns the filter for all that is left out of entities.
    pub fn all_skips(&self) -> String {
        format!("{self}.skip.>")
    }

    /// Returns the name of the stream of what is left out of entities.
    pub fn skip_stream(&self) -> String {
        format!("{self}_SKIP")
    }

    /// Returns where it is told that something was left out of an entity.
    pub(crate) fn skip_news(&self, domain: &str) -> String {
        self.system(&format!("operator.skip.{domain}"))
    }

    /// Returns where an actor hears that the operator did something for it.
    pub(crate) fn park_poke(&self, child: &str) -> String {
        self.system(&format!("operator.park.{}", child.replace('/', "_")))
    }

    /// Returns the subject of one saga's journal.
    pub fn saga(&self, saga: &str, id: &Key) -> String {
        format!("{self}.saga.{saga}.{id}")
    }

    /// Returns the filter for all journals of a saga.
    pub fn sagas(&self, saga: &str) -> String {
        format!("{self}.saga.{saga}.*")
    }

    /// Returns the name of the stream of a saga's journals.
    pub fn saga_stream(&self, saga: &str) -> String {
        format!("{self}_SAGA_{saga}")
    }

    /// Returns the subject on which it is told what became of a saga, now.
    pub fn saga_news(&self, saga: &str, state: &str) -> String {
        self.system(&format!("node.saga.{saga}.{state}"))
    }

    /// Returns the subject on which one saga is asked to go on.
    pub(crate) fn errand(&self, saga: &str, id: &Key) -> String {
        format!("{self}.run.{saga}.{id}")
    }

    /// Returns the subject on which one saga waits for its time.
    pub(crate) fn alarm(&self, saga: &str, id: &Key) -> String {
        format!("{self}.alarm.{saga}.{id}")
    }

    /// Returns the filters for what asks sagas to go on, now and later.
    pub(crate) fn errands(&self, saga: &str) -> [String; 2] {
        ["run", "alarm"].map(|kind| format!("{self}.{kind}.{saga}.*"))
    }

    /// Returns the name of the stream of what asks sagas to go on.
    pub(crate) fn errand_stream(&self, saga: &str) -> String {
        format!("{self}_RUN_{saga}")
    }

    /// Returns the subject of the checkpoint of a projection, by its path in the
    /// tree and its version.
    pub fn checkpoint(&self, path: &str, version: u32) -> String {
        format!("{self}.snap.{}.v{version}", path.replace('/', "."))
    }

    /// Returns the subject on which a projection is asked to be built anew, by
    /// its path in the tree.
    pub fn rebuild(&self, path: &str) -> String {
        format!("{self}.sys.operator.rebuild.{}", path.replace('/', "."))
    }

    /// Returns a subject of the runtime's own traffic: what nodes say is below `node.`,
    /// what operators order below `operator.`, and what anybody may ask, which changes
    /// nothing, below `ask.`.
    pub fn system(&self, what: &str) -> String {
        format!("{self}.sys.{what}")
    }

    /// Returns the filters for all traffic that is answered directly, which no
    /// stream may capture.
    pub fn requests(&self) -> [String; 3] {
        ["cmd", "inst", "sys"].map(|kind| format!("{self}.{kind}.>"))
    }
}

impl std::str::FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(name: &str) -> Result<Self, NamespaceError> {
        Self::new(name)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("callboard".into())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A text that cannot be a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be a namespace; use `a-z 0-9 - _`, such as `shop`", name.escape_debug())]
pub struct NamespaceError {
    /// The text.
    pub name: String,
}
