use super::{
    Chosen, Ejected, Route, RouteError, RouteTable, Rule, Spread,
    able::{Able, Peers},
    hash::hash,
    outliers::Outliers,
    pick::{Draw, pick},
    split::split,
};
use crate::{
    roster::{Instance, Roster},
    version,
};
use dashmap::DashMap;
use semver::VersionReq;
use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// The share of an instance that says nothing of it.
const WEIGHT: u32 = 100;

/// The table that a node goes by; cheap to clone, changed for all clones at once.
#[derive(Clone, Default)]
pub(crate) struct Routes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is any route: all that a call without one looks at.
    any: AtomicBool,
    table: Mutex<RouteTable>,
    /// What tells it from others.
    stamp: Mutex<(u64, u64)>,
    ways: DashMap<Box<str>, Arc<Way>>,
    /// How many calls from here each instance has at hand.
    loads: DashMap<String, Arc<AtomicUsize>>,
}

/// One route at work.
pub(super) struct Way {
    pub(super) route: Route,
    rules: Vec<(Rule, Shares)>,
    turn: AtomicUsize,
    pub(super) outliers: Arc<Mutex<Outliers>>,
}

/// The weight of each range of versions, and the range as it is written.
type Shares = Vec<(String, Arc<VersionReq>, u32)>;

/// An instance, and how busy it is.
type Picked = (Instance, Arc<AtomicUsize>);

/// Instances, and the range that their versions are in, if it must be one.
type Within<'a> = (Vec<&'a Instance>, Option<Arc<VersionReq>>);

/// What is known of a command that looks for its way.
pub(crate) trait Wish {
    /// Returns the command, as `domain.name`.
    fn command(&self) -> &str;
    /// Returns its domain.
    fn domain(&self) -> &str;
    /// Returns its key; empty if it has none.
    fn key(&self) -> Cow<'_, str>;
    /// Returns a header.
    fn header(&self, name: &str) -> Option<String>;
    /// Returns a field.
    fn field(&self, path: &str) -> Option<String>;
}

impl Routes {
    /// Takes a table in the place of the one that it was made from, or of whatever is
    /// there; returns its version.
    ///
    /// # Errors
    ///
    /// Returns [`RouteError`] if the table is flawed, or another has come since; then
    /// all stays as it is.
    pub(crate) fn set(
        &self,
        mut table: RouteTable,
        made_from: Option<u64>,
    ) -> Result<u64, RouteError> {
        let mut known = lock(&self.0.table);
        table.version = version::next(made_from, known.version)?;
        table.check()?;
        let version = table.version;
        self.put(&mut known, table);
        drop(known);
        Ok(version)
    }

    /// Takes the table that a node starts with, of the version that it says.
    ///
    /// # Errors
    ///
    /// Returns [`RouteError`] if the table is flawed.
    pub(crate) fn start(&self, mut table: RouteTable) -> Result<(), RouteError> {
        table.version = table.version.max(1);
        table.check()?;
        self.adopt(table);
        Ok(())
    }

    /// Takes a table that another node goes by, if it is newer; of two of one
    /// version, all nodes take the same.
    pub(crate) fn adopt(&self, table: RouteTable) -> bool {
        let mut known = lock(&self.0.table);
        let is_newer = stamp(&table) > self.stamp() && table.check().is_ok();
        if is_newer {
            self.put(&mut known, table);
        }
        drop(known);
        is_newer
    }

    /// Returns the table.
    pub(crate) fn table(&self) -> RouteTable {
        lock(&self.0.table).clone()
    }

    /// Returns what tells its table from others, the newer being the greater.
    pub(crate) fn stamp(&self) -> (u64, u64) {
        *lock(&self.0.stamp)
    }

    fn put(&self, known: &mut RouteTable, table: RouteTable) {
        let old: Vec<_> = self.0.ways.iter().map(|way| Arc::clone(&way)).collect();
        let ways: Vec<_> = table
            .routes
            .iter()
            .map(|route| Way::of(route, &old))
            .collect();
        let any = !ways.is_empty();
        // The new ones first: a call must not find neither the old one nor the new.
        for way in ways {
            self.0
                .ways
                .insert(way.route.to.as_str().into(), Arc::new(way));
        }
        self.0
            .ways
            .retain(|to, _| table.routes.iter().any(|route| *route.to == **to));
        self.0.any.store(any, Relaxed);
        *lock(&self.0.stamp) = stamp(&table);
        *known = table;
    }

    /// Returns whether there is any route.
    pub(crate) fn any(&self) -> bool {
        self.0.any.load(Relaxed)
    }

    /// Chooses an instance for a command, one that has not been tried if there is any;
    /// nothing if it has no route, or its route has nobody to choose: then it goes
    /// the usual way.
    pub(crate) fn choose(
        &self,
        wish: &impl Wish,
        roster: &Roster,
        (here, region): (&str, &str),
        tried: &[Instance],
    ) -> Option<Chosen> {
        let way = self.way(wish.command(), wish.domain())?;
        if way.route.spread == Spread::Queue && way.rules.is_empty() && way.route.eject.is_none() {
            return None;
        }
        let service = roster.answering(wish.domain());
        let known = service.iter().filter(|it| way.may(it, wish.command()));
        let known: Vec<_> = known.collect();
        let key = wish.key();
        let (able, range) = way.able(known, wish, &key)?;
        let peers = way.route.eject.is_some().then(|| {
            let (service, command) = (Arc::clone(&service), wish.command().into());
            Peers { service, command, range }
        });
        let able = unless_none(able, |it| tried.iter().all(|tried| tried.id() != it.id()));
        let spread = match way.route.spread {
            Spread::Queue => Spread::LeastInFlight,
            spread => spread,
        };
        let draw = Draw {
            key: &key,
            turn: way.turn.fetch_add(1, Relaxed),
            random: [fastrand::u64(..), fastrand::u64(..)],
            overflow: way.route.overflow,
        };
        let one_of = |instances: &[&Instance]| {
            let able = Able { instances, routes: self, here, region };
            let place = pick(spread, &able, draw)?;
            let load = self.load(instances[place].id());
            load.fetch_add(1, Relaxed);
            Some((instances[place].clone(), load))
        };
        let since = Instant::now();
        let ((instance, load), is_probe) = way.choose(able, one_of, since)?;
        let is_here = instance.id() == here;
        Some(Chosen { instance, is_here, load, way, peers, since, is_probe })
    }

    /// Returns the instances that are left out now.
    pub(crate) fn ejected(&self, now: Instant) -> Vec<Ejected> {
        let mut all = Vec::new();
        for way in &self.0.ways {
            let outliers = lock(&way.outliers);
            all.extend(outliers.out(now).map(|(instance, left, times)| Ejected {
                route: way.route.to.clone(),
                instance: instance.to_owned(),
                ejected_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                times,
            }));
        }
        all.sort_by(|a, b| (&a.route, &a.instance).cmp(&(&b.route, &b.instance)));
        all
    }

    fn way(&self, command: &str, domain: &str) -> Option<Arc<Way>> {
        if !self.any() {
            return None;
        }
        let found = self.0.ways.get(command).or_else(|| self.0.ways.get(domain));
        found.map(|way| Arc::clone(&way))
    }

    fn load(&self, instance: &str) -> Arc<AtomicUsize> {
        if let Some(load) = self.0.loads.get(instance) {
            return Arc::clone(&load);
        }
        Arc::clone(&self.0.loads.entry(instance.to_owned()).or_default())
    }

    /// Returns how many calls from here an instance has at hand.
    pub(super) fn load_of(&self, instance: &str) -> usize {
        let load = self.0.loads.get(instance);
        load.map_or(0, |load| load.load(Relaxed))
    }

    /// Forgets what is known of instances that are gone.
    pub(crate) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.0.loads.retain(|instance, _| is_there(instance));
        for way in &self.0.ways {
            lock(&way.outliers).keep(&is_there);
        }
    }
}

impl Way {
    /// Makes a route work; it remembers what an older one of the same target knew.
    fn of(route: &Route, old: &[Arc<Self>]) -> Self {
        let same = old
            .iter()
            .find(|way| way.route.to == route.to && way.route.eject == route.eject);
        let rules = route.rules.iter().map(|rule| {
            let ranges = rule.versions.iter().filter_map(|(range, weight)| {
                let read = VersionReq::parse(range).ok()?;
                Some((range.clone(), Arc::new(read), *weight))
            });
            (rule.clone(), ranges.collect())
        });
        Self {
            rules: rules.collect(),
            turn: AtomicUsize::new(0),
            outliers: same.map_or_else(Arc::default, |way| Arc::clone(&way.outliers)),
            route: route.clone(),
        }
    }

    /// Whether an instance may get a command at all: versions differ in what they
    /// answer, and where weights count, one of none gets nothing.
    pub(super) fn may(&self, it: &Instance, command: &str) -> bool {
        let is_weighed = matches!(self.route.spread, Spread::Weighted | Spread::Key);
        it.is_healthy() && it.service().answers.contains(command) && (!is_weighed || weight(it) > 0)
    }

    /// Returns the instances of the versions that the rules give the command, and their
    /// range; nothing if nobody has such a version.
    fn able<'a>(
        &self,
        known: Vec<&'a Instance>,
        wish: &impl Wish,
        key: &str,
    ) -> Option<Within<'a>> {
        let Some((_, ranges)) = self.rules.iter().find(|(rule, _)| fits(rule, wish)) else {
            return Some((known, None));
        };
        let has = |range: &VersionReq| known.iter().any(|it| range.matches(&it.service().version));
        // A command without a key is a draw of its own.
        let drawn = if key.is_empty() {
            fastrand::u64(..).to_string()
        } else {
            key.to_owned()
        };
        let there = ranges.iter().filter(|(_, range, _)| has(range));
        let named = there.map(|(name, range, weight)| (&**name, *weight, range));
        let range = split(&drawn, named).map(Arc::clone)?;
        let able = known.into_iter();
        let able = able.filter(|it| range.matches(&it.service().version));
        Some((able.collect(), Some(range)))
    }

    /// Chooses one of those that are not left out; tells whether that is a probe.
    fn choose(
        &self,
        able: Vec<&Instance>,
        one_of: impl FnOnce(&[&Instance]) -> Option<Picked>,
        now: Instant,
    ) -> Option<(Picked, bool)> {
        if self.route.eject.is_none() {
            return Some((one_of(&able)?, false));
        }
        let mut outliers = lock(&self.outliers);
        if outliers.is_empty() {
            drop(outliers);
            return Some((one_of(&able)?, false));
        }
        // Somebody rather than nobody.
        let able = unless_none(able, |it| !outliers.is_out(it.id(), now));
        let able = unless_none(able, |it| outliers.admits(it.id(), now));
        let picked = one_of(&able)?;
        let is_probe = outliers.probe(picked.0.id(), now);
        drop(outliers);
        Some((picked, is_probe))
    }
}

/// Leaves out what is not wanted, unless that is all.
fn unless_none(mut all: Vec<&Instance>, wanted: impl Fn(&Instance) -> bool) -> Vec<&Instance> {
    if all.iter().any(|it| wanted(it)) {
        all.retain(|it| wanted(it));
    }
    all
}

fn fits(rule: &Rule, wish: &impl Wish) -> bool {
    let is = |found: Option<String>| match (&rule.equals, found) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(wanted), Some(found)) => *wanted == found,
    };
    rule.header
        .as_ref()
        .is_none_or(|name| is(wish.header(name)))
        && rule.field.as_ref().is_none_or(|path| is(wish.field(path)))
}

pub(super) fn weight(instance: &Instance) -> u32 {
    let said = instance.service().metadata.get("weight");
    said.and_then(|text| text.parse().ok()).unwrap_or(WEIGHT)
}

fn stamp(table: &RouteTable) -> (u64, u64) {
    if table.version == 0 {
        return (0, 0);
    }
    // As it is written: a field that nobody set is not, in whichever program.
    let text = serde_json::to_string(&table.routes).unwrap_or_default();
    (table.version, hash(&text, ""))
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routes({:?})", self.table())
    }
}

#[cfg(test)]
mod tests {
    use super::{RouteTable, hash, stamp};

    #[test]
    fn what_tells_a_table_from_others_is_what_somebody_set_in_it() {
        let table = r#"{"version": 3, "route": [{"to": "till"}]}"#;
        let table: RouteTable = serde_json::from_str(table).expect("a table");
        let written = r#"[{"to":"till","spread":"queue","overflow":64,"rule":[]}]"#;
        assert_eq!(stamp(&table), (3, hash(written, "")));
        assert_eq!(stamp(&RouteTable::default()), (0, 0));
    }
}
