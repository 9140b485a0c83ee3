use super::{
    Card, Heard, Instance, Query, Statistics,
    ledger::{Ledger, Seen},
};
use dashmap::DashMap;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::watch, time::Instant};

/// Who is there: all services of a namespace, as this process has heard of them.
///
/// It is cheap to clone and to read: reading waits for nobody. A node hears of
/// others within a moment of their start and of their leaving, and takes one
/// that falls silent for gone after its time to live. A
/// [`Client`](crate::Client) without a node hears of nobody.
#[derive(Clone)]
pub struct Roster(Arc<View>);

struct View {
    /// For who writes; readers have the table below.
    ledger: Mutex<Ledger>,
    services: DashMap<Box<str>, Arc<[Instance]>>,
    /// The same by the domains whose commands they answer.
    domains: DashMap<Box<str>, Arc<[Instance]>>,
    changed: watch::Sender<u64>,
}

impl Roster {
    /// Returns the instances that a query wants.
    pub fn find(&self, query: &Query) -> Vec<Instance> {
        let Some(service) = &query.service else {
            let mut all = self.all();
            all.retain(|instance| query.wants(instance));
            return all;
        };
        let known = self.of(service);
        known
            .iter()
            .filter(|instance| query.wants(instance))
            .cloned()
            .collect()
    }

    /// Returns all instances of a service, in whatever state, in the order of
    /// their ids.
    pub fn of(&self, service: &str) -> Arc<[Instance]> {
        let found = self.0.services.get(service);
        found.map_or_else(Arc::default, |known| Arc::clone(&known))
    }

    /// Returns all instances that answer the commands of a domain.
    pub(crate) fn answering(&self, domain: &str) -> Arc<[Instance]> {
        let found = self.0.domains.get(domain);
        found.map_or_else(Arc::default, |known| Arc::clone(&known))
    }

    /// Counts services and instances.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.all())
    }

    /// Returns word of changes from now on.
    pub fn watch(&self) -> Changes {
        Changes(self.0.changed.subscribe())
    }

    /// Returns what each node says of itself, in the order of their instances.
    pub fn cards(&self) -> Vec<Arc<Card>> {
        self.page("", usize::MAX)
            .into_iter()
            .map(|(card, _)| card)
            .collect()
    }

    fn all(&self) -> Vec<Instance> {
        let mut all: Vec<_> = self
            .0
            .services
            .iter()
            .flat_map(|known| known.to_vec())
            .collect();
        all.sort_by(|a, b| (&a.service().name, a.id()).cmp(&(&b.service().name, b.id())));
        all
    }

    /// Hears a card that was said at a time; one's own node gives way to no other.
    pub(crate) fn hear(&self, card: Card, heard: Instant, own: &str) -> Heard {
        let mut ledger = self.ledger();
        let before = namesakes(&ledger, &card);
        let services = names(&card);
        let outcome = ledger.card(card, heard, own);
        if outcome == Heard::News {
            self.show(&ledger, before.into_iter().chain(services));
        }
        drop(ledger);
        outcome
    }

    /// Hears a sign of life.
    pub(crate) fn beat(&self, instance: &str, revision: u64, heard: Instant) -> Heard {
        self.ledger().beat(instance, revision, heard)
    }

    /// Hears at a time that a node has left.
    pub(crate) fn leave(&self, instance: &str, at: Instant) {
        let mut ledger = self.ledger();
        if let Some(card) = ledger.leave(instance, at) {
            self.show(&ledger, names(&card));
        }
    }

    /// Forgets those that have been silent too long, but for one; returns them.
    pub(crate) fn expire(&self, now: Instant, own: &str) -> Vec<Arc<Card>> {
        let mut ledger = self.ledger();
        let gone = ledger.expire(now, own);
        if !gone.is_empty() {
            self.show(&ledger, gone.iter().flat_map(|card| names(card)));
        }
        drop(ledger);
        gone
    }

    /// Returns so many cards, and when each was heard of, from after an instance on.
    pub(crate) fn page(&self, after: &str, count: usize) -> Vec<(Arc<Card>, Instant)> {
        let known = |seen: &Seen| (Arc::clone(&seen.card), seen.pulse.last());
        self.ledger().after(after).take(count).map(known).collect()
    }

    /// Returns what one node says of itself.
    pub(crate) fn card(&self, instance: &str) -> Option<Arc<Card>> {
        self.ledger()
            .get(instance)
            .map(|seen| Arc::clone(&seen.card))
    }

    /// Returns how many nodes there are, and how many have names before this one's,
    /// of which no more than so many are counted.
    pub(crate) fn place(&self, instance: &str, most: usize) -> (usize, usize) {
        self.ledger().place(instance, most)
    }

    /// Returns whether a card of this revision, or a later one, is known.
    pub(crate) fn knows(&self, instance: &str, revision: u64) -> bool {
        self.ledger()
            .get(instance)
            .is_some_and(|seen| seen.card.revision >= revision)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the readers' tables up to date.
    fn show(&self, ledger: &Ledger, changed: impl IntoIterator<Item = Named>) {
        let (mut services, mut domains) = (BTreeMap::new(), BTreeMap::new());
        for Named { service, domains: its } in changed {
            services.insert(service, Vec::new());
            domains.extend(its.into_iter().map(|domain| (domain, Vec::new())));
        }
        for Seen { card, pulse } in ledger.after("") {
            for (at, service) in card.services.iter().enumerate() {
                let instance = || Instance { card: Arc::clone(card), at, pulse: Arc::clone(pulse) };
                if let Some(instances) = services.get_mut(&service.name) {
                    instances.push(instance());
                }
                for domain in service.domains() {
                    if let Some(instances) = domains.get_mut(domain) {
                        instances.push(instance());
                    }
                }
            }
        }
        put(&self.0.services, services);
        put(&self.0.domains, domains);
        self.0.changed.send_modify(|count| *count += 1);
    }
}

fn put(table: &DashMap<Box<str>, Arc<[Instance]>>, changed: BTreeMap<String, Vec<Instance>>) {
    for (name, instances) in changed {
        if instances.is_empty() {
            table.remove(&*name);
        } else {
            table.insert(name.into(), instances.into());
        }
    }
}

/// What a service is found by.
struct Named {
    service: String,
    domains: Vec<String>,
}

/// Returns the services that a card may take out of the table.
fn namesakes(ledger: &Ledger, card: &Card) -> Vec<Named> {
    if let Some(seen) = ledger.get(&card.instance) {
        return names(&seen.card);
    }
    let same = ledger.after("").filter(|seen| seen.card.node == card.node);
    same.flat_map(|seen| names(&seen.card)).collect()
}

fn names(card: &Card) -> Vec<Named> {
    let named = card.services.iter().map(|service| Named {
        service: service.name.clone(),
        domains: service.domains().map(str::to_owned).collect(),
    });
    named.collect()
}

impl Default for Roster {
    fn default() -> Self {
        Self(Arc::new(View {
            ledger: Mutex::default(),
            services: DashMap::new(),
            domains: DashMap::new(),
            changed: watch::Sender::new(0),
        }))
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

/// Word of changes of a [`Roster`].
#[derive(Clone, Debug)]
pub struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Waits for a change since it was awaited last; several may be one. Returns
    /// false once there will be none: nobody holds the roster any more.
    ///
    /// # Cancel safety
    ///
    /// Safe: a change that was not returned is returned the next time.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{Service, Status};
    use semver::Version;
    use std::{collections::BTreeSet, time::Duration};

    fn card(node: &str, revision: u64, services: &[(&str, Status)]) -> Card {
        let service = |(name, status): &(&str, Status)| Service {
            name: (*name).to_owned(),
            version: Version::new(1, 2, 0),
            status: *status,
            reason: None,
            tags: ["gold".to_owned()].into(),
            metadata: BTreeMap::new(),
            depends_on: BTreeSet::default(),
            answers: BTreeSet::default(),
            hears: BTreeSet::default(),
            repeats: BTreeSet::default(),
            schemas: BTreeMap::new(),
            publishes: BTreeSet::default(),
            calls: BTreeSet::default(),
            callers: BTreeSet::default(),
        };
        Card {
            instance: format!("{node}-1"),
            node: node.into(),
            region: "eu".into(),
            revision,
            ttl_ms: 1_000,
            services: services.iter().map(service).collect(),
        }
    }

    #[tokio::test]
    async fn readers_see_who_comes_changes_and_goes() {
        let (roster, now) = (Roster::default(), Instant::now());
        let mut changes = roster.watch();
        roster.hear(
            card(
                "a",
                1,
                &[("till", Status::Starting), ("desk", Status::Healthy)],
            ),
            now,
            "",
        );
        roster.hear(card("b", 1, &[("till", Status::Healthy)]), now, "");
        assert!(changes.next().await);
        let tills = |roster: &Roster| roster.find(&Query::of("till")).len();
        assert_eq!((tills(&roster), roster.of("till").len()), (1, 2));
        roster.hear(card("a", 2, &[("till", Status::Healthy)]), now, "");
        assert_eq!((tills(&roster), roster.of("desk").len()), (2, 0));
        roster.leave("b-1", now);
        assert_eq!(tills(&roster), 1);
        assert_eq!(roster.expire(now + Duration::from_secs(2), "").len(), 1);
        assert!(roster.of("till").is_empty());
    }

    #[test]
    fn a_query_wants_all_that_it_says() {
        let (roster, now) = (Roster::default(), Instant::now());
        roster.hear(
            card("a", 1, &[("till", Status::Healthy), ("desk", Status::Sick)]),
            now,
            "",
        );
        let found = |query: Query| roster.find(&query).len();
        let range = |text| semver::VersionReq::parse(text).expect("a range");
        assert_eq!(found(Query::all()), 1);
        assert_eq!(found(Query::all().any_status()), 2);
        assert_eq!(
            found(
                Query::of("till")
                    .version(range("^1.1"))
                    .tag("gold")
                    .region("eu")
            ),
            1
        );
        assert_eq!(found(Query::of("till").version(range("^2"))), 0);
        assert_eq!(found(Query::of("till").tag("gold").tag("new")), 0);
        assert_eq!(found(Query::of("till").region("us")), 0);
        assert_eq!(found(Query::of("tills")), 0);
        let counted = roster.statistics();
        assert_eq!(
            (counted.services, counted.instances, counted.healthy),
            (2, 2, 1)
        );
        assert_eq!(counted.by_service["desk"].unhealthy, 1);
    }
}
