use super::{block::split_pin, core::SEND_WAIT, link::Link};
use async_nats::{Message, StatusCode, Subject, Subscriber, header};
use futures_util::{FutureExt, StreamExt};
use std::{fmt, pin::Pin, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep, timeout},
};

/// How many bytes one request asks for at most; there are two at a time.
const BYTES_AHEAD: usize = 4 * 1024 * 1024;

/// How messages of a consumer are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// How many messages are asked for ahead.
    pub(super) batch: usize,
    /// When an unanswered request ends.
    pub(super) expires: Duration,
    /// How often the server says that it is there while it has nothing.
    pub(super) heartbeat: Duration,
    /// How long there may be no message before that is doubted.
    pub(super) quiet: Duration,
    /// The group within which one handle is pinned.
    pub(super) group: Option<&'static str>,
    /// After how long without a look at what came it may have come again elsewhere.
    pub(super) lapse: Option<Duration>,
}

/// Why no message comes any more from a pull; a new one may get some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The consumer was deleted.
    Deleted,
    /// Nobody answers for the consumer: an election, a restart, or it is gone.
    Away,
    /// Not even heartbeats come.
    Silent,
    /// Heartbeats come, but no message for long.
    Quiet,
    /// Nobody looked at what came for so long that it may have come again elsewhere.
    Lapsed,
    /// The server refuses to serve the request.
    Refused(String),
    /// The connection was closed for good.
    Closed,
}

/// Writes the trouble as the end of an error's sentence.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "its consumer was deleted",
            Self::Away => "nobody answers for it; the server may be electing or restarting",
            Self::Silent => "the server says nothing any more",
            Self::Quiet => "the server is there, but no message comes through",
            Self::Lapsed => "what came lay here so long that it may have come again elsewhere",
            Self::Refused(reason) => return write!(f, "the server refuses: {reason}"),
            Self::Closed => "the connection is closed",
        })
    }
}

impl Trouble {
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Away => "away",
            Self::Silent => "silent",
            Self::Quiet => "quiet",
            Self::Lapsed => "lapsed",
            Self::Refused(_) => "refused",
            Self::Closed => "closed",
        }
    }
}

/// One stream of pull requests to one consumer.
#[derive(Debug)]
pub(super) struct Pull {
    link: Link,
    next: Subject,
    inbox: Subject,
    subscriber: Subscriber,
    plan: Plan,
    pin: Option<String>,
    /// The replies of messages that came and will not be handed out.
    kept: Vec<Subject>,
    asked: usize,
    /// When it was looked at last what came.
    looked: Instant,
    lapsed: bool,
    heard: bool,
    quiet: u32,
    watchdog: Pin<Box<Sleep>>,
    connects: watch::Receiver<u64>,
}

impl Pull {
    pub(super) async fn new(
        link: &Link,
        stream: &str,
        consumer: &str,
        plan: Plan,
    ) -> Result<Self, Trouble> {
        let Ok(link) = link.readers().await else {
            return Err(Trouble::Away);
        };
        let inbox = Subject::from(link.client().new_inbox());
        let subscribing = timeout(SEND_WAIT, link.client().subscribe(inbox.clone()));
        let Ok(Ok(subscriber)) = subscribing.await else {
            return Err(Trouble::Away);
        };
        Ok(Self {
            connects: link.connects(),
            next: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into(),
            inbox,
            subscriber,
            plan,
            pin: None,
            kept: Vec::new(),
            asked: 0,
            looked: Instant::now(),
            lapsed: false,
            heard: false,
            quiet: 0,
            watchdog: Box::pin(sleep(plan.patience())),
            link,
        })
    }

    /// Keeps the place of an earlier pull of this handle among pinned ones.
    pub(super) fn pinned_as(mut self, pin: Option<String>) -> Self {
        self.pin = pin;
        self
    }

    pub(super) fn pin(&self) -> Option<&str> {
        self.pin.as_deref()
    }

    /// Takes the pin away, for the server to give to another.
    pub(super) const fn unpin(&mut self) -> Option<String> {
        self.pin.take()
    }

    /// Waits for the next message. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Result<Message, Trouble> {
        loop {
            if self.asked <= self.plan.batch / 2 && self.link.is_connected() {
                self.ask().await?;
            }
            tokio::select! {
                biased;
                message = self.subscriber.next() => {
                    let message = message.ok_or_else(|| self.gone())?;
                    if let Some(message) = self.take(message)? {
                        return Ok(message);
                    }
                }
                changed = self.connects.changed() => {
                    changed.map_err(|_| Trouble::Closed)?;
                    // What was asked over the old connection may be forgotten.
                    self.asked = 0;
                }
                () = &mut self.watchdog => self.look()?,
            }
        }
    }

    /// Asks for nothing more, and keeps what still comes for
    /// [`leftovers`](Self::leftovers), until the server has ended what was asked.
    ///
    /// A request that nobody listens for any more would swallow the first
    /// message that is given back, and let it come again as the last.
    pub(super) async fn drain(&mut self) {
        while self.asked > 0 {
            let Some(message) = self.subscriber.next().await else {
                return;
            };
            match self.take(message) {
                Ok(Some(message)) => self.keep(message),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    /// Returns how long the server may take to end what was asked.
    pub(super) fn patience(&self) -> Duration {
        self.plan.expires + Duration::from_secs(1)
    }

    /// Takes the replies of messages that came and were not handed out.
    pub(super) fn leftovers(&mut self) -> Vec<Subject> {
        if self.lapsed {
            return Vec::new();
        }
        while let Some(Some(message)) = self.subscriber.next().now_or_never() {
            self.keep(message);
        }
        std::mem::take(&mut self.kept)
    }

    fn keep(&mut self, mut message: Message) {
        if is_stored(&message) || message.status.is_none_or(|status| status == StatusCode::OK) {
            self.note_pin(&mut message);
            self.kept.extend(message.reply);
        }
    }

    /// Returns the connection over which messages come.
    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// Says why nothing more comes over a subscription that ended.
    fn gone(&self) -> Trouble {
        if self.link.is_closed() {
            Trouble::Closed
        } else {
            Trouble::Away
        }
    }

    async fn ask(&mut self) -> Result<(), Trouble> {
        let wanted = self.plan.batch - self.asked;
        let largest = self.link.client().max_payload();
        let request = self.plan.request(wanted, largest, self.pin.as_deref());
        let asking = self.link.client().publish_with_reply(
            self.next.clone(),
            self.inbox.clone(),
            request.into(),
        );
        match timeout(SEND_WAIT, asking).await {
            Ok(Ok(())) => self.asked += wanted,
            Ok(Err(_)) => return Err(self.gone()),
            Err(_) => return Err(Trouble::Silent),
        }
        Ok(())
    }

    /// Sorts what came: a message, or the server's word on a request.
    fn take(&mut self, mut message: Message) -> Result<Option<Message>, Trouble> {
        self.heard = true;
        let since = std::mem::replace(&mut self.looked, Instant::now());
        self.lapsed |= self
            .plan
            .lapse
            .is_some_and(|lapse| since + lapse <= self.looked);
        if self.lapsed {
            return Err(Trouble::Lapsed);
        }
        let status = match message.status {
            Some(status) if status != StatusCode::OK && !is_stored(&message) => status,
            _ => {
                self.asked = self.asked.saturating_sub(1);
                self.quiet = 0;
                self.note_pin(&mut message);
                return Ok(Some(message));
            }
        };
        let said = message.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => return Ok(None),
            StatusCode::NO_RESPONDERS => return Err(Trouble::Away),
            StatusCode::PIN_ID_MISMATCH => self.pin = None,
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => {}
            StatusCode::REQUEST_TERMINATED if said == "Consumer Deleted" => {
                return Err(Trouble::Deleted);
            }
            StatusCode::REQUEST_TERMINATED
                if left_over(&message).is_some() || said == "Leadership Change" => {}
            _ => return Err(Trouble::Refused(format!("{status} {said}"))),
        }
        self.asked = left_over(&message).map_or(0, |left| self.asked.saturating_sub(left));
        Ok(None)
    }

    fn note_pin(&mut self, message: &mut Message) {
        let Some(headers) = message
            .headers
            .as_mut()
            .filter(|_| self.plan.group.is_some())
        else {
            return;
        };
        match headers.get_last(header::NATS_PIN_ID) {
            Some(pin) if self.pin.as_deref() == Some(pin.as_str()) => {}
            Some(pin) => self.pin = Some(pin.as_str().to_owned()),
            None => self.pin = split_pin(headers).or_else(|| self.pin.take()),
        }
    }

    /// Looks, now and then, whether the server is still there.
    fn look(&mut self) -> Result<(), Trouble> {
        self.watchdog
            .as_mut()
            .reset(Instant::now() + self.plan.patience());
        if !self.link.is_connected() {
            self.asked = 0;
            return if self.link.is_closed() {
                Err(Trouble::Closed)
            } else {
                Ok(())
            };
        }
        if !std::mem::take(&mut self.heard) {
            return Err(Trouble::Silent);
        }
        self.quiet += 1;
        if self.plan.patience() * self.quiet >= self.plan.quiet {
            self.quiet = 0;
            return Err(Trouble::Quiet);
        }
        Ok(())
    }
}

impl Plan {
    /// Two heartbeats and the time a busy machine may take.
    fn patience(&self) -> Duration {
        self.heartbeat * 2 + Duration::from_secs(2)
    }

    fn request(&self, batch: usize, largest: usize, pin: Option<&str>) -> String {
        // The largest message has to fit. A request that ends exactly at its last byte ends
        // without a word, so that is made rare.
        let bytes = BYTES_AHEAD.max(largest * 2) + fastrand::usize(..4_096);
        let (expires, heartbeat) = (self.expires.as_nanos(), self.heartbeat.as_nanos());
        let group = self.group.map(|group| format!(r#","group":"{group}""#));
        let pin = pin.map(|pin| format!(r#","id":"{pin}""#));
        format!(
            r#"{{"batch":{batch},"max_bytes":{bytes},"expires":{expires},"idle_heartbeat":{heartbeat}{}{}}}"#,
            group.unwrap_or_default(),
            pin.unwrap_or_default(),
        )
    }
}

/// Whether a stream delivered it: a publisher can make it look like the server's word.
fn is_stored(message: &Message) -> bool {
    let reply = message.reply.as_deref();
    reply.is_some_and(|reply| reply.starts_with("$JS.ACK."))
}

/// Returns how many messages an ended request did not get.
fn left_over(message: &Message) -> Option<usize> {
    let headers = message.headers.as_ref()?;
    headers.get("Nats-Pending-Messages")?.as_str().parse().ok()
}
