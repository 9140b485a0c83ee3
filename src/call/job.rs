use super::{Cause, Client, JobError, ask::request, publish::find};
use crate::{
    bus::{Append, AppendError, Expect, Message, ReadError, Stream, within_reach},
    message::{
        Command, Headers, Id, Key, Subject, codec,
        headers::{CB_DUE, MSG_ID, SCHEDULE_TARGET},
    },
    telemetry::JOBS_SENT_TOTAL,
    time::unix_ms,
};
use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    time::{Duration, SystemTime},
};

/// Stands for the key of commands without one in the subjects of their timers;
/// no key is written so.
pub(super) const KEYLESS: &str = "=";

/// A command about to be sent as a job; awaiting it returns once it is stored.
///
/// A job is done at least once, by a group that answers the command, now or
/// when one runs next; whether there is such a group cannot be known here. Jobs
/// of one key are done in order, jobs of different keys side by side; when a
/// node dies, those that it held come again within about 40 s, and newer ones of
/// their keys wait for them. What the domain says no to is done; what fails is
/// tried again, then becomes a dead letter. The reply goes nowhere.
///
/// A job that a handler sends is stored once however often its message comes back:
/// within two minutes by its id, and later, when the message is known to come back, by
/// reading the jobs of its key since the message was stored. One that was cancelled
/// meanwhile is not there, and is sent again.
///
/// With a time it is a timer: the command waits in the stream until it is due,
/// also while nothing runs. It is done a few milliseconds later, on NATS up to
/// 250 ms, and never earlier by the clock of the node that does it. A wait, as of
/// `send_in`, counts from the moment of sending by the clock of who sends, whatever
/// the time on the server and on the other nodes is; a second attempt at the same job
/// leaves the time of the first.
///
/// # Errors
///
/// Awaiting returns [`JobError`]. After [`JobError::Unknown`] the job may be
/// stored; sending it again with the same id is harmless.
///
/// # Cancel safety
///
/// Dropping the future may or may not send. Send again with the same id.
#[must_use = "a job is sent when awaited"]
pub struct Job<'a, C> {
    client: &'a Client,
    command: C,
    cause: Option<&'a Cause>,
    id: Option<Id>,
    due: Due,
    name: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Now,
    At(SystemTime),
    After(Duration),
}

/// What is known of a job once it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The job's id: the command's, whenever it is done.
    pub id: Id,
    /// When it is due, by this process's clock.
    pub due: SystemTime,
    /// Whether an earlier attempt had stored it; then that one's time holds.
    pub duplicate: bool,
}

impl<'a, C: Command> Job<'a, C> {
    pub(crate) const fn new(client: &'a Client, command: C, cause: Option<&'a Cause>) -> Self {
        Self { client, command, cause, id: None, due: Due::Now, name: None }
    }

    /// Sets when it is due; a time that has passed means now, one after the year
    /// 2261 means its end.
    pub const fn at(mut self, time: SystemTime) -> Self {
        self.due = Due::At(time);
        self
    }

    /// Sets how long from now it is due.
    pub const fn after(mut self, wait: Duration) -> Self {
        self.due = Due::After(wait);
        self
    }

    /// Names it among the jobs of its command and key, such as `payment-timeout`.
    ///
    /// One that is sent under the same name replaces it while it waits, and
    /// [`Client::cancel`] takes it back. Replacing and cancelling can come too
    /// late, when it is being done already: decide by the state of then whether
    /// it still means something. Without a name its id is its name.
    ///
    /// Cancelling takes back what is stored. A job whose sending ended with
    /// [`JobError::Unknown`] may be on its way yet, and be stored after a cancel
    /// that found nothing: send it again with the same [`id`](Self::id) until it is
    /// known to be stored, then cancel it. From then on nothing that arrives late is
    /// stored for two minutes.
    pub fn named(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the job's id: a job of an id that is stored is not stored again,
    /// for two minutes, and an entity decides a command of an id once.
    ///
    /// Without it, a job sent by a handler gets an id derived from the message
    /// at hand, any other a new one.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    async fn send(mut self) -> Result<Sent, JobError> {
        let subject = C::SUBJECT;
        let id = self.id.take();
        let mut request = request(self.client, self.cause, id);
        // Every attempt at a job has its id.
        request.named = true;
        if let Some(reason) = request.too_long() {
            return Err(JobError::Codec { subject, reason });
        }
        let id = request.id.clone();
        let now = self.client.clock().now();
        let due = match self.due {
            Due::Now => now,
            Due::At(time) => time.max(now),
            Due::After(wait) => now + wait.min(LONGEST),
        };
        let due = within_reach(due);
        let payload = codec::encode(&self.command)
            .map_err(|error| JobError::Codec { subject, reason: error.to_string() })?;
        let mut headers = request
            .headers()
            .map_err(|reason| JobError::Header { subject, reason })?;
        headers
            .insert(MSG_ID, id.to_string())
            .map_err(|reason| JobError::Header { subject, reason })?;
        self.client.note_job(&self.command, due);
        let message = Message::new(String::new(), payload).headers(headers);
        let message = self.address(message, &id, (due, now))?;
        let stream = self.client.jobs(subject.domain()).await;
        let stream = stream.map_err(|reason| JobError::Stream { subject, reason })?;
        if let Some(since) = self.cause.and_then(|cause| cause.since) {
            // Boxed, so that the common way does not carry the room this one needs.
            let known = Box::pin(is_known(&stream, &message, since)).await;
            let unknown = |reason| JobError::Unknown { subject, id: id.clone(), reason };
            if known.map_err(unknown)? {
                return Ok(Sent { id, due, duplicate: true });
            }
        }
        let appended = if self.name.is_some() {
            let replaced = put_in_place(&stream, message).await;
            replaced.map_err(|reason| JobError::Unreadable { subject, reason })?
        } else {
            stream.append(message, Expect::Any).await
        };
        match appended {
            Ok(Append::Committed { duplicate, .. }) => Ok(Sent { id, due, duplicate }),
            Ok(Append::Unknown { reason }) => Err(JobError::Unknown { subject, id, reason }),
            Ok(Append::Conflict) => Err(JobError::Contended { subject }),
            Err(reason) => Err(JobError::Refused { subject, reason }),
        }
    }

    /// Puts the job where it is done, or where it waits.
    fn address(
        &self,
        mut message: Message,
        id: &Id,
        (due, now): (SystemTime, SystemTime),
    ) -> Result<Message, JobError> {
        let subject = C::SUBJECT;
        let namespace = self.client.namespace();
        let key = self.command.key();
        // Without a key there is no order: each goes its own way.
        let own = if key.is_empty() {
            Cow::Owned(id.to_string())
        } else {
            Cow::Borrowed(&*key)
        };
        let own = Key::new(&own).map_err(|reason| JobError::Key { subject, reason })?;
        let job = namespace.job(subject, own.as_str());
        if self.name.is_none() && due <= now {
            message.subject = job;
            return Ok(message);
        }
        let name = match &self.name {
            Some(name) => name_of(subject, name)?,
            None => name_of(subject, &id.to_string())?,
        };
        message.headers.put(CB_DUE, unix_ms(due).to_string());
        message.subject = namespace.timer(subject, &key_of(subject, &key)?, &name);
        Ok(message.scheduled(due, &job))
    }
}

/// Returns whether an earlier attempt at a job's cause stored it, so long ago that the
/// stream does not know its id any more: where it waits, or where it came to be done.
async fn is_known(stream: &Stream, message: &Message, since: SystemTime) -> Result<bool, String> {
    // A timer that is due meanwhile goes from the one to the other.
    let places = [
        Some(&*message.subject),
        message.headers.get(SCHEDULE_TARGET),
    ];
    for subject in places.into_iter().flatten() {
        if find(stream, subject, message, since).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How often a timer is put in the place of another before it is given up: each
/// time somebody else was faster.
const OFTEN: u32 = 20;

/// Stores a timer in the place of what waits on its subject now, and of nothing
/// else: should the message be on its way for so long that it was given up and
/// another was stored, it changes nothing any more.
pub(super) async fn put_in_place(
    stream: &Stream,
    message: Message,
) -> Result<Result<Append, AppendError>, ReadError> {
    for _ in 0..OFTEN {
        let last = stream.last(&message.subject).await?;
        let id = |headers: &Headers| headers.get(MSG_ID).map(str::to_owned);
        let expected = match last {
            Some(last) if id(&last.headers) == id(&message.headers) => {
                let sequence = last.sequence;
                return Ok(Ok(Append::Committed { sequence, duplicate: true }));
            }
            Some(last) => last.sequence,
            None => 0,
        };
        let appended = stream.append(message.clone(), Expect::Last(expected)).await;
        if !matches!(appended, Ok(Append::Conflict)) {
            return Ok(appended);
        }
    }
    Ok(Ok(Append::Conflict))
}

/// Longer than any job can wait, and short enough for every clock.
const LONGEST: Duration = Duration::from_hours(1_000 * 365 * 24);

/// Returns the token of a command's key in the subjects of its timers.
fn key_of(subject: Subject, key: &str) -> Result<String, JobError> {
    if key.is_empty() {
        return Ok(KEYLESS.to_owned());
    }
    Key::new(key)
        .map(|key| key.to_string())
        .map_err(|reason| JobError::Key { subject, reason })
}

fn name_of(subject: Subject, name: &str) -> Result<Key, JobError> {
    Key::new(name).map_err(|reason| JobError::Name { subject, reason })
}

/// Takes back the job of a command that waits under a name; returns whether
/// there was one.
pub(super) async fn cancel<C: Command>(
    client: &Client,
    key: &str,
    name: &str,
) -> Result<bool, JobError> {
    let subject = C::SUBJECT;
    let name = name_of(subject, name)?;
    let timer = client
        .namespace()
        .timer(subject, &key_of(subject, key)?, &name);
    let stream = client.jobs(subject.domain()).await;
    let stream = stream.map_err(|reason| JobError::Stream { subject, reason })?;
    stream
        .cancel(&timer)
        .await
        .map_err(|reason| JobError::Cancel { subject, reason })
}

impl<'a, C: Command> IntoFuture for Job<'a, C> {
    type Output = Result<Sent, JobError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let sent = self.send().await;
            let outcome = sent.as_ref().err().map_or("stored", JobError::label);
            metrics::counter!(
                JOBS_SENT_TOTAL,
                "subject" => C::SUBJECT.as_str(),
                "outcome" => outcome
            )
            .increment(1);
            sent
        })
    }
}

impl<C: Command> fmt::Debug for Job<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", C::SUBJECT)
    }
}
