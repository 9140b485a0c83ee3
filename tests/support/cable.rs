//! A cable to a server that can be held.

use std::{io, net::Ipv4Addr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

/// Passes on what goes to and fro, and holds it while it is cut.
pub(crate) struct Cable {
    port: u16,
    cut: Arc<watch::Sender<bool>>,
    _serving: JoinSet<()>,
}

impl Cable {
    /// Lays one to a server, such as `nats://127.0.0.1:4222`.
    pub(crate) async fn before(url: &str) -> io::Result<Self> {
        let server = url.rsplit(':').next().and_then(|port| port.parse().ok());
        let server = server.ok_or(io::ErrorKind::InvalidInput)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let cut = Arc::new(watch::Sender::new(false));
        let mut serving = JoinSet::new();
        let is_cut = cut.subscribe();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let is_cut = is_cut.clone();
                connections.spawn(async move {
                    // A connection that breaks is the client's to open again.
                    join(client, server, is_cut).await.ok();
                });
            }
        });
        Ok(Self { port, cut, _serving: serving })
    }

    /// Returns the address of this end.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Lets nothing through, and keeps it.
    pub(crate) fn hold(&self) {
        self.cut.send_replace(true);
    }

    /// Lets all through that it kept, and what comes.
    pub(crate) fn release(&self) {
        self.cut.send_replace(false);
    }
}

async fn join(client: TcpStream, server: u16, is_cut: watch::Receiver<bool>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    // It is there to be held, not to make anything slower.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (asked, answers) = client.into_split();
    let (told, questions) = server.into_split();
    tokio::select! {
        ended = pass(asked, questions, is_cut.clone()) => ended,
        ended = pass(told, answers, is_cut) => ended,
    }
}

async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut is_cut: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 || is_cut.wait_for(|cut| !cut).await.is_err() {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}
