//! The ways a message can go: over which bus, and past it or not.

use super::nats::Server;
use callboard::{
    Bus, Client, Node,
    bus::{Message, Stored, StreamConfig},
    message::Namespace,
};
use std::{
    error::Error,
    fmt, process,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// How a case ends.
pub(crate) type Verdict = Result<(), Box<dyn Error>>;

/// How long something that must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How long a whole case may take.
const WHOLE: Duration = Duration::from_secs(90);

/// The server that tests which run at the same time share.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

static WAYS: AtomicU32 = AtomicU32::new(0);

/// One bus in one namespace that no other case uses.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) bus: Bus,
    pub(crate) namespace: String,
    pub(crate) prefer_local: bool,
    server: Option<Arc<Server>>,
}

impl Way {
    pub(crate) fn embedded(prefer_local: bool) -> Self {
        Self {
            bus: Bus::embedded(),
            namespace: own_namespace(),
            prefer_local,
            server: None,
        }
    }

    pub(crate) async fn nats(prefer_local: bool) -> Result<Self, Box<dyn Error>> {
        let server = shared_server();
        let bus = Bus::nats(server.url()).await?;
        Ok(Self { bus, namespace: own_namespace(), prefer_local, server: Some(server) })
    }

    /// Returns the server's address, if there is one.
    pub(crate) fn url(&self) -> Option<String> {
        self.server.as_ref().map(|server| server.url())
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.server.is_none()
    }

    /// Describes a node of this way.
    pub(crate) fn node(&self, name: &str) -> Node {
        Node::new(name, self.bus.clone())
            .namespace(&self.namespace)
            .prefer_local(self.prefer_local)
    }

    /// Returns a client that has no node: all it sends goes over the bus.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.bus.clone(), self.names())
    }

    pub(crate) fn names(&self) -> Namespace {
        Namespace::new(&self.namespace).expect("a test's namespace is sound")
    }

    /// Asks on a subject of the namespace, as a plain client would.
    pub(crate) async fn ask(&self, rest: &str, message: Message) -> Result<Message, String> {
        let mut message = message;
        message.subject = format!("{}.{rest}", self.namespace);
        self.bus
            .request(message, Duration::from_secs(5))
            .await
            .map_err(|error| error.to_string())
    }

    /// Returns all dead letters of the namespace.
    pub(crate) async fn dead_letters(&self) -> Result<Vec<Stored>, Box<dyn Error>> {
        let letters = self.bus.stream(&StreamConfig::dead(&self.names())).await?;
        Ok(letters.read(">", 1).await?.all().await?)
    }

    /// Waits for this many dead letters, and returns their headers of a name.
    pub(crate) async fn dead(&self, count: usize, header: &str) -> Vec<String> {
        let letters = async || self.dead_letters().await.unwrap_or_default();
        until(&format!("{count} dead letters"), async || {
            letters().await.len() >= count
        })
        .await;
        letters()
            .await
            .iter()
            .map(|letter| letter.headers.get(header).unwrap_or_default().to_owned())
            .collect()
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bus = if self.is_embedded() {
            "embedded"
        } else {
            "NATS"
        };
        write!(f, "{bus}, prefer_local {}", self.prefer_local)
    }
}

/// Runs a case on both buses, with and without the short cut past them.
pub(crate) async fn every_way(case: impl AsyncFn(&Way) -> Verdict) -> Verdict {
    for prefer_local in [true, false] {
        run(&Way::embedded(prefer_local), &case).await?;
        run(&Way::nats(prefer_local).await?, &case).await?;
    }
    Ok(())
}

/// Runs a case on both buses.
pub(crate) async fn both_buses(case: impl AsyncFn(&Way) -> Verdict) -> Verdict {
    run(&Way::embedded(true), &case).await?;
    run(&Way::nats(true).await?, &case).await
}

/// Runs a case on the embedded bus, with and without the short cut past it.
pub(crate) async fn past_and_over(case: impl AsyncFn(&Way) -> Verdict) -> Verdict {
    run(&Way::embedded(true), &case).await?;
    run(&Way::embedded(false), &case).await
}

async fn run(way: &Way, case: &impl AsyncFn(&Way) -> Verdict) -> Verdict {
    eprintln!("on {way}");
    match timeout(WHOLE, case(way)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("on {way}: {error}").into()),
        Err(_) => Err(format!("on {way}: not done within {WHOLE:?}").into()),
    }
}

/// Looks again and again until something is so.
///
/// # Panics
///
/// Panics if it does not become so soon.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let look = async || is_so().await.then_some(()).ok_or_else(String::new);
    until_within(SOON, what, look).await;
}

/// Waits until a look finds nothing amiss.
///
/// # Panics
///
/// Panics with what was amiss at last if it does not become so within the limit.
pub(crate) async fn until_within(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<(), String>,
) {
    let deadline = Instant::now() + limit;
    while let Err(amiss) = look().await {
        assert!(
            Instant::now() < deadline,
            "no {what} within {limit:?}: {amiss}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

fn shared_server() -> Arc<Server> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start());
    *shared = Arc::downgrade(&server);
    server
}

fn own_namespace() -> String {
    let number = WAYS.fetch_add(1, Ordering::Relaxed);
    format!("t{}-{number}", process::id())
}
