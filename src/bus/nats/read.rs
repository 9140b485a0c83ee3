use super::{
    api::{ApiError, PATIENCE},
    durable::filtered,
    headers::inbound,
    place::Place,
    pull::{Plan, Pull, Trouble},
    raw::Get,
    streams::Stream,
};
use crate::{
    bus::{
        ReadError, Stored,
        names::{is_filter, is_subject},
    },
    telemetry,
};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use bytes::Bytes;
use metrics::counter;
use std::{
    mem,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

const PLAN: Plan = Plan {
    batch: 512,
    expires: Duration::from_secs(5),
    heartbeat: Duration::from_secs(1),
    quiet: Duration::from_secs(4),
    group: None,
    lapse: None,
};

impl Stream {
    pub(in crate::bus) async fn last(&self, subject: &str) -> Result<Option<Stored>, ReadError> {
        if !is_subject(subject) || !self.subjects().keeps(subject) {
            return Err(self.not_kept(subject));
        }
        let stored = self.subjects().stored(subject);
        self.get_patiently(&Get::last_of(&stored)).await
    }

    pub(in crate::bus) async fn read(&self, filter: &str, from: u64) -> Result<Reader, ReadError> {
        let filters = if is_filter(filter) {
            self.subjects().filters(filter)
        } else {
            Vec::new()
        };
        if filters.is_empty() {
            return Err(self.not_kept(filter));
        }
        self.read_stored(filters, from).await
    }

    /// Reads the last message of each subject that matches; one that comes meanwhile may be
    /// among them.
    pub(in crate::bus) async fn read_last(&self, filter: &str) -> Result<Reader, ReadError> {
        let mut reader = self.read(filter, 1).await?;
        if !matches!(reader.state, State::One(_)) {
            reader.start = Start::Latest;
        }
        Ok(reader)
    }

    /// Reads what was stored on a subject at a time or later.
    pub(in crate::bus) async fn read_since(
        &self,
        subject: &str,
        since: SystemTime,
    ) -> Result<Reader, ReadError> {
        let mut reader = self.read(subject, 1).await?;
        reader.start = Start::Since(since);
        Ok(reader)
    }

    pub(in crate::bus) async fn read_partition(
        &self,
        partition: u32,
        from: u64,
    ) -> Result<Reader, ReadError> {
        let Some(filter) = self.subjects().partition(partition) else {
            return Err(self.not_kept(&format!("partition {partition}")));
        };
        self.read_stored(vec![filter], from).await
    }

    /// Reads what is filed under these filters.
    async fn read_stored(&self, filters: Vec<String>, from: u64) -> Result<Reader, ReadError> {
        let last = self.end(&filters).await?;
        let end = last.as_ref().map_or(0, |message| message.sequence);
        let only = last.filter(|message| message.sequence == from);
        let state = match only {
            Some(only) => State::One(Box::new(only)),
            None if from > end => State::Done,
            None => State::Lost,
        };
        Ok(Reader {
            stream: self.clone(),
            filters,
            from: from.max(1),
            start: Start::Sequence,
            end,
            stuck: None,
            openings: 0,
            state,
        })
    }

    /// Returns the last message of a read as the leader knows it: a follower,
    /// which may serve the read itself, can be behind.
    async fn end(&self, filters: &[String]) -> Result<Option<Stored>, ReadError> {
        let of_all = matches!(filters, [all] if all.is_empty());
        if !of_all {
            return self.last_of(filters).await;
        }
        match self.get_patiently(&Get::last_of(">")).await? {
            // By `>` the server finds none if the last one was deleted; by subjects it does.
            None => self.last_of(&self.subjects().all()).await,
            found => Ok(found),
        }
    }

    async fn last_of(&self, filters: &[String]) -> Result<Option<Stored>, ReadError> {
        let mut last: Option<Stored> = None;
        for filter in filters {
            let found = self.get_patiently(&Get::last_of(filter)).await?;
            last = last
                .into_iter()
                .chain(found)
                .max_by_key(|message| message.sequence);
        }
        Ok(last)
    }

    /// Converts a message that a consumer delivered.
    pub(super) fn delivered(&self, message: async_nats::Message, place: Place) -> Stored {
        Stored {
            subject: self.subjects().published(&message.subject),
            headers: message.headers.as_ref().map(inbound).unwrap_or_default(),
            payload: message.payload,
            sequence: place.sequence,
            time: place.time,
        }
    }

    fn not_kept(&self, filter: &str) -> ReadError {
        ReadError::Filter { stream: self.name().into(), filter: filter.into() }
    }
}

/// A finite read: a consumer without memory, made again where it broke off.
#[derive(Debug)]
pub(in crate::bus) struct Reader {
    stream: Stream,
    filters: Vec<String>,
    from: u64,
    start: Start,
    end: u64,
    stuck: Option<Instant>,
    /// How often it was opened since something came.
    openings: u32,
    state: State,
}

/// What a consumer for a read is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// All from where the read is.
    Sequence,
    /// All from a time on, as long as nothing came.
    Since(SystemTime),
    /// The last of each subject.
    Latest,
}

#[derive(Debug)]
enum State {
    One(Box<Stored>),
    Lost,
    /// Each message is asked for: no consumer may be made.
    Stepping,
    Reading(Box<Source>),
    Done,
}

#[derive(Debug)]
struct Source {
    stream: Stream,
    pull: Pull,
    name: String,
    seen: u64,
}

impl Reader {
    pub(in crate::bus) async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(None),
                State::One(_) => {
                    if let State::One(only) = mem::replace(&mut self.state, State::Done) {
                        return Ok(Some(*only));
                    }
                }
                State::Lost if self.stream.link().is_provisioned() => self.state = State::Stepping,
                State::Lost => self.open().await?,
                State::Stepping => return self.step().await,
                State::Reading(source) => match source.pull.next().await {
                    Ok(message) => {
                        if let Some(stored) = self.take(message) {
                            return Ok(Some(stored));
                        }
                    }
                    Err(trouble) => self.mend(&trouble).await?,
                },
            }
        }
    }

    pub(in crate::bus) const fn end(&self) -> u64 {
        self.end
    }

    /// Checks that nothing is missing before a message, and hands it out.
    fn take(&mut self, message: async_nats::Message) -> Option<Stored> {
        let State::Reading(source) = &mut self.state else {
            return None;
        };
        let place = Place::of(&message)?;
        if place.turn != source.seen + 1 {
            self.state = State::Lost;
            return None;
        }
        source.seen = place.turn;
        self.stuck = None;
        self.openings = 0;
        if self.start == Start::Latest {
            // A read that was made again begins anew, and what it had of a subject may have
            // been followed by another since.
            let is_new = place.sequence >= self.from;
            self.from = self.from.max(place.sequence + 1);
            if place.pending == 0 {
                self.state = State::Done;
            }
            return is_new.then(|| self.stream.delivered(message, place));
        }
        self.start = Start::Sequence;
        self.from = place.sequence + 1;
        if place.sequence >= self.end {
            self.state = State::Done;
        }
        (place.sequence <= self.end).then(|| self.stream.delivered(message, place))
    }

    fn start(&self) -> DeliverPolicy {
        match self.start {
            Start::Since(since) => DeliverPolicy::ByStartTime { start_time: since.into() },
            Start::Sequence => DeliverPolicy::ByStartSequence { start_sequence: self.from },
            Start::Latest => DeliverPolicy::LastPerSubject,
        }
    }

    /// Makes a consumer that begins where the read is.
    async fn open(&mut self) -> Result<(), ReadError> {
        let deadline = *self.stuck.get_or_insert_with(Instant::now) + PATIENCE;
        if self.openings > 0 && !self.stream.link().pause(self.openings, deadline).await {
            let reason = format!("nothing comes from number {} on", self.from);
            return Err(ReadError::Unavailable { stream: self.stream.name().into(), reason });
        }
        self.openings += 1;
        let mut failures = 0;
        loop {
            let start = self.start();
            let error = match self.stream.source(&self.filters, start).await {
                Ok(source) => {
                    self.state = State::Reading(Box::new(source));
                    return Ok(());
                }
                Err(error) => error,
            };
            let again = matches!(error, ApiError::Away(_));
            if !again || !self.stream.link().pause(failures, deadline).await {
                return Err(self.stream.unreadable(&error));
            }
            failures += 1;
        }
    }

    /// Asks for the next message, a request for each.
    async fn step(&mut self) -> Result<Option<Stored>, ReadError> {
        let mut next: Option<Stored> = None;
        for filter in &self.filters {
            let filter = if filter.is_empty() { ">" } else { filter };
            let get = Get::after(filter, self.from - 1);
            let found = self.stream.get_patiently(&get).await?;
            next = next
                .into_iter()
                .chain(found)
                .min_by_key(|message| message.sequence);
        }
        let next = next.filter(|message| message.sequence <= self.end);
        self.from = next.as_ref().map_or(self.end, |next| next.sequence) + 1;
        if self.from > self.end {
            self.state = State::Done;
        }
        Ok(next)
    }

    async fn mend(&mut self, trouble: &Trouble) -> Result<(), ReadError> {
        counter!(telemetry::REBUILT_TOTAL, "reason" => trouble.label()).increment(1);
        let since = *self.stuck.get_or_insert_with(Instant::now);
        if *trouble == Trouble::Closed || since.elapsed() >= PATIENCE {
            let reason = format!("{trouble}, from number {} on", self.from);
            return Err(ReadError::Unavailable { stream: self.stream.name().into(), reason });
        }
        if *trouble == Trouble::Quiet {
            // The last message may have been deleted meanwhile.
            let end = self.stream.end(&self.filters).await?;
            self.end = self.end.min(end.map_or(0, |last| last.sequence));
        }
        self.state = if self.from > self.end {
            State::Done
        } else {
            State::Lost
        };
        Ok(())
    }
}

impl Stream {
    /// Makes a consumer for one read: it knows no acknowledgements, and goes
    /// by itself soon after nobody asks any more.
    async fn source(
        &self,
        filters: &[String],
        deliver_policy: DeliverPolicy,
    ) -> Result<Source, ApiError> {
        let name = format!("read-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let config = pull::Config {
            name: Some(name.clone()),
            deliver_policy,
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(15),
            max_waiting: 16,
            num_replicas: 1,
            memory_storage: true,
            ..filtered(filters)
        };
        self.create_consumer(config, "create").await?;
        let pull = Pull::new(self.link(), self.name(), &name, PLAN).await;
        let pull = pull.map_err(|trouble| ApiError::Away(trouble.to_string()))?;
        Ok(Source { stream: self.clone(), pull, name, seen: 0 })
    }
}

/// Deletes the consumer, which would else be kept until nobody asked for a while.
impl Drop for Source {
    fn drop(&mut self) {
        let subject = format!(
            "$JS.API.CONSUMER.DELETE.{}.{}",
            self.stream.name(),
            self.name
        );
        self.stream
            .link()
            .send_later(vec![(subject.into(), Bytes::new())]);
    }
}
