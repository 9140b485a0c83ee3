//! Nodes that are cut off are gone, and are there again soon after.

use crate::{
    support::way::{Verdict, Way, until},
    yard::{HEARTBEAT, TTL, nodes, yard},
};
use callboard::{Bus, Node, Running};
use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
    time::Instant,
};

/// How long after healing all must know one another again.
const CONVERGED: Duration = Duration::from_secs(1 + 2);

/// Passes on what goes to and fro, and holds it while it is cut.
struct Cable {
    port: u16,
    cut: Arc<watch::Sender<bool>>,
    _serving: JoinSet<()>,
}

impl Cable {
    async fn before(server: u16) -> io::Result<Self> {
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
}

async fn join(client: TcpStream, server: u16, is_cut: watch::Receiver<bool>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
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

async fn start(way: &Way, name: &str, bus: Bus) -> Result<Running, callboard::NodeError> {
    let node = Node::new(name, bus)
        .namespace(&way.namespace)
        .heartbeat(HEARTBEAT, TTL);
    node.group(yard()).start().await
}

#[tokio::test]
async fn a_node_that_was_cut_off_is_known_again_soon_after_it_is_back() -> Verdict {
    let way = Way::nats(true).await?;
    let url = way.url().ok_or("a server")?;
    let server = url.rsplit(':').next().ok_or("a port")?.parse()?;
    let cable = Cable::before(server).await?;
    let far = Bus::nats(format!("nats://127.0.0.1:{}", cable.port).as_str()).await?;
    let one = start(&way, "one", way.bus.clone()).await?;
    let two = start(&way, "two", way.bus.clone()).await?;
    let far = start(&way, "far", far).await?;
    let all = ["far", "one", "two"];
    let know = |wanted: &[&str], of: &[&Running]| {
        of.iter()
            .all(|node| nodes(&node.roster(), "yard") == wanted)
    };
    until("all", async || know(&all, &[&one, &two, &far])).await;
    for _ in 0..3 {
        cable.cut.send_replace(true);
        until("the cut", async || {
            know(&["one", "two"], &[&one, &two]) && know(&["far"], &[&far])
        })
        .await;
        cable.cut.send_replace(false);
        let healed = Instant::now();
        until("all again", async || know(&all, &[&one, &two, &far])).await;
        let took = healed.elapsed();
        assert!(took < CONVERGED, "{took:?}");
    }
    for node in [far, two, one] {
        node.stop().await?;
    }
    Ok(())
}
