//! The client of a link: how it is made, and how another takes its place.

use super::{
    events::{Ear, Events, Life},
    link::{ACK_WAIT, ACKS_IN_FLIGHT, API_WAIT, backoff},
    options::Options,
    screen::{Screen, Target},
};
use crate::bus::ConnectError;
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, ReconnectToServer, Server, ServerAddr, ServerInfo,
    Statistics,
    jetstream::{Context, ContextBuilder},
};
use std::{
    future::ready,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

const PING_EVERY: Duration = Duration::from_secs(5);
/// How long a client that is connected may take to say which servers it knows.
const POOL_WITHIN: Duration = Duration::from_secs(1);

/// A client and its two ways to ask the server's API; when it dies, another follows.
///
/// Nobody waits for a lock to find the last one. A dead client is small, and there is one for
/// each message that killed one: none can behind a [`Screen`].
pub(super) struct Wire {
    pub(super) client: Client,
    /// For all but appends.
    pub(super) api: Context,
    /// With the short wait of an append.
    pub(super) appends: Context,
    next: OnceLock<Box<Self>>,
}

impl Wire {
    pub(super) fn new(client: Client) -> Self {
        let api = ContextBuilder::new()
            .timeout(API_WAIT)
            .build(client.clone());
        let appends = ContextBuilder::new()
            .timeout(ACK_WAIT)
            .ack_timeout(ACK_WAIT)
            .max_ack_inflight(ACKS_IN_FLIGHT)
            .build(client.clone());
        Self { client, api, appends, next: OnceLock::new() }
    }

    /// Returns the one that lives.
    pub(super) fn last(&self) -> &Self {
        let mut wire = self;
        while let Some(next) = wire.next.get() {
            wire = next;
        }
        wire
    }

    /// Puts another in the place of the last.
    pub(super) fn follow(&self, client: Client) {
        // One task does this.
        drop(self.last().next.set(Box::new(Self::new(client))));
    }
}

/// Makes the clients of one link.
pub(super) struct Dialer {
    pub(super) options: Options,
    pub(super) events: Arc<Events>,
    pub(super) screen: Arc<Screen>,
}

impl Dialer {
    pub(super) fn new(options: Options, events: &Arc<Events>) -> Result<Self, ConnectError> {
        let events = Arc::clone(events);
        let screen = Screen::new(&events, options.unreadable());
        let screen = screen.map_err(|error| unreachable(&options, error.to_string()))?;
        Ok(Self { options, events, screen: Arc::new(screen) })
    }

    /// Connects, again and again until the deadline.
    pub(super) async fn dial(&self, deadline: Instant) -> Result<Client, ConnectError> {
        let servers = self.options.servers()?;
        let mut reason = "no answer".to_owned();
        loop {
            let chooser = Arc::new(Chooser::new(&self.screen, &self.events));
            let client = self.client(&chooser).await?;
            let to = if self.screen.is_needed() {
                let target = Target { servers: servers.clone(), only: None };
                match timeout_at(deadline, self.screen.open(target)).await {
                    Ok(Ok(Ok(()))) => vec![self.screen.address().clone()],
                    Ok(Ok(Err(error))) => {
                        reason = error.to_string();
                        self.pause(&reason, deadline).await?;
                        continue;
                    }
                    _ => return Err(unreachable(&self.options, reason)),
                }
            } else {
                servers.clone()
            };
            match timeout_at(deadline, client.connect(to)).await {
                Err(_) => return Err(unreachable(&self.options, reason)),
                Ok(Ok(client)) => {
                    chooser.begin(&client, servers).await;
                    return Ok(client);
                }
                Ok(Err(error)) => reason = refusal(&self.options, &error)?,
            }
            self.pause(&reason, deadline).await?;
        }
    }

    /// Waits for the next attempt, if there shall be one.
    async fn pause(&self, reason: &str, deadline: Instant) -> Result<(), ConnectError> {
        sleep(Duration::from_millis(100)).await;
        if Instant::now() >= deadline {
            return Err(unreachable(&self.options, reason.to_owned()));
        }
        Ok(())
    }

    async fn client(&self, chooser: &Arc<Chooser>) -> Result<ConnectOptions, ConnectError> {
        let ear = Ear::new(Arc::clone(&self.events));
        let chooser = Arc::clone(chooser);
        let client = self.options.client().await?;
        Ok(client
            .ping_interval(PING_EVERY)
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(API_WAIT))
            .client_capacity(2_048)
            .subscription_capacity(65_536)
            .skip_subject_validation(true)
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay)
            .reconnect_to_server_callback(move |pool, info| {
                let chooser = Arc::clone(&chooser);
                async move { chooser.choose(&pool, &info).await }
            })
            .event_callback(move |event| {
                ear.hear(event);
                ready(())
            }))
    }
}

/// Chooses where a client connects that lost its connection.
///
/// The client does not say why it did. But a server that takes it back at once, and is the
/// same as before, did not end it: what came over it may have. So the first attempt goes to
/// that server by way of the screen, and only if that fails directly to any.
#[derive(Debug)]
struct Chooser {
    screen: Arc<Screen>,
    events: Arc<Events>,
    statistics: OnceLock<Arc<Statistics>>,
    /// The number of the last connection that was lost.
    lost: AtomicU64,
    /// How often the screen was tried since.
    attempts: AtomicUsize,
}

impl Chooser {
    fn new(screen: &Arc<Screen>, events: &Arc<Events>) -> Self {
        Self {
            screen: Arc::clone(screen),
            events: Arc::clone(events),
            statistics: OnceLock::new(),
            lost: AtomicU64::new(0),
            attempts: AtomicUsize::new(0),
        }
    }

    /// Chooses from now on, among what a client was told and what it found.
    async fn begin(&self, client: &Client, mut servers: Vec<ServerAddr>) {
        let found = timeout(POOL_WITHIN, client.server_pool()).await;
        let found = found
            .into_iter()
            .flatten()
            .flatten()
            .map(|server| server.addr);
        for address in found.chain([self.screen.address().clone()]) {
            if !servers.contains(&address) {
                servers.push(address);
            }
        }
        // Without it the client chooses by itself, and never the screen.
        drop(timeout(POOL_WITHIN, client.set_server_pool(servers)).await);
        drop(self.statistics.set(client.statistics()));
    }

    async fn choose(&self, pool: &[Server], info: &ServerInfo) -> Option<ReconnectToServer> {
        let connection = self.statistics.get()?.connects.load(Relaxed);
        let is_first = self.lost.swap(connection, Relaxed) != connection;
        let (own, mut others): (Vec<&Server>, _) = pool
            .iter()
            .partition(|server| server.addr == *self.screen.address());
        others.sort_by_key(|server| (server.failed_attempts, fastrand::u32(..)));
        if is_first {
            self.attempts.store(0, Relaxed);
        }
        while !own.is_empty() && (is_first || self.screen.is_needed()) {
            let attempts = self.attempts.fetch_add(1, Relaxed);
            sleep(reconnect_delay(attempts + 1)).await;
            let is_needed = self.screen.is_needed();
            let servers = others.iter().map(|server| server.addr.clone()).collect();
            let only = (!is_needed).then(|| info.server_id.clone());
            if let Ok(Ok(())) = self.screen.open(Target { servers, only }).await {
                let addr = self.screen.address().clone();
                return Some(ReconnectToServer { addr, delay: Some(Duration::ZERO) });
            }
            if !is_needed || self.events.is(Life::Ended) {
                break;
            }
        }
        let addr = others.first()?.addr.clone();
        Some(ReconnectToServer { addr, delay: None })
    }
}

fn unreachable(options: &Options, reason: String) -> ConnectError {
    ConnectError::Unreachable { url: options.to_string(), reason }
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

/// Waits longer after each attempt, up to 2 s, and never the same for all.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::from_millis(fastrand::u64(0..10));
    }
    backoff(u32::try_from(attempts - 1).unwrap_or(u32::MAX))
}
