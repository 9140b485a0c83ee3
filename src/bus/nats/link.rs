use super::{
    api::{ApiError, Nothing},
    events::{Events, Life},
    identity::Identities,
    options::Options,
    wire::{Dialer, Wire},
};
use crate::{
    bus::{
        ConnectError, SendError,
        names::{is_subject, size},
    },
    message::Headers,
};
use async_nats::{
    Client,
    connection::State,
    jetstream::{Context, account::Account},
};
use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OnceCell, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

/// The oldest server whose stream options and limits this carrier relies on.
const OLDEST: (&str, [u64; 3]) = ("2.12.6", [2, 12, 6]);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// How long an API request of the server may take, once.
pub(super) const API_WAIT: Duration = Duration::from_secs(5);
/// How long one attempt to append waits for its confirmation.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(1);
/// How many appends may await their confirmation at once.
pub(super) const ACKS_IN_FLIGHT: usize = 16_384;

/// One connection to a server, and whether streams and consumers may be made over
/// it; cheap to clone.
#[derive(Clone)]
pub(in crate::bus) struct Link(Arc<Inner>, Making);

/// A link that does not keep its connection.
pub(super) struct WeakLink(Weak<Inner>, Making);

impl WeakLink {
    pub(super) fn upgrade(&self) -> Option<Link> {
        self.0.upgrade().map(|inner| Link(inner, self.1))
    }
}

/// Whether streams and consumers may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Making {
    Allowed,
    /// Others make them: not even a request for it is sent.
    Never,
}

struct Inner {
    wire: Wire,
    dialer: Arc<Dialer>,
    /// Where the socket is driven.
    runtime: Handle,
    /// The connection on which consumers and reads get their messages.
    readers: OnceCell<Link>,
    identities: Arc<Identities>,
    /// How many connections had been made when the streams were compared last.
    compared: watch::Sender<u64>,
}

impl Link {
    pub(in crate::bus) async fn connect(options: Options) -> Result<Self, ConnectError> {
        Self::connect_as(options, Arc::new(Identities::new()), Making::Allowed).await
    }

    async fn connect_as(
        options: Options,
        identities: Arc<Identities>,
        making: Making,
    ) -> Result<Self, ConnectError> {
        let link = Self::open(options, identities, making).await?;
        link.watch_identity();
        Ok(link)
    }

    async fn open(
        options: Options,
        identities: Arc<Identities>,
        making: Making,
    ) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + CONNECT_WITHIN;
        let events = Arc::new(Events::new(options.to_string()));
        let dialer = Arc::new(Dialer::new(options, &events)?);
        let client = dialer.dial(deadline).await?;
        check_version(&client, &dialer.options)?;
        let compared = watch::Sender::new(*events.connects().borrow());
        let inner = Inner {
            wire: Wire::new(client),
            dialer: Arc::clone(&dialer),
            runtime: Handle::current(),
            readers: OnceCell::new(),
            identities,
            compared,
        };
        let link = Self(Arc::new(inner), making);
        drop(Handle::current().spawn(revive(Arc::downgrade(&link.0), dialer)));
        link.check_streams(deadline).await?;
        Ok(link)
    }

    pub(in crate::bus) async fn reopen(&self) -> Result<Self, ConnectError> {
        let identities = Arc::clone(&self.0.identities);
        Self::connect_as(self.options().clone(), identities, self.1).await
    }

    /// Returns a handle that makes neither streams nor consumers, and asks for none.
    pub(in crate::bus) fn provisioned(&self) -> Self {
        Self(Arc::clone(&self.0), Making::Never)
    }

    /// Returns why the server cannot be used, if it is not the one that was lost.
    pub(in crate::bus) fn impairment(&self) -> Option<String> {
        self.0.identities.impairment()
    }

    pub(super) fn is_provisioned(&self) -> bool {
        self.1 == Making::Never
    }

    pub(super) fn downgrade(&self) -> WeakLink {
        WeakLink(Arc::downgrade(&self.0), self.1)
    }

    pub(super) fn identities(&self) -> &Identities {
        &self.0.identities
    }

    pub(super) fn compared(&self) -> &watch::Sender<u64> {
        &self.0.compared
    }

    /// Opens it once more, from the start on so that nothing which comes can break it. That
    /// takes one more hop.
    pub(in crate::bus) async fn reopen_screened(&self) -> Result<Self, ConnectError> {
        let identities = Arc::clone(&self.0.identities);
        Self::connect_as(self.options().clone().screened(), identities, self.1).await
    }

    /// Returns the connection for what consumers and reads get, made when it is first wanted:
    /// what breaks it is no trouble of commands.
    pub(in crate::bus) async fn readers(&self) -> Result<Self, ConnectError> {
        let make = async || {
            let options = self.options().clone();
            let identities = Arc::clone(&self.0.identities);
            let connecting = Self::open(options, identities, self.1);
            let connecting = self.0.runtime.spawn(connecting);
            connecting.await.unwrap_or_else(|_| {
                let (url, reason) = (self.options().to_string(), "its runtime ended".into());
                Err(ConnectError::Unreachable { url, reason })
            })
        };
        self.0.readers.get_or_try_init(make).await.cloned()
    }

    pub(in crate::bus) async fn close(&self) {
        if let Some(readers) = self.0.readers.get() {
            Box::pin(readers.close()).await;
        }
        let mut life = self.events().life();
        let leave = async {
            // A socket that is closed with something unread in it takes along what
            // the server has not read yet, so let it have read all.
            if self.is_connected() {
                drop(self.round_trip().await);
            }
            if self.events().is(Life::Up) && self.client().drain().await.is_ok() {
                drop(life.wait_for(|life| *life == Life::Ended).await);
            } else {
                self.events().end();
            }
        };
        if timeout(CLOSE_WITHIN, leave).await.is_err() {
            tracing::warn!(server = %self.options(), "the NATS connection did not close in time");
            self.events().end();
        }
    }

    /// Waits until there will be no further connection.
    pub(in crate::bus) async fn ended(&self) {
        let mut life = self.events().life();
        // The link holds the other end of the watch.
        drop(life.wait_for(|life| *life == Life::Ended).await);
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.wire.last().client
    }

    /// Returns the server's API, for all but appends.
    pub(super) fn api(&self) -> &Context {
        &self.0.wire.last().api
    }

    /// Returns the server's API with the short wait of an append.
    pub(super) fn appends(&self) -> &Context {
        &self.0.wire.last().appends
    }

    fn options(&self) -> &Options {
        &self.0.dialer.options
    }

    pub(super) fn events(&self) -> &Events {
        &self.0.dialer.events
    }

    pub(super) fn connects(&self) -> watch::Receiver<u64> {
        self.events().connects()
    }

    /// Returns how often the connection was made.
    pub(in crate::bus) fn connection(&self) -> u64 {
        *self.connects().borrow()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client().connection_state() == State::Connected && self.events().is(Life::Up)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.events().is(Life::Ended)
    }

    /// Waits until there is a connection, at most until the deadline.
    pub(super) async fn connected_by(&self, deadline: Instant) -> bool {
        let mut connects = self.connects();
        while !self.is_connected() {
            // The event may come before the state or be dropped, so look again now and then.
            let wait = deadline.min(Instant::now() + Duration::from_millis(500));
            drop(timeout_at(wait, connects.changed()).await);
            if Instant::now() >= deadline || self.is_closed() {
                return self.is_connected();
            }
        }
        true
    }

    /// Whether a message may be handed to the client now.
    pub(super) fn check(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &[u8],
    ) -> Result<(), SendError> {
        if !is_subject(subject) {
            return Err(SendError::Subject { subject: subject.into() });
        }
        let bytes = size(headers, payload);
        let limit = self.client().max_payload();
        if bytes > limit {
            return Err(SendError::TooLarge { subject: subject.into(), bytes, limit });
        }
        if !self.is_connected() {
            return Err(SendError::Disconnected { subject: subject.into() });
        }
        Ok(())
    }

    async fn check_streams(&self, deadline: Instant) -> Result<(), ConnectError> {
        let info = self.client().server_info();
        let refuse = |reason: String| {
            Err(ConnectError::NoStreams { url: self.options().to_string(), reason })
        };
        if !info.jetstream {
            return refuse("JetStream is off".into());
        }
        let asking = self.ask::<Account>("INFO".into(), &Nothing {});
        match timeout_at(deadline, asking).await {
            Ok(Err(ApiError::Refused(error))) if error.code() != 503 || is_off(&error) => {
                refuse(error.to_string())
            }
            // No answer: an election, or an account that may not ask. Both can have streams.
            _ => Ok(()),
        }
    }
}

/// Writes the server, where it is, and what survives.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.client().server_info().version;
        write!(
            f,
            "nats {version} at {}: what is stored survives the server's process, and a power \
             failure only once the server has synced it (`sync_interval`, 2 min by default)",
            self.options()
        )
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.options()).finish()
    }
}

/// Makes the client anew whenever its task has died, until the link is closed.
async fn revive(link: Weak<Inner>, dialer: Arc<Dialer>) {
    let mut life = dialer.events.life();
    let mut failures = 0;
    loop {
        match life.wait_for(|life| *life != Life::Up).await.as_deref() {
            Ok(Life::Dead) if link.strong_count() > 0 => {}
            _ => return,
        }
        if failures == 0 {
            dialer.events.reviving();
        }
        // What killed one client would kill the next.
        dialer.screen.need();
        let dialled = dialer.dial(Instant::now() + CONNECT_WITHIN).await;
        match (dialled, link.upgrade()) {
            (Ok(client), Some(inner)) => {
                inner.wire.follow(client);
                dialer.events.revived();
                failures = 0;
            }
            (_, None) => return,
            (Err(error), _) => {
                tracing::warn!(%error, "the NATS connection is not made again yet");
                sleep(backoff(failures)).await;
                failures += 1;
            }
        }
    }
}

fn check_version(client: &Client, options: &Options) -> Result<(), ConnectError> {
    let found = client.server_info().version;
    let (needed, oldest) = OLDEST;
    if version(&found) >= oldest {
        return Ok(());
    }
    Err(ConnectError::TooOld { url: options.to_string(), found, needed })
}

/// Says that the server is too old, if it is.
pub(super) fn too_old(client: &Client) -> Option<String> {
    let found = client.server_info().version;
    let (needed, oldest) = OLDEST;
    (version(&found) < oldest).then(|| {
        format!(
            "the server is {found} now; {needed} or newer is needed: run one, and restart the nodes"
        )
    })
}

/// Reads `2.12.6` or `v2.12.6-rc.1`; what is missing is 0.
fn version(text: &str) -> [u64; 3] {
    let mut parts = text
        .trim_start_matches('v')
        .split(['.', '-', '+'])
        .map_while(|part| part.parse().ok());
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn is_off(error: &async_nats::jetstream::Error) -> bool {
    use async_nats::jetstream::ErrorCode;
    matches!(
        error.error_code(),
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
    )
}

/// Returns a jittered wait before attempt `n + 1`: 50 ms, doubling up to 2 s.
pub(super) fn backoff(failures: u32) -> Duration {
    let full = 50_u64.saturating_mul(1 << failures.min(6)).min(2_000);
    Duration::from_millis(full / 2 + fastrand::u64(0..=full / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        assert_eq!(version("2.15.1"), [2, 15, 1]);
        assert_eq!(version("v2.12.6-RC.1"), [2, 12, 6]);
        assert!(version("2.9.10") < OLDEST.1);
        assert!(version("2.12.5") < OLDEST.1);
        assert!(version("3.0") > OLDEST.1);
    }

    #[test]
    fn waits_grow_up_to_two_seconds() {
        for failures in [0, 3, 6, 60] {
            let longest = Duration::from_millis(50 << failures.min(6)).min(Duration::from_secs(2));
            assert!(backoff(failures) <= longest);
            assert!(backoff(failures) >= longest / 2);
        }
    }
}
