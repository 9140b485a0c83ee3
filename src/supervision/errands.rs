//! What a group does on its own: jobs, and what it repeats.

use super::{Soil, plant::door};
use crate::{
    actor::{Blueprint, Inbox, JobRoute, Jobs, Repeated, Repetition, Worker},
    call::{Client, Door, Parcel},
    message::Key,
};
use std::{any::TypeId, collections::BTreeMap, sync::Arc};

/// Which actor of a group does what.
#[derive(Debug, Default)]
pub(super) struct Errands {
    routes: Vec<JobRoute>,
    repetitions: Vec<Repetition>,
}

impl Errands {
    /// Notes what an actor does.
    pub(super) fn of_actor(&mut self, actor: &Blueprint, path: &Arc<str>, inboxes: &Arc<[Inbox]>) {
        let worker = |door| Worker {
            path: Arc::clone(path),
            door: Arc::new(door),
            inboxes: Arc::clone(inboxes),
            retry: actor.retry,
        };
        for answered in &actor.answers {
            let worker = worker(door(inboxes, *answered));
            self.routes
                .push(JobRoute { command: answered.subject, worker });
        }
        for repeated in &actor.repeats {
            let Repeated { name, pattern, .. } = *repeated;
            let Ok(key) = Key::new(&format!("{path}/{name}")) else {
                tracing::error!(
                    child = &**path,
                    name,
                    "path and name are too long to repeat"
                );
                continue;
            };
            let worker = worker(run_door(inboxes, *repeated));
            self.repetitions
                .push(Repetition { name, pattern, key, worker });
        }
    }

    /// Describes how a group does the jobs of each domain that it answers, and its own.
    pub(super) fn jobs(self, group: &str, soil: &Soil) -> Vec<Jobs> {
        let client = Client::of(soil.settings.clone(), group);
        let mut repetitions = self.repetitions;
        let mut domains: BTreeMap<&str, Vec<JobRoute>> = BTreeMap::new();
        for route in self.routes {
            let domain = route.command.domain();
            domains.entry(domain).or_default().push(route);
        }
        if !repetitions.is_empty() {
            domains.entry(group).or_default();
        }
        let jobs = domains.into_iter().map(|(domain, routes)| Jobs {
            client: client.clone(),
            domain: domain.into(),
            path: group.into(),
            routes: routes.into(),
            repetitions: if domain == group {
                std::mem::take(&mut repetitions).into()
            } else {
                Arc::new([])
            },
        });
        jobs.collect()
    }
}

/// Opens the way for what is repeated: always into the first instance.
fn run_door(inboxes: &Arc<[Inbox]>, repeated: Repeated) -> Door {
    let inboxes = Arc::clone(inboxes);
    let offer = move |mut parcel: Parcel, _: Option<&str>| {
        parcel.route = repeated.route;
        inboxes[0].offer(parcel)
    };
    Door { subject: None, command: TypeId::of::<()>(), offer: Box::new(offer) }
}
