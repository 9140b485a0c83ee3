//! A way to the server on which nothing comes that breaks the client.
//!
//! The client ends a connection over a header that is not text, and its task dies over a bare
//! carriage return. Behind a screen it meets neither: the screen listens on the loopback
//! address for this one client, speaks with the server, and replaces what cannot be read. That
//! costs a hop, so a connection goes without until it breaks.

use super::{
    events::Events,
    frames::{odd, pass, without_tls},
};
use async_nats::ServerAddr;
use bytes::BytesMut;
use std::{
    io,
    net::{Ipv4Addr, TcpListener as Listener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, copy, split},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::oneshot,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

/// How long the client may take to come, and a server to greet.
const COME_WITHIN: Duration = Duration::from_secs(5);
/// How long one server may take to greet; the client waits 2 s for all of them.
const GREET_WITHIN: Duration = Duration::from_secs(1);
/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// How long the server's greeting may be.
const LONGEST_GREETING: usize = 1024 * 1024;

/// The place where the client of one link can come.
#[derive(Debug)]
pub(super) struct Screen {
    listener: Listener,
    address: ServerAddr,
    awaiting: Mutex<Option<AbortHandle>>,
    events: Arc<Events>,
    /// Whether something came over these options' connections that cannot be read.
    needed: Arc<AtomicBool>,
}

/// Where a screen connects to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) servers: Vec<ServerAddr>,
    /// The server's id, where no other will do.
    pub(super) only: Option<String>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Screen {
    pub(super) fn new(events: &Arc<Events>, needed: &Arc<AtomicBool>) -> io::Result<Self> {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = format!("nats://{}", listener.local_addr()?).parse()?;
        Ok(Self {
            listener,
            address,
            awaiting: Mutex::new(None),
            events: Arc::clone(events),
            needed: Arc::clone(needed),
        })
    }

    pub(super) const fn address(&self) -> &ServerAddr {
        &self.address
    }

    /// Whether the next connection has to come this way.
    pub(super) fn is_needed(&self) -> bool {
        self.needed.load(Ordering::Relaxed)
    }

    /// Makes all further connections come this way.
    pub(super) fn need(&self) {
        self.needed.store(true, Ordering::Relaxed);
    }

    /// Connects to a server, and lets the next that comes within 5 s through to it. Nobody else
    /// is served.
    pub(super) fn open(&self, target: Target) -> oneshot::Receiver<io::Result<()>> {
        let (opened, opening) = oneshot::channel();
        let listener = self.listener.try_clone().and_then(TcpListener::from_std);
        let relay = Relay { events: Arc::clone(&self.events), needed: Arc::clone(&self.needed) };
        let runtime = Handle::current();
        let awaiting = runtime.clone().spawn(async move {
            let reached = async { Ok((listener?, connect(target).await?)) };
            let (listener, server) = match reached.await {
                Ok(reached) => reached,
                Err(error) => return drop(opened.send(Err(error))),
            };
            drop(opened.send(Ok(())));
            if let Ok(Ok((client, _))) = timeout(COME_WITHIN, listener.accept()).await {
                // On its own, so that who waits next does not end it.
                drop(runtime.spawn(async move { relay.relay(client, server).await }));
            }
        });
        let last = self
            .awaiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(awaiting.abort_handle());
        if let Some(last) = last {
            last.abort();
        }
        opening
    }
}

/// One connection through a screen.
struct Relay {
    events: Arc<Events>,
    needed: Arc<AtomicBool>,
}

impl Relay {
    /// Passes bytes on in both directions until one side ends.
    async fn relay(
        &self,
        mut client: TcpStream,
        (server, greeting): (Box<dyn Stream>, BytesMut),
    ) -> io::Result<()> {
        client.set_nodelay(true)?;
        let (from_server, mut to_server) = split(server);
        let (mut from_client, to_client) = client.split();
        tokio::select! {
            ended = self.screen(from_server, to_client, greeting) => ended,
            ended = outward(&mut from_client, &mut to_server) => ended,
        }
    }

    async fn screen(
        &self,
        mut server: ReadHalf<Box<dyn Stream>>,
        mut client: impl AsyncWrite + Unpin,
        mut incoming: BytesMut,
    ) -> io::Result<()> {
        let mut outgoing = BytesMut::with_capacity(CHUNK);
        loop {
            pass(&mut incoming, &mut outgoing, &mut |found| {
                self.needed.store(true, Ordering::Relaxed);
                self.events.unreadable(&found.subject, found.fault);
            })?;
            client.write_all(&outgoing).await?;
            outgoing.clear();
            incoming.reserve(CHUNK);
            if server.read_buf(&mut incoming).await? == 0 {
                return client.shutdown().await;
            }
        }
    }
}

async fn outward(
    client: &mut (impl AsyncRead + Unpin),
    server: &mut WriteHalf<Box<dyn Stream>>,
) -> io::Result<()> {
    copy(client, server).await?;
    server.shutdown().await
}

/// Connects to the first server that will do, and returns its greeting.
async fn connect(target: Target) -> io::Result<(Box<dyn Stream>, BytesMut)> {
    let mut last = odd("there is no server to connect to");
    for server in &target.servers {
        match timeout(GREET_WITHIN, greet(server, target.only.as_deref())).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn greet(server: &ServerAddr, only: Option<&str>) -> io::Result<(Box<dyn Stream>, BytesMut)> {
    let mut stream =
        TcpStream::connect((server.host().trim_matches(['[', ']']), server.port())).await?;
    stream.set_nodelay(true)?;
    let mut read = BytesMut::with_capacity(CHUNK);
    let end = loop {
        if let Some(end) = read.windows(2).position(|pair| pair == b"\r\n") {
            break end;
        }
        if read.len() > LONGEST_GREETING || stream.read_buf(&mut read).await? == 0 {
            return Err(odd("the server does not greet"));
        }
    };
    let line = read.split_to(end + 2);
    let info = line
        .strip_prefix(b"INFO ")
        .ok_or_else(|| odd("the server does not greet with INFO"))?;
    let greeting: Greeting = serde_json::from_slice(info)?;
    if only.is_some_and(|only| greeting.server_id != only) {
        return Err(odd("it is another server"));
    }
    let mut incoming = BytesMut::from(&without_tls(info)?[..]);
    if !greeting.tls_required && !server.tls_required() {
        incoming.unsplit(read);
        return Ok((Box::new(stream), incoming));
    }
    let name = ServerName::try_from(server.host().to_owned()).map_err(io::Error::other)?;
    let secured = TlsConnector::from(trust().await?)
        .connect(name, stream)
        .await?;
    Ok((Box::new(secured), incoming))
}

#[derive(serde::Deserialize)]
struct Greeting {
    #[serde(default)]
    server_id: String,
    #[serde(default)]
    tls_required: bool,
}

/// Trusts whom the system trusts, as the client does.
async fn trust() -> io::Result<Arc<ClientConfig>> {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
