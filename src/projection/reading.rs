use super::{
    Batch, Mark, Seen,
    copy::Copy,
    plan::{Kept, Plan, left_out},
};
use crate::{
    actor::guarded,
    bus::{Bus, ReadError, Reader, Stored, Stream, StreamError},
    call::{Client, Skips},
    error::{Failure, Verdict},
};
use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

/// How many messages are taken in at once.
const CHUNK: usize = 256;

/// The stream of one domain's events.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) domain: &'static str,
    pub(super) filter: String,
    pub(super) stream: Stream,
    /// What operators left out of the domain's entities.
    pub(super) skips: Rc<Skips>,
    name: String,
    bus: Bus,
}

impl Source {
    pub(super) async fn open(client: &Client, domain: &'static str) -> Result<Self, StreamError> {
        let namespace = client.namespace();
        Ok(Self {
            domain,
            filter: namespace.events(domain),
            name: namespace.event_stream(domain),
            stream: client.events(domain).await?,
            skips: Rc::new(Skips::new(client.clone(), domain)),
            bus: client.bus().clone(),
        })
    }

    /// Returns what is wrong if the message that a copy took in last is not what
    /// stands there now: then its stream lost its end, or is another.
    pub(super) async fn contradicts<S>(
        &self,
        copy: &RefCell<Copy<S>>,
    ) -> Result<Option<String>, ReadError> {
        let domain = self.domain;
        let (position, mark, is_new) = {
            let mut copy = copy.borrow_mut();
            let is_new = copy.compare_over(domain, self.bus.connection());
            (copy.positions.of(domain), copy.mark_of(domain), is_new)
        };
        let Some(mark) = mark.filter(|_| is_new && position > 0) else {
            return Ok(None);
        };
        let found = self.stream.read(&self.filter, position).await?.next().await;
        if found.is_err() {
            copy.borrow_mut().compare_again(domain);
        }
        let found = found?;
        let found = found.filter(|found| found.sequence == position);
        Ok(match found {
            Some(found) if found.mark() == mark => None,
            Some(_) => Some(format!(
                "the model has taken in #{position} of `{domain}`, and another message stands there now: the stream lost its end and went on, or is another"
            )),
            None => {
                let last = self.stream.info().await?.last_sequence;
                (last < position).then(|| ends_before((domain, position), last))
            }
        })
    }
}

/// Says that a stream ends before where a model is.
pub(super) fn ends_before((domain, position): (&str, u64), last: u64) -> String {
    format!(
        "the model has taken in #{position} of `{domain}`, whose stream ends at #{last}: it lost its end, or is another stream"
    )
}

/// Reads streams into copies of a model.
pub(super) struct Reading<S> {
    pub(super) plan: Arc<Plan<S>>,
    pub(super) path: Arc<str>,
}

/// What a stream holds that a copy has not taken in yet.
pub(super) struct News<'a> {
    source: &'a Source,
    reader: Reader,
    /// How many messages were read.
    pub(super) found: u64,
}

/// What became of some news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more.
    More,
    /// The copy is where the read ends.
    End,
    /// The model stands elsewhere than this read does: read anew from there.
    Elsewhere,
}

/// Why news were not taken in.
#[derive(Debug)]
pub(super) enum Trouble {
    /// They may be later.
    Passing(Failure),
    /// The model is not to be used any more.
    Lasting(String),
}

impl<S: 'static> Reading<S> {
    /// Begins to read what came since.
    pub(super) async fn news<'a>(
        &self,
        source: &'a Source,
        copy: &RefCell<Copy<S>>,
    ) -> Result<News<'a>, Trouble> {
        if let Some(reason) = source.contradicts(copy).await? {
            return Err(Trouble::Lasting(reason));
        }
        let position = copy.borrow().positions.of(source.domain);
        let reader = source.stream.read(&source.filter, position + 1).await?;
        if reader.end() < position {
            let last = source.stream.info().await?.last_sequence;
            if last < position {
                let reason = ends_before((source.domain, position), last);
                return Err(Trouble::Lasting(reason));
            }
        }
        copy.borrow_mut().ends(source.domain, reader.end());
        Ok(News { source, reader, found: 0 })
    }

    /// Takes the next messages in, and lets others on this thread go on.
    pub(super) async fn step(
        &self,
        news: &mut News<'_>,
        copy: &RefCell<Copy<S>>,
    ) -> Result<Step, Trouble> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK
            && let Some(stored) = news.reader.next().await?
        {
            chunk.push(stored);
        }
        if chunk.is_empty() {
            copy.borrow_mut().came_to(news.source.domain);
            return Ok(Step::End);
        }
        news.found += chunk.len() as u64;
        let taken = guarded(async { self.take_in(news.source, chunk, &mut copy.borrow_mut()) });
        let step = taken.await.map_err(Trouble::Lasting)??;
        tokio::task::yield_now().await;
        Ok(step)
    }

    fn take_in(
        &self,
        source: &Source,
        mut chunk: Vec<Stored>,
        copy: &mut Copy<S>,
    ) -> Result<Step, Failure> {
        let from = copy.positions.of(source.domain);
        // Another copy may have taken this one's place since the read began.
        chunk.retain(|stored| stored.sequence > from);
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else {
            return Ok(Step::More);
        };
        let (time, place) = (first.time, (last.sequence, last.mark()));
        copy.shows(source.domain, time);
        let mut events = self.events(source, chunk);
        let Some(to) = self.before_too_new(&mut events) else {
            let to = (place.0, Some(Mark(place.1)));
            let step = self.fold(source, &events, to, copy)?;
            copy.took(source.domain, Some(place));
            return Ok(step);
        };
        if to > from {
            self.fold(source, &events, (to, None), copy)?;
            copy.took(source.domain, None);
            return Ok(Step::Elsewhere);
        }
        Err(Failure::retry(format!(
            "#{} of `{}` was written by a newer program; update this one",
            to + 1,
            source.domain
        )))
    }

    /// Folds events into a copy, which is then at this sequence, whose mark may be known.
    fn fold(
        &self,
        source: &Source,
        events: &[Seen],
        (to, mark): (u64, Option<Mark>),
        copy: &mut Copy<S>,
    ) -> Result<Step, Failure> {
        let from = copy.positions.of(source.domain);
        let mut step = Step::More;
        if let Some(kept) = &self.plan.kept {
            let batch = Batch {
                plan: &self.plan,
                path: &self.path,
                domain: source.domain,
                from,
                to,
                mark,
                events,
            };
            step = keep(kept, &batch, copy)?;
        } else {
            for seen in events {
                self.plan.fold(&mut copy.model, seen, &self.path);
            }
            copy.positions.set(source.domain, to);
        }
        copy.unwritten += to - from;
        copy.came_to(source.domain);
        Ok(step)
    }

    /// Cuts off what comes from the first event on that is too new, and returns
    /// the sequence before; nothing if there is none. Such an event is not left
    /// out: a newer program can read it.
    fn before_too_new(&self, events: &mut Vec<Seen>) -> Option<u64> {
        let first = events.iter().find(|seen| self.plan.is_too_new(seen))?;
        let to = first.sequence() - 1;
        events.retain(|seen| seen.sequence() <= to);
        Some(to)
    }

    /// Unpacks messages; one that holds no event is left out.
    fn events(&self, source: &Source, chunk: Vec<Stored>) -> Vec<Seen> {
        let mut events = Vec::with_capacity(chunk.len());
        for stored in chunk {
            let sequence = stored.sequence;
            let key = stored.subject.rsplit('.').next().unwrap_or_default();
            if source.skips.leave_out(key, sequence) {
                continue;
            }
            match Seen::all(stored, &source.name) {
                Ok(seen) => events.extend(seen),
                Err(reason) => left_out(&self.path, sequence, &reason.to_string()),
            }
        }
        events
    }
}

/// Lets the model take a batch in, and looks where it stands then.
fn keep<S: 'static>(
    kept: &Kept<S>,
    batch: &Batch<'_, S>,
    copy: &mut Copy<S>,
) -> Result<Step, Failure> {
    (kept.keep)(&mut copy.model, batch)?;
    copy.positions = (kept.positions)(&mut copy.model)?;
    match copy.positions.of(batch.domain) {
        at if at == batch.to => Ok(Step::More),
        at if at == batch.from => Err(Failure::crash(format!(
            "its `keep` took a batch of `{}` in and left its position at #{at}",
            batch.domain
        ))),
        _ => Ok(Step::Elsewhere),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(failure) => failure.fmt(f),
            Self::Lasting(reason) => f.write_str(reason),
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Passing(error.into())
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure.verdict() {
            Verdict::Crash => Self::Lasting(failure.to_string()),
            Verdict::Retry | Verdict::Discard | Verdict::Unavailable { .. } => {
                Self::Passing(failure)
            }
        }
    }
}
