use super::{Operator, OperatorError, dead::job_place};
use crate::{
    bus::{
        Append, Expect, Message, PARTITIONS, Stored, Stream, StreamConfig, partition, within_reach,
    },
    call::{
        Letter, Sent,
        job::{KEYLESS, put_in_place},
    },
    message::{
        Act, Command, Headers, Id, Key, Request, Subject, codec,
        headers::{CB_CRON, CB_DUE, CB_ID, MSG_ID},
    },
    time::{Clock, from_unix_ms, unix_ms},
};
use bytes::Bytes;
use std::time::SystemTime;

/// A job that may not be done yet, or a timer that is not due.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitingJob {
    /// The command, such as `payments.charge`; of a repetition `{group}.=cron`.
    pub command: String,
    /// Its key, empty if it has none; of a repetition its actor's path and its name.
    pub key: String,
    /// The name under which a timer waits: its id, unless the sender named it.
    pub name: Option<String>,
    /// The command's id; empty if the sender gave none.
    pub id: String,
    /// When it is or was due, if it waits or waited for a time.
    pub due: Option<SystemTime>,
    /// What it repeats, if it is repeated: a cron expression, or `@every` and a period.
    pub repeats: Option<String>,
    /// Where it is.
    pub state: JobState,
    /// The message.
    pub stored: Stored,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobState {
    /// It waits for its time.
    Timer,
    /// No node has it yet.
    Waiting,
    /// A node has it, or has done it already: jobs of other keys are not done in
    /// the order of the stream, and only the node knows which.
    Delivered,
}

impl JobState {
    /// Returns its name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
        }
    }
}

/// The jobs and timers of a domain that are not over.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WaitingJobs {
    /// The timers, then the jobs of each partition; no more than were asked for.
    pub jobs: Vec<WaitingJob>,
    /// Whether there are more.
    pub more: bool,
    /// How many jobs nodes have and have not done.
    pub outstanding: usize,
}

/// A job that an operator sends: a command by its name, and its payload.
#[derive(Clone, Debug)]
#[must_use = "it is sent by `Operator::send_job`"]
pub struct NewJob {
    command: Subject,
    payload: Bytes,
    key: String,
    id: Option<Id>,
    due: Option<SystemTime>,
    name: Option<String>,
}

impl NewJob {
    /// Describes a job of a command without a key, with a payload in MessagePack.
    pub fn new(command: Subject, payload: impl Into<Bytes>) -> Self {
        let (payload, key) = (payload.into(), String::new());
        Self { command, payload, key, id: None, due: None, name: None }
    }

    /// Describes a job of a command.
    ///
    /// # Errors
    ///
    /// Returns the reason if the command cannot be encoded.
    pub fn of<C: Command>(command: &C) -> Result<Self, codec::EncodeError> {
        let job = Self::new(C::SUBJECT, codec::encode(command)?);
        Ok(job.key(command.key()))
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Sets the id; a new one by default.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets when it is due; a time that has passed means now.
    pub const fn at(mut self, time: SystemTime) -> Self {
        self.due = Some(time);
        self
    }

    /// Names it: it replaces what waits under this name for its command and key.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl WaitingJob {
    /// Reads a job or a timer; nothing if the message is neither.
    fn of(stored: Stored, prefix: &str, state: JobState) -> Option<Self> {
        let rest = stored.subject.strip_prefix(prefix)?;
        let mut tokens = rest.split('.');
        let (domain, command, key) = (tokens.next()?, tokens.next()?, tokens.next()?);
        let name = tokens.next().map(decoded);
        let header = |name| stored.headers.get(name);
        let due = header(CB_DUE).and_then(|due| due.parse().ok());
        Some(Self {
            command: format!("{domain}.{command}"),
            key: if key == KEYLESS {
                String::new()
            } else {
                decoded(key)
            },
            name,
            id: header(CB_ID).unwrap_or_default().to_owned(),
            due: due.map(from_unix_ms),
            repeats: header(CB_CRON).map(str::to_owned),
            state,
            stored,
        })
    }
}

impl Operator {
    /// Returns the jobs and timers of a domain that are not over, so many at most.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the stream of the domain's jobs cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn jobs(&self, domain: &str, most: usize) -> Result<WaitingJobs, OperatorError> {
        let mut found = WaitingJobs::default();
        let config = StreamConfig::jobs(&self.namespace, domain);
        let Some(stream) = self.stream(config).await? else {
            return Ok(found);
        };
        let prefix = format!("{}.tmr.", self.namespace);
        let mut reader = stream.read(&self.namespace.timers(domain), 1).await?;
        while let Some(stored) = reader.next().await? {
            found.add(WaitingJob::of(stored, &prefix, JobState::Timer), most);
            if found.more {
                return Ok(found);
            }
        }
        for partition in 0..PARTITIONS {
            self.jobs_of(&stream, partition, (&mut found, most)).await?;
        }
        Ok(found)
    }

    /// Adds the jobs of one partition.
    async fn jobs_of(
        &self,
        stream: &Stream,
        partition: u32,
        (found, most): (&mut WaitingJobs, usize),
    ) -> Result<(), OperatorError> {
        let progress = stream.progress_of(&format!("jobs_{partition}")).await?;
        let floor = progress.map_or(0, |progress| progress.floor);
        let delivered = progress.map_or(0, |progress| progress.delivered);
        found.outstanding += progress.map_or(0, |progress| progress.outstanding);
        let prefix = format!("{}.job.", self.namespace);
        let mut reader = stream.read_partition(partition, floor + 1).await?;
        while !found.more
            && let Some(stored) = reader.next().await?
        {
            let state = if stored.sequence > delivered {
                JobState::Waiting
            } else {
                JobState::Delivered
            };
            found.add(WaitingJob::of(stored, &prefix, state), most);
        }
        Ok(())
    }

    /// Sends a command as a job, by its name.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the job cannot be addressed, if no node of the
    /// domain was ever there, or if the stream refuses it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not send.
    pub async fn send_job(&self, job: NewJob) -> Result<Sent, OperatorError> {
        let NewJob { command, payload, key, id, due, name } = job;
        if payload.len() > codec::MAX_PAYLOAD {
            return Err(record(codec::EncodeError::TooLarge {
                bytes: payload.len(),
            }));
        }
        let stream = self.job_stream(command.domain()).await?;
        let now = Clock::system().now();
        let due = within_reach(due.map_or(now, |due| due.max(now)));
        let mut request = Request::new(id.unwrap_or_else(Id::new));
        request.caller = "operator".into();
        if let Some(reason) = request.too_long() {
            return Err(record(reason));
        }
        let id = request.id.clone();
        let own = if key.is_empty() {
            id.to_string()
        } else {
            key.clone()
        };
        let target = self.namespace.job(command, token(&own)?.as_str());
        let mut headers = request.headers().map_err(record)?;
        headers.insert(MSG_ID, id.to_string()).map_err(record)?;
        let mut message = Message::new(target.as_str(), payload).headers(headers);
        if name.is_some() || due > now {
            let name = token(&name.clone().unwrap_or_else(|| id.to_string()))?;
            message.headers.put(CB_DUE, unix_ms(due).to_string());
            message.subject = self.timer_subject(command, &key, &name)?;
            message = message.scheduled(due, &target);
        }
        let appended = if name.is_some() {
            put_in_place(&stream, message).await?
        } else {
            stream.append(message, Expect::Any).await
        };
        match appended? {
            Append::Committed { duplicate, .. } => Ok(Sent { id, due, duplicate }),
            Append::Unknown { reason } => Err(OperatorError::Unknown { reason }),
            Append::Conflict => Err(OperatorError::Changed),
        }
    }

    /// Takes back the timer of a command that waits under a name; returns whether
    /// there was one. The key is empty if the command has none.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the timer cannot be addressed, or the stream
    /// does not confirm.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not take it back; doing it again is harmless.
    pub async fn cancel_job(
        &self,
        command: Subject,
        key: &str,
        name: &str,
    ) -> Result<bool, OperatorError> {
        let stream = self.job_stream(command.domain()).await?;
        let timer = self.timer_subject(command, key, &token(name)?)?;
        Ok(stream.cancel(&timer).await?)
    }

    /// Stores a job that was given up again, under its own id.
    pub(super) async fn resend(&self, letter: &Letter) -> Result<(), OperatorError> {
        let (domain, _, key) = job_place(letter, &self.namespace)
            .ok_or_else(|| letter.no_event(format!("`{}` is no job", letter.subject)))?;
        let stream = self.job_stream(domain).await?;
        let record = self.resent_subject(letter, domain, key);
        let Some(parks) = self.parks().await? else {
            return Err(OperatorError::NoStream { stream: self.namespace.park_stream() });
        };
        let (last, after) = parks.last(&record).await?;
        if last.is_some() {
            let (number, child) = (letter.number, letter.child.clone());
            return Err(OperatorError::Asked { number, child });
        }
        let (mut headers, payload) = original(&stream, letter).await?;
        let id = Id::from(letter.stored.subject.as_str())
            .derived(&letter.number.to_string(), letter.index);
        headers.put(MSG_ID, id.to_string());
        let message = Message::new(letter.subject.clone(), payload).headers(headers);
        match stream.append(message, Expect::Any).await? {
            Append::Committed { .. } => {}
            Append::Unknown { reason } => return Err(OperatorError::Unknown { reason }),
            Append::Conflict => return Err(OperatorError::Changed),
        }
        let park = letter.park((domain_of_jobs(domain), key), self.source.clone());
        parks.append(Act::Redriven, &park, (record, after)).await?;
        Ok(())
    }

    /// Returns where it is told that a job's letter was sent again: no actor that
    /// hears events of the domain reads it.
    pub(super) fn resent_subject(&self, letter: &Letter, domain: &str, key: &str) -> String {
        let at = partition(key, PARTITIONS);
        self.namespace
            .redrive(&letter.child, &domain_of_jobs(domain), at, letter.number)
    }

    async fn job_stream(&self, domain: &str) -> Result<Stream, OperatorError> {
        let config = StreamConfig::jobs(&self.namespace, domain);
        let name = config.name.clone();
        let stream = self.stream(config).await?;
        stream.ok_or(OperatorError::NoStream { stream: name })
    }

    fn timer_subject(
        &self,
        command: Subject,
        key: &str,
        name: &Key,
    ) -> Result<String, OperatorError> {
        let key = if key.is_empty() {
            KEYLESS.to_owned()
        } else {
            token(key)?.to_string()
        };
        Ok(self.namespace.timer(command, &key, name))
    }
}

impl WaitingJobs {
    fn add(&mut self, job: Option<WaitingJob>, most: usize) {
        if self.jobs.len() < most {
            self.jobs.extend(job);
        } else {
            self.more |= job.is_some();
        }
    }
}

/// Returns what a job came with: as it stands in its stream, or as its letter has it.
async fn original(stream: &Stream, letter: &Letter) -> Result<(Headers, Bytes), OperatorError> {
    let mut reader = stream.read(&letter.subject, letter.sequence).await?;
    let found = reader.next().await?;
    let found = found.filter(|stored| stored.sequence == letter.sequence);
    let own = letter.stored.headers.get(CB_ID).map(str::to_owned);
    let (source, payload) = match &found {
        Some(stored) => (&stored.headers, stored.payload.clone()),
        None if own.is_some() => (&letter.stored.headers, letter.stored.payload.clone()),
        None => {
            let reason = "the letter has no room for the job, and its original is gone".to_owned();
            return Err(letter.no_event(reason));
        }
    };
    let mut headers = Headers::with_capacity(source.len() + 2);
    let kept = |name: &str| !name.starts_with("Nats-") && !name.starts_with("cb-dead-");
    for (name, value) in source.iter().filter(|(name, _)| kept(name)) {
        headers.put(name.to_owned(), value);
    }
    if headers.get(CB_ID).is_none() {
        let given = source.get(MSG_ID).map(str::to_owned);
        let place = || format!("{}:{}", letter.stream, letter.sequence);
        headers.put(CB_ID, own.or(given).unwrap_or_else(place));
    }
    Ok((headers, payload))
}

/// Returns what stands for a domain where it is told of its jobs: no domain has
/// such a name, so nobody who hears its events takes it for one.
fn domain_of_jobs(domain: &str) -> String {
    format!("={domain}")
}

/// Returns the text that a token stands for.
fn decoded(token: &str) -> String {
    Key::from_token(token).map_or_else(|_| token.to_owned(), |key| key.decode())
}

fn token(text: &str) -> Result<Key, OperatorError> {
    Key::new(text).map_err(record)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn record(reason: impl ToString) -> OperatorError {
    OperatorError::Record { reason: reason.to_string() }
}
