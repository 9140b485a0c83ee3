use super::NodeError;
use crate::{
    actor::{Jobs, Reaction},
    bus::{Message, Subscription},
    call::{
        Arrived, COME_AGAIN, Callers, Content, Door, NotTaken, Parcel, Place, Settings, Work,
        note_caller,
    },
    message::{
        Headers, Request, Status,
        headers::{CB_REMAINING, CB_RETRY_AFTER},
    },
    telemetry::{LIMITED_TOTAL, SHED_TOTAL},
};
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// What feeds a group from the bus: its commands, its events and its jobs.
pub(super) struct Intake {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Intake {
    /// Starts to listen, and returns once the bus knows it.
    pub(super) async fn open(
        settings: &Settings,
        group: &str,
        domains: BTreeSet<&'static str>,
        (reactions, jobs): (Vec<Reaction>, Vec<Jobs>),
    ) -> Result<Self, NodeError> {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for domain in domains {
            let (namespace, instance) = (&settings.namespace, &settings.ways.instance);
            for (filter, queue) in [
                (namespace.commands(domain), Some(domain)),
                (namespace.instance_commands(instance, domain), None),
            ] {
                let commands = settings.bus.subscribe(&filter, queue).await?;
                let desk = Desk {
                    settings: settings.clone(),
                    group: group.into(),
                    prefix: filter.len() - domain.len() - 2,
                    callers: settings.ways.traffic.callers(domain),
                };
                tasks.spawn_local(desk.serve(commands, stopping.clone()));
            }
        }
        for reaction in reactions {
            tasks.spawn_local(reaction.run(stopping.clone()));
        }
        for jobs in jobs {
            tasks.spawn_local(jobs.run(stopping.clone()));
        }
        Ok(Self { stop, tasks })
    }

    /// Lets nothing more in, hands over what was on its way, and waits for the
    /// events at hand.
    pub(super) async fn close(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a reader ended badly");
            }
        }
    }
}

/// Hands the commands of one domain to their actors.
struct Desk {
    settings: Settings,
    group: Arc<str>,
    /// The length of `{ns}.cmd.` in a subject.
    prefix: usize,
    /// Who has sent them.
    callers: Arc<Callers>,
}

impl Desk {
    async fn serve(self, mut commands: Subscription, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                command = commands.next() => match command {
                    Some(command) => self.take(command).await,
                    None => return,
                },
                _ = stop.changed() => break,
            }
        }
        commands.drain();
        while let Some(command) = commands.next().await {
            self.take(command).await;
        }
    }

    async fn take(&self, mut message: Message) {
        let reply = message.reply.take();
        let Err(refused) = self.offer(&message, reply.clone()) else {
            return;
        };
        let Some(reply) = reply else { return };
        let answer = Message::new(reply, Bytes::new()).headers(refused.headers());
        if let Err(error) = self.settings.bus.send(answer).await {
            tracing::warn!(%error, "a refusal could not be sent; its caller will time out");
        }
    }

    /// Puts a command into its actor's mailbox.
    fn offer(&self, message: &Message, reply: Option<String>) -> Result<(), NoEntry> {
        let name = message.subject.get(self.prefix..).unwrap_or_default();
        let Some(door) = self.settings.doors.get(name) else {
            let reason = format!(
                "the group `{}` answers no command `{name}`; see its table of `.answer`",
                self.group
            );
            return Err(NoEntry::new(Status::NotFound, reason));
        };
        let request = Request::read(&message.headers)
            .map_err(|error| NoEntry::new(Status::Malformed, format!("{name}: {error}")))?;
        self.admit(&door, &request.caller)?;
        let place = self.enter(name)?;
        note_caller(&self.callers, &request.caller);
        let now = self.settings.clock.now();
        let left = request
            .deadline
            .map(|deadline| deadline.duration_since(now).unwrap_or_default());
        let deadline = left.and_then(|left| Instant::now().checked_add(left));
        let content = Content::Encoded(message.payload.clone());
        let work = Work::Remote(Box::new(Arrived { request, content, place, reply }));
        (door.offer)(Parcel { route: 0, work, deadline }, None)
            .map_err(|why| NoEntry::new(NotTaken::STATUS, format!("{name}: {why}")))
    }

    /// Refuses what is more than the node takes in hand at once.
    fn enter(&self, name: &str) -> Result<Place, NoEntry> {
        self.settings.load.enter().map_err(|limit| {
            metrics::counter!(SHED_TOTAL, "group" => self.group.to_string()).increment(1);
            let reason = format!("{name}: its node has {limit} commands in hand; come again later");
            NoEntry { again: Some(COME_AGAIN), ..NoEntry::new(Status::Unavailable, reason) }
        })
    }

    /// Refuses what is more than the command's policy accepts.
    fn admit(&self, door: &Door, caller: &str) -> Result<(), NoEntry> {
        let lines = &self.settings.ways.lines;
        let Some((subject, line)) = door.subject.and_then(|subject| {
            let line = lines.accepting(subject)?;
            Some((subject, line))
        }) else {
            return Ok(());
        };
        line.admit(caller, Instant::now()).map_err(|reset| {
            let reason = line.door_in_words(caller);
            metrics::counter!(LIMITED_TOTAL, "subject" => subject.as_str()).increment(1);
            NoEntry { again: Some(reset), ..NoEntry::new(Status::Limited, reason) }
        })
    }
}

/// Why a command does not get as far as a mailbox.
struct NoEntry {
    status: Status,
    reason: String,
    /// After how long there is room again, if there is too much now.
    again: Option<Duration>,
}

impl NoEntry {
    const fn new(status: Status, reason: String) -> Self {
        Self { status, reason, again: None }
    }

    fn headers(&self) -> Headers {
        let mut headers = self.status.headers(&self.reason);
        if let Some(again) = self.again {
            // Rounded up: who comes then is in time.
            let ms = again.as_micros().div_ceil(1_000);
            headers.put(CB_RETRY_AFTER, ms.to_string());
        }
        if self.status == Status::Limited {
            headers.put(CB_REMAINING, "0");
        }
        headers
    }
}
