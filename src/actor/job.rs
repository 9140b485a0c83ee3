use super::{
    Inbox, Retry,
    job_reader::Reader,
    repetition::{COMMAND, Repetition},
};
use crate::{
    bus::{PARTITIONS, Stored, StreamError},
    call::{Client, Door},
    message::{
        Id, Request, Subject,
        headers::{CB_CORRELATION, CB_ID, MSG_ID, SCHEDULE},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// How often a domain that has no jobs looks whether it has some now.
const LOOK: Duration = Duration::from_secs(30);

/// How a group does the jobs of one domain.
///
/// A domain's stream of jobs is made by whoever sends the first one. Until
/// then it is only listened for; then each partition is read by one node at a
/// time, in order per key and side by side across keys.
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
                () = self.await_stream() => {}
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

    /// Waits until the domain has a stream of jobs.
    async fn await_stream(&self) {
        let (bus, namespace) = (self.client.bus(), self.client.namespace());
        let (call, stream) = (
            namespace.job_call(&self.domain),
            namespace.job_stream(&self.domain),
        );
        let mut told = bus.subscribe(&call, None).await.ok();
        loop {
            match bus.has_stream(&stream).await {
                Ok(true) => return,
                Ok(false) | Err(StreamError::Unavailable { .. }) => {}
                Err(error) => tracing::warn!(domain = &*self.domain, %error, "jobs are not seen"),
            }
            let listen = async {
                let heard = match &mut told {
                    Some(told) => told.next().await,
                    None => None,
                };
                if heard.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = listen => {}
                () = sleep(LOOK) => {}
            }
        }
    }
}

/// What a message in the stream of jobs asks for.
pub(super) enum Task<'a> {
    /// To do a command.
    Command(&'a Worker),
    /// To run a handler once more.
    Repetition(&'a Repetition),
    /// Something that nobody here can do.
    Unknown(String),
    /// Nothing: why.
    Nothing(&'static str),
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
            return repetitions
                .find(|repetition| repetition.key.as_str() == key)
                .map_or(
                    Task::Nothing("nobody repeats it any more"),
                    Task::Repetition,
                );
        }
        let mut routes = self.routes.iter();
        match routes.find(|route| route.command.name() == command) {
            Some(route) => Task::Command(&route.worker),
            None => Task::Unknown(format!(
                "the group `{}` answers no command `{}.{command}`; see its table of `.answer`",
                self.path, self.domain
            )),
        }
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
