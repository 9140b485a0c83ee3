//! A loopback proxy before a NATS server that loses acknowledgements.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// Passes on what goes to and fro, but for a part of the stream's confirmations.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    lost: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Starts before the server on a port; `lose` is in `0.0..1.0`.
    pub(crate) async fn before(server: u16, lose: f64, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let count = Arc::new(AtomicU64::new(0));
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&count);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            let mut random = fastrand::Rng::with_seed(seed);
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let loser = Loser { random: random.fork(), lose, lost: Arc::clone(&shared) };
                connections.spawn(async move {
                    // A connection that breaks is the client's to open again.
                    serve(client, server, loser).await.ok();
                });
            }
        });
        Ok(Self { port, lost: count, _serving: serving })
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns how many confirmations were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

struct Loser {
    random: fastrand::Rng,
    lose: f64,
    lost: Arc<AtomicU64>,
}

async fn serve(client: TcpStream, server: u16, loser: Loser) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    let (mut asked, answers) = client.into_split();
    let (told, mut questions) = server.into_split();
    tokio::select! {
        ended = copy(&mut asked, &mut questions) => ended.map(drop),
        ended = pass_on(told, answers, loser) => ended,
    }
}

/// Passes on what the server says, message by message.
async fn pass_on(
    server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut loser: Loser,
) -> io::Result<()> {
    let mut server = BufReader::new(server);
    loop {
        let mut said = Vec::new();
        if server.read_until(b'\n', &mut said).await? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&said).into_owned();
        if line.starts_with("MSG ") || line.starts_with("HMSG ") {
            let size = line.split_whitespace().next_back();
            let size = size
                .and_then(|size| size.parse::<usize>().ok())
                .unwrap_or(0);
            let start = said.len();
            said.resize(start + size + 2, 0);
            server.read_exact(&mut said[start..]).await?;
            if loser.loses(&said[start..]) {
                continue;
            }
        }
        client.write_all(&said).await?;
    }
}

impl Loser {
    fn loses(&mut self, payload: &[u8]) -> bool {
        let confirms = payload.starts_with(b"{\"stream\":") && contains(payload, b"\"seq\":");
        let lost = confirms && self.random.f64() < self.lose;
        if lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        lost
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
