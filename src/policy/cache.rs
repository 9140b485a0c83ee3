use super::{
    span,
    sync::{AtomicU64, Mutex, Ordering},
};
use crate::message::is_name;
use bytes::Bytes;
use lru::LruCache;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::PoisonError, time::Duration};
use tokio::time::Instant;

/// How replies are kept, to be given again to the same command.
///
/// The same is what has the same fields and the same headers of
/// [`Call::header`](crate::Call::header), whoever sends it: do not keep what depends on
/// who asks. Another table of [routes](crate::route) makes all replies old.
///
/// 500 replies of 16 MiB together for 60 s by default, those used least recently leave
/// first; one that is larger than all may be is not kept.
/// Any
/// event of the target's domain, or of others that are named, makes all of them
/// old; it is heard while the node runs and its bus is connected, and what is
/// missed is made up for by the time to live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Cache {
    entries: usize,
    bytes: usize,
    #[serde(with = "span")]
    ttl: Duration,
    domains: Vec<String>,
}

impl Cache {
    /// Keeps this many replies, each for so long.
    pub fn new(entries: usize, ttl: Duration) -> Self {
        Self { entries, ttl, ..Self::default() }
    }

    /// Sets how many bytes replies and their commands may take together; 16 MiB by
    /// default.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the domains whose events make replies old, instead of the target's own.
    pub fn domains(mut self, domains: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.domains = domains.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the domains whose events make replies of a target's domain old.
    pub(crate) fn heeds<'a>(&'a self, own: &'a str) -> Vec<&'a str> {
        if self.domains.is_empty() {
            return vec![own];
        }
        self.domains.iter().map(String::as_str).collect()
    }

    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=10_000_000).contains(&self.entries) {
            return Some(format!("`entries` is {}; use 1 to 10000000", self.entries));
        }
        if self.bytes == 0 {
            return Some("`bytes` is 0, so nothing would be kept; use 1 or more".to_owned());
        }
        if let Some(domain) = self.domains.iter().find(|domain| !is_name(domain)) {
            return Some(format!(
                "`domains` has `{domain}`, which names no domain; use `a-z 0-9 - _`"
            ));
        }
        span::fault("ttl", self.ttl)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: 500,
            bytes: 16 << 20,
            ttl: Duration::from_mins(1),
            domains: Vec::new(),
        }
    }
}

/// The replies that are kept, by the bytes of their commands.
pub(crate) struct Replies {
    cache: Cache,
    /// Goes up when all replies become old.
    era: AtomicU64,
    kept: Mutex<Shelf>,
}

/// What was asked, and by what headers routes tell it from others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) command: Bytes,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// When a call begins: how often something had happened, and by which routes it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Era {
    happened: u64,
    routes: (u64, u64),
}

#[derive(Clone)]
struct Kept {
    reply: Bytes,
    at: Instant,
    era: Era,
}

impl Replies {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache, era: AtomicU64::new(0), kept: Mutex::new(Shelf::default()) }
    }

    /// Returns the era in which a call begins that goes by these routes.
    pub(crate) fn era(&self, routes: (u64, u64)) -> Era {
        Era { happened: self.era.load(Ordering::Acquire), routes }
    }

    /// Keeps the reply of a call that began in an era.
    pub(crate) fn put(&self, asked: Asked, reply: Bytes, era: Era, now: Instant) {
        let reply = Kept { reply, at: now, era };
        if size(&asked, &reply) > self.cache.bytes {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(asked, reply);
        while kept.replies.len() > self.cache.entries || kept.bytes > self.cache.bytes {
            kept.pop();
        }
        drop(kept);
    }

    /// Returns the reply of a command if it is not old.
    pub(crate) fn fresh(&self, asked: &Asked, era: Era, now: Instant) -> Option<Bytes> {
        let kept = self.find(asked)?;
        let young = now.saturating_duration_since(kept.at) < self.cache.ttl;
        (young && kept.era == era).then_some(kept.reply)
    }

    /// Returns the last reply of a command, however old it is, and its age.
    pub(crate) fn last(&self, asked: &Asked, now: Instant) -> Option<(Bytes, Duration)> {
        let kept = self.find(asked)?;
        Some((kept.reply, now.saturating_duration_since(kept.at)))
    }

    /// Makes all of them old.
    pub(crate) fn age(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
    }

    fn find(&self, asked: &Asked) -> Option<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.replies.get(asked).cloned()
    }
}

/// What is kept, and how much memory it takes.
struct Shelf {
    replies: LruCache<Asked, Kept>,
    bytes: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { replies: LruCache::unbounded(), bytes: 0 }
    }
}

impl Shelf {
    fn put(&mut self, asked: Asked, kept: Kept) {
        self.bytes += size(&asked, &kept);
        if let Some((asked, old)) = self.replies.push(asked, kept) {
            self.bytes -= size(&asked, &old);
        }
    }

    /// Takes away what was used least recently.
    fn pop(&mut self) {
        if let Some((asked, old)) = self.replies.pop_lru() {
            self.bytes -= size(&asked, &old);
        }
    }
}

fn size(asked: &Asked, kept: &Kept) -> usize {
    let headers = asked
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len());
    asked.command.len() + kept.reply.len() + headers.sum::<usize>()
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Cache, Replies};
    use std::time::Duration;
    use tokio::time::Instant;

    const ROUTES: (u64, u64) = (1, 7);

    fn asked(command: &'static str) -> Asked {
        Asked { command: command.into(), headers: Vec::new() }
    }

    #[test]
    fn replies_are_kept_for_their_time_and_until_something_happens() {
        let (now, ttl) = (Instant::now(), Duration::from_secs(10));
        let replies = Replies::new(Cache::new(2, ttl));
        let fresh = |command, now| replies.fresh(&asked(command), replies.era(ROUTES), now);
        let era = replies.era(ROUTES);
        replies.put(asked("a"), "1".into(), era, now);
        assert_eq!(fresh("a", now), Some("1".into()));
        assert_eq!(fresh("a", now + ttl), None);
        replies.age();
        replies.put(asked("b"), "2".into(), era, now);
        assert_eq!(fresh("a", now), None);
        assert_eq!(fresh("b", now), None, "its call began before");
        let last = replies.last(&asked("b"), now + ttl);
        assert_eq!(last, Some(("2".into(), ttl)));
        replies.put(asked("c"), "3".into(), replies.era(ROUTES), now);
        assert_eq!(
            replies.last(&asked("a"), now),
            None,
            "there is room for two"
        );
        assert_eq!(fresh("c", now), Some("3".into()));
    }

    #[test]
    fn replies_take_no_more_bytes_than_they_may() {
        let now = Instant::now();
        let replies = Replies::new(Cache::default().bytes(10));
        let put = |command, reply: &'static str| {
            replies.put(asked(command), reply.into(), replies.era(ROUTES), now);
        };
        let has = |command| replies.last(&asked(command), now).is_some();
        put("a", "1234");
        put("a", "4321");
        put("b", "1234");
        assert!(has("a") && has("b"), "one that comes again is counted once");
        put("c", "1");
        assert!(!has("a") && has("b") && has("c"));
        put("d", "much too long");
        assert!(has("c") && !has("d"), "it makes no others go");
        put("e", "123456789");
        assert!(has("e"));
    }

    #[test]
    fn replies_that_came_by_other_routes_are_old() {
        let now = Instant::now();
        let replies = Replies::new(Cache::default());
        replies.put(asked("a"), "1".into(), replies.era(ROUTES), now);
        let fresh = |routes| replies.fresh(&asked("a"), replies.era(routes), now);
        assert_eq!(fresh((2, 7)), None);
        assert_eq!(fresh(ROUTES), Some("1".into()));
    }
}
