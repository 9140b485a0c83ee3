use super::{
    api::{ApiError, Nothing},
    events::{Ear, Events},
    identity::Identities,
    options::Options,
};
use crate::{
    bus::{
        ConnectError, SendError,
        names::{is_subject, size},
    },
    message::Headers,
};
use async_nats::{
    Client, ConnectErrorKind,
    connection::State,
    jetstream::{Context, ContextBuilder, account::Account},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

/// The oldest server whose stream options and limits this carrier relies on.
const OLDEST: (&str, [u64; 3]) = ("2.12.6", [2, 12, 6]);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long an API request of the server may take, once.
const API_WAIT: Duration = Duration::from_secs(5);
/// How long one attempt to append waits for its confirmation.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(1);
/// How many appends may await their confirmation at once.
const ACKS_IN_FLIGHT: usize = 16_384;

/// One connection to a server, and whether streams and consumers may be made over
/// it; cheap to clone.
#[derive(Clone)]
pub(in crate::bus) struct Link(Arc<Inner>, Making);

/// Whether streams and consumers may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Making {
    Allowed,
    /// Others make them: not even a request for it is sent.
    Never,
}

struct Inner {
    client: Client,
    api: Context,
    appends: Context,
    options: Options,
    events: Arc<Events>,
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
        let deadline = Instant::now() + CONNECT_WITHIN;
        let events = Arc::new(Events::new(options.to_string()));
        let client = first_connection(&options, &events, deadline).await?;
        check_version(&client, &options)?;
        let api = ContextBuilder::new()
            .timeout(API_WAIT)
            .build(client.clone());
        let appends = ContextBuilder::new()
            .timeout(ACK_WAIT)
            .ack_timeout(ACK_WAIT)
            .max_ack_inflight(ACKS_IN_FLIGHT)
            .build(client.clone());
        let compared = watch::Sender::new(*events.connects().borrow());
        let inner = Inner { client, api, appends, options, events, identities, compared };
        let link = Self(Arc::new(inner), making);
        link.check_streams(deadline).await?;
        link.watch_identity();
        Ok(link)
    }

    pub(in crate::bus) async fn reopen(&self) -> Result<Self, ConnectError> {
        let identities = Arc::clone(&self.0.identities);
        Self::connect_as(self.0.options.clone(), identities, self.1).await
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

    pub(super) fn identities(&self) -> &Identities {
        &self.0.identities
    }

    pub(super) fn compared(&self) -> &watch::Sender<u64> {
        &self.0.compared
    }

    pub(in crate::bus) async fn close(&self) {
        let mut ended = self.0.events.ended();
        let leave = async {
            // A socket that is closed with something unread in it takes along what
            // the server has not read yet, so let it have read all.
            if self.is_connected() {
                drop(self.round_trip().await);
            }
            if self.0.client.drain().await.is_ok() {
                drop(ended.wait_for(|ended| *ended).await);
            }
        };
        if timeout(CLOSE_WITHIN, leave).await.is_err() {
            tracing::warn!(server = %self.0.options, "the NATS connection did not close in time");
            self.0.events.end();
        }
    }

    /// Waits until there will be no further connection.
    pub(in crate::bus) async fn ended(&self) {
        let mut ended = self.0.events.ended();
        // The link holds the other end of the watch.
        drop(ended.wait_for(|ended| *ended).await);
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Returns the server's API, for all but appends.
    pub(super) fn api(&self) -> &Context {
        &self.0.api
    }

    /// Returns the server's API with the short wait of an append.
    pub(super) fn appends(&self) -> &Context {
        &self.0.appends
    }

    pub(super) fn events(&self) -> &Events {
        &self.0.events
    }

    pub(super) fn connects(&self) -> watch::Receiver<u64> {
        self.0.events.connects()
    }

    /// Returns how often the connection was made.
    pub(in crate::bus) fn connection(&self) -> u64 {
        *self.connects().borrow()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.0.client.connection_state() == State::Connected && !self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.0.events.ended().borrow()
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
        let limit = self.0.client.max_payload();
        if bytes > limit {
            return Err(SendError::TooLarge { subject: subject.into(), bytes, limit });
        }
        if !self.is_connected() {
            return Err(SendError::Disconnected { subject: subject.into() });
        }
        Ok(())
    }

    async fn check_streams(&self, deadline: Instant) -> Result<(), ConnectError> {
        let info = self.0.client.server_info();
        let refuse = |reason: String| {
            Err(ConnectError::NoStreams { url: self.0.options.to_string(), reason })
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
        let version = self.0.client.server_info().version;
        write!(
            f,
            "nats {version} at {}: what is stored survives the server's process, and a power \
             failure only once the server has synced it (`sync_interval`, 2 min by default)",
            self.0.options
        )
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.0.options).finish()
    }
}

async fn first_connection(
    options: &Options,
    events: &Arc<Events>,
    deadline: Instant,
) -> Result<Client, ConnectError> {
    let unreachable =
        |reason: String| ConnectError::Unreachable { url: options.to_string(), reason };
    let servers = options.servers()?;
    let mut reason = "no answer".to_owned();
    loop {
        let ear = Ear::new(Arc::clone(events));
        let client = options
            .client()
            .await?
            .ping_interval(PING_EVERY)
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(API_WAIT))
            .client_capacity(2_048)
            .subscription_capacity(65_536)
            .skip_subject_validation(true)
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                ear.hear(event);
                std::future::ready(())
            });
        match timeout_at(deadline, client.connect(servers.clone())).await {
            Err(_) => return Err(unreachable(reason)),
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => reason = refusal(options, &error)?,
        }
        sleep(Duration::from_millis(100)).await;
        if Instant::now() >= deadline {
            return Err(unreachable(reason));
        }
    }
}

/// Returns why another attempt is worth it, or the error that makes it useless.
fn refusal(options: &Options, error: &async_nats::ConnectError) -> Result<String, ConnectError> {
    let (url, reason) = (options.to_string(), error.to_string());
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            Err(ConnectError::Unauthorized { url, reason })
        }
        ConnectErrorKind::ServerParse => Err(ConnectError::Options { reason }),
        _ if reason.to_lowercase().contains("authentication") => {
            Err(ConnectError::Unauthorized { url, reason })
        }
        _ => Ok(reason),
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

/// Waits longer after each attempt, up to 2 s, and never the same for all.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::from_millis(fastrand::u64(0..10));
    }
    backoff(u32::try_from(attempts - 1).unwrap_or(u32::MAX))
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
