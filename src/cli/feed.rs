//! The stored messages of all event streams, then those that follow.
//!
//! Everything shown comes from the streams, by sequence, so nothing is missing
//! or shown twice. What is heard live only says that it is time to look again.

use super::{error::CommandError, filter::Filter, out::warn};
use crate::{
    bus::{Bus, Reader, Stored, Stream, StreamConfig, StreamInfo, Subscription},
    call::open_as_declared,
    message::{Key, Namespace},
};
use futures_util::FutureExt;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

/// How long to wait at most before looking again without being called.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many calls are taken together; as many as a subscription holds.
const CALLS: usize = 65_536;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    New,
    All,
    Sequence(u64),
}

/// What to read.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) namespace: Namespace,
    pub(super) filter: Filter,
    pub(super) key: Option<Key>,
}

/// One message and where it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) stream: String,
    pub(super) stored: Stored,
}

pub(super) struct Feed {
    bus: Bus,
    scope: Scope,
    calls: Subscription,
    logs: BTreeMap<String, Log>,
    heads: Vec<Head>,
    /// Why a stream broke off behind the message that was returned last.
    broken: Option<CommandError>,
    idle: u32,
}

/// One stream and how far it was read.
struct Log {
    stream: Stream,
    next: u64,
    last: u64,
}

/// One stream's next message, and the rest of this read.
struct Head {
    name: String,
    stored: Stored,
    rest: Reader,
}

impl Feed {
    pub(super) async fn open(bus: Bus, scope: Scope, from: From) -> Result<Self, CommandError> {
        let subjects = scope.filter.subjects(&scope.namespace, scope.key.as_ref());
        let calls = bus.subscribe(&subjects, None).await?;
        let mut feed = Self {
            bus,
            scope,
            calls,
            logs: BTreeMap::new(),
            heads: Vec::new(),
            broken: None,
            idle: 0,
        };
        for (domain, info) in feed.streams().await? {
            let next = match from {
                From::New => info.last_sequence + 1,
                From::All => 1,
                From::Sequence(sequence) => sequence.max(1),
            };
            feed.log(&domain, &info, next).await?;
        }
        Ok(feed)
    }

    /// Returns the next message, the oldest of all streams first; nothing when
    /// all that is stored was returned.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, CommandError> {
        let next = match self.broken.take() {
            Some(error) => Err(error),
            None => self.take().await,
        };
        if next.is_err() {
            // What was read ahead is read again from where each stream stands.
            self.heads.clear();
        }
        next
    }

    /// Waits until it is time to look again.
    pub(super) async fn wait(&mut self) -> Result<(), CommandError> {
        match timeout(pause(self.idle), self.calls.next()).await {
            Ok(None) => return Err(CommandError::Closed),
            Ok(Some(_)) => {
                self.idle = 0;
                let more = || self.calls.next().now_or_never().flatten();
                std::iter::repeat_with(more)
                    .take(CALLS)
                    .take_while(Option::is_some)
                    .for_each(drop);
            }
            Err(_) => self.idle = self.idle.saturating_add(1),
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<Option<Found>, CommandError> {
        if self.heads.is_empty() {
            self.look().await?;
        }
        let oldest = |(_, head): &(usize, &Head)| (head.stored.time, head.stored.sequence);
        let Some((at, _)) = self.heads.iter().enumerate().min_by_key(oldest) else {
            return Ok(None);
        };
        self.idle = 0;
        let Head { name, stored, rest } = self.heads.swap_remove(at);
        if let Some(log) = self.logs.get_mut(&name) {
            log.next = stored.sequence + 1;
        }
        self.broken = self.advance(name.clone(), rest).await.err();
        Ok(Some(Found { stream: name, stored }))
    }

    /// Begins to read all streams that have something new.
    async fn look(&mut self) -> Result<(), CommandError> {
        for (domain, info) in self.streams().await? {
            let name = info.name.clone();
            if !self.logs.contains_key(&name) {
                self.log(&domain, &info, 1).await?;
            }
            let Some(log) = self.logs.get_mut(&name) else {
                continue;
            };
            if info.last_sequence < log.last {
                warn(&format!(
                    "stream {name} was made anew; it is shown from its start"
                ));
                log.next = 1;
            }
            log.last = info.last_sequence;
            if log.next > log.last {
                continue;
            }
            let subjects = match &self.scope.key {
                Some(key) => self.scope.namespace.event(&domain, key),
                None => self.scope.namespace.events(&domain),
            };
            let rest = log.stream.read(&subjects, log.next).await?;
            self.advance(name, rest).await?;
        }
        Ok(())
    }

    /// Reads one message ahead, or notes that a stream was read to its end.
    async fn advance(&mut self, name: String, mut rest: Reader) -> Result<(), CommandError> {
        match rest.next().await? {
            Some(stored) => self.heads.push(Head { name, stored, rest }),
            None => {
                if let Some(log) = self.logs.get_mut(&name) {
                    log.next = log.next.max(log.last + 1);
                }
            }
        }
        Ok(())
    }

    async fn log(
        &mut self,
        domain: &str,
        info: &StreamInfo,
        next: u64,
    ) -> Result<(), CommandError> {
        let config = StreamConfig::events(&self.scope.namespace, domain);
        let stream = open_as_declared(&self.bus, config).await?;
        let log = Log { stream, next, last: info.last_sequence };
        self.logs.insert(info.name.clone(), log);
        Ok(())
    }

    /// Returns the event streams of the domains in question.
    async fn streams(&self) -> Result<Vec<(String, StreamInfo)>, CommandError> {
        let front = self.scope.namespace.event_stream("");
        let wanted = |info: StreamInfo| {
            let domain = info.name.strip_prefix(&front)?.to_owned();
            self.scope.filter.hears(&domain).then_some((domain, info))
        };
        Ok(self
            .bus
            .streams()
            .await?
            .into_iter()
            .filter_map(wanted)
            .collect())
    }
}

/// A call may come before its message is stored, so look soon, then less often.
fn pause(idle: u32) -> Duration {
    Duration::from_millis(20)
        .saturating_mul(5_u32.saturating_pow(idle))
        .min(LOOK_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{Expect, Message},
        message::{Headers, headers::MSG_ID},
    };

    const EVENTS: u64 = 300;

    async fn append(bus: &Bus, domain: &str, key: &str, number: u64) {
        let shop = Namespace::default();
        let stream = bus
            .stream(&StreamConfig::events(&shop, domain))
            .await
            .unwrap();
        let mut headers = Headers::new();
        headers
            .insert(MSG_ID, format!("{domain}-{number}"))
            .unwrap();
        let subject = shop.event(domain, &Key::new(key).unwrap());
        let message = Message::new(subject, number.to_string()).headers(headers);
        stream.append(message, Expect::Any).await.unwrap();
    }

    async fn feed(bus: &Bus, key: Option<&str>, from: From) -> Feed {
        let key = key.map(|key| Key::new(key).unwrap());
        let scope = Scope { namespace: Namespace::default(), filter: Filter::default(), key };
        Feed::open(bus.clone(), scope, from).await.unwrap()
    }

    async fn take(feed: &mut Feed, count: u64) -> Vec<(String, u64)> {
        let mut taken = Vec::new();
        while (taken.len() as u64) < count {
            match feed.next().await.unwrap() {
                Some(found) => taken.push((found.stream, found.stored.sequence)),
                None => feed.wait().await.unwrap(),
            }
        }
        taken
    }

    #[tokio::test]
    async fn events_that_come_while_it_reads_are_neither_lost_nor_repeated() {
        let bus = Bus::embedded();
        append(&bus, "orders", "o-1", 0).await;
        let mut feed = feed(&bus, None, From::All).await;
        let publishing = async {
            for number in 1..EVENTS {
                append(&bus, "orders", "o-1", number).await;
                append(&bus, "payments", "o-1", number).await;
                tokio::task::yield_now().await;
            }
        };
        let (taken, ()) = tokio::join!(take(&mut feed, 2 * EVENTS - 1), publishing);
        for (name, count) in [("orders", EVENTS), ("payments", EVENTS - 1)] {
            let name = Namespace::default().event_stream(name);
            let sequences = taken.iter().filter(|(stream, _)| *stream == name);
            assert!(sequences.map(|(_, sequence)| *sequence).eq(1..=count));
        }
        assert!(feed.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn it_begins_where_it_is_told_and_a_new_stream_is_all_new() {
        let bus = Bus::embedded();
        for number in 0..3 {
            append(&bus, "orders", "o-1", number).await;
        }
        let mut fresh = feed(&bus, None, From::New).await;
        let mut third = feed(&bus, None, From::Sequence(3)).await;
        let mut other = feed(&bus, Some("u-1"), From::All).await;
        assert!(fresh.next().await.unwrap().is_none());
        append(&bus, "users", "u-1", 0).await;
        let user = ("callboard_EVT_users".to_owned(), 1);
        for feed in [&mut fresh, &mut other] {
            assert_eq!(take(feed, 1).await, std::slice::from_ref(&user));
        }
        let order = ("callboard_EVT_orders".to_owned(), 3);
        assert_eq!(take(&mut third, 2).await, [order, user]);
    }

    #[test]
    fn it_looks_soon_after_a_call_and_seldom_when_nothing_comes() {
        let pauses: Vec<_> = (0..5).map(|idle| pause(idle).as_millis()).collect();
        assert_eq!(pauses, [20, 100, 500, 2000, 2000]);
        assert_eq!(pause(u32::MAX), LOOK_EVERY);
    }
}
