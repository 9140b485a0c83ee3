//! A cable on loopback that can be cut: what it carries is held, and nobody is told.

use std::{io, net::Ipv4Addr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

/// Passes on what goes to and fro, and holds it while it is cut.
#[derive(Debug)]
pub(crate) struct Cable {
    port: u16,
    state: Arc<watch::Sender<State>>,
    _serving: JoinSet<()>,
}

/// How a cable is.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_cut: bool,
    /// Grows when all connections there are end, with what is held in them.
    torn: u32,
}

impl Cable {
    /// Lays one to a port on which somebody listens, perhaps later.
    pub(crate) async fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(watch::Sender::new(State::default()));
        let mut serving = JoinSet::new();
        let seen = state.subscribe();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let seen = seen.clone();
                connections.spawn(async move {
                    // A connection that breaks is its owner's to open again.
                    join(client, server, seen).await.ok();
                });
            }
        });
        Ok(Self { port, state, _serving: serving })
    }

    /// Lays one to a server, such as `nats://127.0.0.1:4222`.
    pub(crate) async fn before(url: &str) -> io::Result<Self> {
        let server = url.rsplit(':').next().and_then(|port| port.parse().ok());
        Self::to(server.ok_or(io::ErrorKind::InvalidInput)?).await
    }

    /// Returns the address of this end, as that of a server.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns the port to connect to.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Cuts it: neither end hears anything, not even of an end.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.is_cut = true);
    }

    /// Mends it: all that was held is passed on.
    pub(crate) fn mend(&self) {
        self.state.send_modify(|state| state.is_cut = false);
    }

    /// Mends it for new connections: those that there are end, and what was held is lost.
    pub(crate) fn renew(&self) {
        self.state.send_modify(|state| {
            *state = State { is_cut: false, torn: state.torn + 1 };
        });
    }
}

async fn join(client: TcpStream, server: u16, mut state: watch::Receiver<State>) -> io::Result<()> {
    let since = state.borrow_and_update().torn;
    if !passes(&mut state, since).await {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    // It is there to be held, not to make anything slower.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (asked, answers) = client.into_split();
    let (told, questions) = server.into_split();
    let ended = state.clone();
    tokio::select! {
        ended = pass(asked, questions, (state.clone(), since)) => ended,
        ended = pass(told, answers, (state, since)) => ended,
        () = torn(ended, since) => Ok(()),
    }
}

async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    (mut state, since): (watch::Receiver<State>, u32),
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if !passes(&mut state, since).await || count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}

/// Waits while it is cut; returns whether what is held may be passed on then.
async fn passes(state: &mut watch::Receiver<State>, since: u32) -> bool {
    let open = state.wait_for(|state| !state.is_cut || state.torn > since);
    open.await.is_ok_and(|state| state.torn == since)
}

async fn torn(mut state: watch::Receiver<State>, since: u32) {
    // It is torn with whoever laid it.
    state.wait_for(|state| state.torn > since).await.ok();
}
