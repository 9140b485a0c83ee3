use super::{
    Inbox, Retry,
    job_reader::Reader,
    repetition::{COMMAND, Repetition},
};
use crate::{
    bus::{PARTITIONS, Stored, Subscription},
    call::{Client, Door},
    message::{
        Id, Key, Request, Subject,
        headers::{CB_CORRELATION, CB_ID, MSG_ID, SCHEDULE},
    },
    roster::Status,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// How often a domain that never had a job looks whether it has one now, should
/// it not have heard of it.
const LOOK: Duration = Duration::from_secs(30);

/// How a group does the jobs of one domain.
///
/// Until the domain has its first job it is only listened for; then each
/// partition is read by one node at a time, in order per key and side by side
/// across keys.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    pub(crate) client: Client,
    pub(crate) domain: Arc<str>,
    /// The group's path in the tree.
    pub(crate) path: Arc<str>,
    pub(crate) routes: Arc<[JobRoute]>,
    pub(crate) repetitions: Arc<[Repetition]>,
}

/// Where the jobs of one command are done.
#[derive(Debug)]
pub(crate) struct JobRoute {
    pub(crate) command: Subject,
    pub(crate) worker: Worker,
}

/// The actor that does a job.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// The actor's path in the tree.
    pub(crate) path: Arc<str>,
    pub(crate) door: Arc<Door>,
    pub(crate) inboxes: Arc<[Inbox]>,
    pub(crate) retry: Retry,
}

impl Jobs {
    /// Does jobs until told to stop, and starts over when the bus fails.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        if self.repetitions.is_empty() {
            let mut waiting = stop.clone();
            tokio::select! {
                () = self.await_first() => {}
                _ = waiting.wait_for(|stop| *stop) => return,
            }
        }
        let mut readers = JoinSet::new();
        for partition in 0..PARTITIONS {
            let reader = Reader { jobs: self.clone(), partition };
            readers.spawn_local(reader.run(stop.clone()));
        }
        for repetition in &*self.repetitions {
            let begin = repetition.begin(&self.client, &self.domain);
            tokio::select! {
                () = begin => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        while let Some(ended) = readers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(group = &*self.path, %error, "a reader of jobs ended badly");
            }
        }
    }

    /// Waits until the domain has a job, or a timer, for the first time.
    async fn await_first(&self) {
        let (bus, namespace) = (self.client.bus(), self.client.namespace());
        let (jobs, timers) = (namespace.jobs(&self.domain), namespace.timers(&self.domain));
        let mut jobs = bus.subscribe_to_stored(&jobs).await.ok();
        let mut timers = bus.subscribe_to_stored(&timers).await.ok();
        loop {
            match self.has_any().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(domain = &*self.domain, error, "jobs are not seen");
                }
            }
            tokio::select! {
                () = heard(&mut jobs) => return,
                () = heard(&mut timers) => return,
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Whether there was ever a job, or a timer.
    async fn has_any(&self) -> Result<bool, String> {
        let stream = self.client.jobs(&self.domain).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let info = stream.info().await.map_err(|error| error.to_string())?;
        Ok(info.last_sequence > 0)
    }
}

/// Waits for a message; for ever if there can be none.
async fn heard(subscription: &mut Option<Subscription>) {
    let message = match subscription {
        Some(subscription) => subscription.next().await,
        None => None,
    };
    if message.is_none() {
        std::future::pending::<()>().await;
    }
}

/// What a message in the stream of jobs asks for.
pub(super) enum Task<'a> {
    /// To do a command.
    Command(&'a Worker),
    /// To run a handler once more.
    Repetition(&'a Repetition),
    /// Something that nobody here can do: another version may.
    Unknown(Wanted),
    /// Nothing: why.
    Nothing(&'static str),
}

/// What a group lacks to do a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The answer to a command, by its full name.
    Answer(String),
    /// A repetition, by its actor's path and its name.
    Repetition(String),
}

impl Wanted {
    pub(super) fn name(&self) -> &str {
        let (Self::Answer(name) | Self::Repetition(name)) = self;
        name
    }
}

impl Jobs {
    /// Whether all its actors were removed; then another node may have some.
    pub(super) fn is_away(&self) -> bool {
        let routes = self.routes.iter().map(|route| &route.worker);
        let repetitions = self.repetitions.iter().map(|repeated| &repeated.worker);
        let mut inboxes = routes
            .chain(repetitions)
            .flat_map(|worker| &*worker.inboxes);
        inboxes.all(Inbox::is_closed)
    }

    /// Finds out what a message asks for.
    pub(super) fn task(&self, stored: &Stored) -> Task<'_> {
        if stored.headers.get(SCHEDULE).is_some() {
            return Task::Nothing("it is scheduled where jobs are done");
        }
        let (command, key) = tokens(stored);
        if command == COMMAND {
            let mut repetitions = self.repetitions.iter();
            return match repetitions.find(|repetition| repetition.key.as_str() == key) {
                Some(repetition) => Task::Repetition(repetition),
                None => Task::Unknown(Wanted::Repetition(decoded(key))),
            };
        }
        let mut routes = self.routes.iter();
        match routes.find(|route| route.command.name() == command) {
            Some(route) => Task::Command(&route.worker),
            None => Task::Unknown(Wanted::Answer(format!("{}.{command}", self.domain))),
        }
    }

    /// Whether another node that is there can do what is wanted here.
    pub(super) fn is_known_elsewhere(&self, wanted: &Wanted) -> bool {
        let (own, roster) = (&*self.client.ways().instance, self.client.roster());
        let others = match wanted {
            Wanted::Answer(_) => roster.answering(&self.domain),
            Wanted::Repetition(_) => roster.of(&self.path),
        };
        let mut others = others.iter().filter(|other| {
            let stays = !matches!(other.service().status, Status::Draining | Status::Unknown);
            stays && other.id() != own
        });
        others.any(|other| match wanted {
            Wanted::Answer(command) => other.service().answers.contains(command),
            Wanted::Repetition(name) => other.service().repeats.contains(name),
        })
    }

    /// Returns who answers for a message, and how often it is tried.
    pub(super) fn owner(&self, stored: &Stored) -> (Arc<str>, Retry) {
        match self.task(stored) {
            Task::Command(worker) | Task::Repetition(Repetition { worker, .. }) => {
                (Arc::clone(&worker.path), worker.retry)
            }
            Task::Unknown(_) | Task::Nothing(_) => (Arc::clone(&self.path), Retry::default()),
        }
    }
}

/// Returns the lane of a job: all of one key are done in order, whichever
/// command they are of.
pub(super) fn lane(stored: &Stored) -> Arc<str> {
    let (command, key) = tokens(stored);
    if command == COMMAND {
        format!("{command}.{key}").into()
    } else {
        key.into()
    }
}

/// Returns the command's name and the key in a job's subject.
fn tokens(stored: &Stored) -> (&str, &str) {
    let mut tokens = stored.subject.rsplit('.');
    let key = tokens.next().unwrap_or_default();
    (tokens.next().unwrap_or_default(), key)
}

/// Returns the text that a token stands for.
fn decoded(token: &str) -> String {
    Key::from_token(token).map_or_else(|_| token.to_owned(), |key| key.decode())
}

/// Reads what came with a job; one without an id gets one that it keeps.
pub(super) fn request_of(stored: &Stored, stream: &str) -> Result<Request, String> {
    let Stored { subject, sequence, headers, .. } = stored;
    let mut request =
        Request::read(headers).map_err(|error| format!("{subject} #{sequence} {error}"))?;
    request.named = true;
    let identity = |name| {
        let found = headers.identity(name);
        found.map_err(|error| format!("{subject} #{sequence} {error}"))
    };
    if identity(CB_ID)?.is_none() {
        let place = || Id::from(&*format!("{stream}:{sequence}"));
        request.id = identity(MSG_ID)?.map_or_else(place, Id::from);
        if identity(CB_CORRELATION)?.is_none() {
            request.correlation = request.id.clone();
        }
    }
    Ok(request)
}
