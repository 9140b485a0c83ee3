//! From descriptions to a living tree, on the thread that will host it.

use super::{
    Child, Group, Live, Member,
    child::Kind,
    errands::Errands,
    group::join,
    supervisor::{Policy, Supervisor},
};
use crate::{
    actor::{Answered, Blueprint, Hosted, Inbox, Jobs, Reaction, Report, Restart, Seat, instance},
    bus::PARTITIONS,
    call::{Client, Content, Door, Parcel, Settings, Work},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::mpsc;

/// What a tree grows on: one thread's way to the bus.
#[derive(Clone, Debug)]
pub(crate) struct Soil {
    pub(crate) settings: Settings,
}

/// A planted group: the tree, and what must be fed into it.
#[derive(Debug)]
pub(crate) struct Planted {
    pub(crate) member: Member,
    /// The domains whose commands it answers.
    pub(crate) domains: BTreeSet<&'static str>,
    /// How its actors hear events.
    pub(crate) reactions: Vec<Reaction>,
    /// How the group does its jobs, domain by domain.
    pub(crate) jobs: Vec<Jobs>,
}

/// Where a child grows: its parent's path, its place, and whom it reports to.
struct Place<'a> {
    soil: &'a Soil,
    parent: &'a str,
    member: usize,
    report: mpsc::Sender<Report>,
}

/// Plants a group as the `member`-th child of whoever holds `report`'s other end.
///
/// Nothing runs before [`Member::start`]. Must be called on an arbiter or in a
/// local task set.
pub(crate) fn plant(
    group: Group,
    soil: &Soil,
    member: usize,
    report: mpsc::Sender<Report>,
) -> Planted {
    let mut feed = Feed::default();
    let place = Place { soil, parent: "", member, report };
    let name = group.name().to_owned();
    let member = grow_group(group, &place, &mut feed);
    let jobs = feed.errands.jobs(&name, soil);
    Planted { member, domains: feed.domains, reactions: feed.reactions, jobs }
}

#[derive(Default)]
struct Feed {
    domains: BTreeSet<&'static str>,
    reactions: Vec<Reaction>,
    errands: Errands,
}

fn grow_group(mut group: Group, place: &Place<'_>, feed: &mut Feed) -> Member {
    let path: Arc<str> = join(place.parent, group.name()).into();
    let (control, orders) = mpsc::channel(4);
    let (report, reports) = mpsc::channel(2 * group.seats() + 1);
    let children = std::mem::take(&mut group.children);
    let below = Below { soil: place.soil, path: &path, report };
    let (members, restarts) = below.grow(children, feed);
    let lives = members
        .iter()
        .map(|member| Arc::clone(member.live()))
        .collect();
    let live = Live::new(group.name().to_owned(), group.strategy.to_string(), lives);
    let stop_limits = Member::stop_limits(&members);
    let supervisor = Supervisor {
        path: Arc::clone(&path),
        policy: Policy {
            strategy: group.strategy,
            intensity: group.intensity,
            backoff: group.backoff,
            restarts,
        },
        members,
        reports,
        control: orders,
        parent: place.report.clone(),
        member: place.member,
        life: 0,
        due: Vec::new(),
    };
    // Its parent notices its end: the control channel closes with it.
    drop(tokio::task::spawn_local(supervisor.run()));
    Member::of_group(path, live, control, stop_limits)
}

/// The ground below a group, where its children grow.
struct Below<'a> {
    soil: &'a Soil,
    path: &'a str,
    report: mpsc::Sender<Report>,
}

impl Below<'_> {
    /// Grows all children, each instance of an actor as one of its own.
    fn grow(&self, children: Vec<Child>, feed: &mut Feed) -> (Vec<Member>, Vec<Restart>) {
        // Whoever is below speaks for the domain at the top.
        let domain = self.path.split('/').next().unwrap_or_default();
        let client = Client::of(self.soil.settings.clone(), domain);
        let (mut members, mut restarts) = (Vec::new(), Vec::new());
        for Child(kind) in children {
            let place = Place {
                soil: self.soil,
                parent: self.path,
                member: members.len(),
                report: self.report.clone(),
            };
            match kind {
                Kind::Group(group) => {
                    restarts.push(group.restart);
                    members.push(grow_group(group, &place, feed));
                }
                Kind::Actor(actor) => {
                    restarts.extend(std::iter::repeat_n(actor.restart, actor.instances));
                    members.extend(grow_actor(&actor, &place, &client, feed));
                }
            }
        }
        (members, restarts)
    }
}

fn grow_actor(
    actor: &Blueprint,
    place: &Place<'_>,
    client: &Client,
    feed: &mut Feed,
) -> Vec<Member> {
    let path: Arc<str> = join(place.parent, actor.name).into();
    let mut members = Vec::new();
    let mut inboxes = Vec::new();
    for number in 0..actor.instances {
        let (name, own) = if actor.instances == 1 {
            (actor.name.to_owned(), Arc::clone(&path))
        } else {
            (
                format!("{}#{number}", actor.name),
                format!("{path}#{number}").into(),
            )
        };
        let seat = Seat {
            client: client.clone(),
            path: Arc::clone(&own),
            actor: Arc::clone(&path),
            member: place.member + number,
            report: place.report.clone(),
        };
        let hosted: Hosted = (actor.spawn)(seat);
        inboxes.push(hosted.inbox.clone());
        let live = Live::of_actor(
            name,
            actor.restart.to_string(),
            hosted.inbox.clone(),
            actor.lag.clone(),
        );
        let times = (actor.stop_within, Arc::from(&*actor.ticks));
        members.push(Member::of_cell(own, live, &hosted, times));
    }
    let inboxes: Arc<[Inbox]> = inboxes.into();
    for answered in &actor.answers {
        feed.domains.insert(answered.subject.domain());
        place
            .soil
            .settings
            .doors
            .open(answered.subject.as_str(), door(&inboxes, *answered));
    }
    feed.errands.of_actor(actor, &path, &inboxes);
    feed.reactions
        .extend(reactions(actor, &path, client, &inboxes));
    members
}

/// Opens the way for one command into an actor's instances.
pub(super) fn door(inboxes: &Arc<[Inbox]>, answered: Answered) -> Door {
    let inboxes = Arc::clone(inboxes);
    let offer = move |mut parcel: Parcel, key: Option<&str>| {
        parcel.route = answered.route;
        let [only] = &*inboxes else {
            let found = if key.is_none() {
                find_key(&mut parcel, answered)
            } else {
                None
            };
            return choose(&inboxes, key.or(found.as_deref())).offer(parcel);
        };
        only.offer(parcel)
    };
    Door {
        subject: Some(answered.subject),
        command: answered.command,
        offer: Box::new(offer),
    }
}

/// Decodes a command from the bus to find its key; one that does not decode is
/// refused by its handler.
fn find_key(parcel: &mut Parcel, answered: Answered) -> Option<String> {
    let content = match &mut parcel.work {
        Work::Remote(arrived) => &mut arrived.content,
        Work::Job(errand) => &mut errand.content,
        _ => return None,
    };
    let Content::Encoded(payload) = &*content else {
        return None;
    };
    let (command, key) = (answered.peek)(payload)?;
    *content = Content::Decoded(command);
    Some(key)
}

/// Returns the instance of a key, or the one with least to do.
fn choose<'a>(inboxes: &'a [Inbox], key: Option<&str>) -> &'a Inbox {
    match key {
        Some(key) if !key.is_empty() => &inboxes[instance(key, inboxes.len())],
        _ => inboxes
            .iter()
            .min_by_key(|inbox| inbox.depth())
            .expect("an actor has an instance"),
    }
}

/// Describes how an actor hears each domain, partition by partition.
fn reactions(
    actor: &Blueprint,
    path: &Arc<str>,
    client: &Client,
    inboxes: &Arc<[Inbox]>,
) -> Vec<Reaction> {
    let domains: BTreeSet<_> = actor
        .hears
        .iter()
        .map(|(event, _)| event.domain())
        .collect();
    let mut reactions = Vec::new();
    for domain in domains {
        let hears: Arc<[_]> = actor
            .hears
            .iter()
            .copied()
            .filter(|(event, _)| event.domain() == domain)
            .collect();
        reactions.extend((0..PARTITIONS).map(|partition| Reaction {
            client: client.clone(),
            path: Arc::clone(path),
            domain,
            partition,
            hears: Arc::clone(&hears),
            inboxes: Arc::clone(inboxes),
            retry: actor.retry,
            begins: actor.begins,
        }));
    }
    reactions
}
