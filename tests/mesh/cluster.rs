//! Three servers, one of which can be cut off from the others.

use crate::support::{
    cable::Cable,
    nats::{Server, free_port},
    way::{Verdict, until_within},
};
use callboard::bus::{Bus, Message, Subscription};
use futures_util::FutureExt;
use std::{collections::BTreeSet, error::Error, io, net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
    time::Instant,
};

/// The place of the server that is cut off.
pub(crate) const FAR: usize = 2;

const LIMIT: Duration = Duration::from_secs(30);

/// The servers, and a bus at each.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) buses: Vec<Bus>,
    /// To each server: all that others say to the far one, or it to them, goes here.
    cables: Vec<Cable>,
    monitors: Vec<u16>,
    /// What tells whether the servers hear one another.
    heard: Mutex<Vec<Subscription>>,
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts the servers; those of the near side are joined without a cable.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let ports = [free_port(), free_port(), free_port()];
        let mut cluster = Self::default();
        for port in ports {
            cluster.cables.push(Cable::to(port).await?);
        }
        let [to_one, to_two] = [0, 1].map(|place| cluster.cables[place].port());
        let routes = [vec![ports[1]], vec![ports[0]], vec![to_one, to_two]];
        for (port, routes) in ports.into_iter().zip(routes) {
            cluster.add(port, &routes).await?;
            // One after the other: none is told of one that it would call past a cable.
            cluster.routed().await;
        }
        // A node that starts looks at the streams, so a leader of theirs must be there.
        until_within(LIMIT, "leader", async || {
            let [one, ..] = &cluster.buses[..] else {
                return Ok(());
            };
            let asked = Message::new("$JS.API.STREAM.NAMES", "");
            let told = one.request(asked, Duration::from_secs(1)).await;
            told.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Ok(cluster)
    }

    async fn add(&mut self, port: u16, routes: &[u16]) -> Verdict {
        let routes: Vec<_> = routes
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let (monitor, told) = (free_port(), self.cables[self.servers.len()].port());
        let cluster = format!(
            "name: c, no_advertise: true, listen: \"127.0.0.1:{port}\", \
             advertise: \"127.0.0.1:{told}\", routes: [{}], ping_interval: \"500ms\", ping_max: 2",
            routes.join(", ")
        );
        let server = Server::with(&format!(
            "server_name: n{}\nhttp: \"127.0.0.1:{monitor}\"\ncluster {{ {cluster} }}",
            self.servers.len()
        ));
        let bus = Bus::nats(server.url()).await?;
        let heard = bus.subscribe("probe.*", None).await?;
        self.heard.get_mut().push(heard);
        self.servers.push(server);
        self.buses.push(bus);
        self.monitors.push(monitor);
        Ok(())
    }

    /// Cuts the far server off.
    pub(crate) fn cut(&self) {
        self.cables.iter().for_each(Cable::cut);
    }

    /// Passes on what was held, and all that follows.
    pub(crate) fn mend(&self) {
        self.cables.iter().for_each(Cable::mend);
    }

    /// Passes on what comes over new connections.
    pub(crate) fn renew(&self) {
        self.cables.iter().for_each(Cable::renew);
    }

    /// Waits until each server hears of each, and returns when that was.
    pub(crate) async fn routed(&self) -> Instant {
        let token = fastrand::u64(..).to_string();
        let mut heard = self.heard.lock().await;
        let places = 0..heard.len();
        let mut missing: BTreeSet<_> = places
            .clone()
            .flat_map(|to| {
                places
                    .clone()
                    .map(move |from| (to, format!("probe.{from}")))
            })
            .collect();
        until_within(LIMIT, "routes", async || {
            for (from, bus) in self.buses.iter().enumerate() {
                let probe = Message::new(format!("probe.{from}"), token.clone());
                bus.send(probe).await.map_err(|error| error.to_string())?;
            }
            for (to, heard) in heard.iter_mut().enumerate() {
                while let Some(Some(probe)) = heard.next().now_or_never() {
                    if *probe.payload == *token.as_bytes() {
                        missing.remove(&(to, probe.subject));
                    }
                }
            }
            let missing = (!missing.is_empty()).then(|| format!("{missing:?}"));
            missing.map_or(Ok(()), Err)
        })
        .await;
        drop(heard);
        Instant::now()
    }

    /// Says whether a server still believes in a route that is cut.
    pub(crate) async fn are_parted(&self) -> Result<(), String> {
        for (place, monitor) in self.monitors.iter().enumerate() {
            let told = routes(*monitor).await.map_err(|error| error.to_string())?;
            let others = ["n0", "n1", "n2"].into_iter().enumerate();
            let mut cut = others.filter(|(other, _)| (place == FAR) != (*other == FAR));
            if let Some((_, name)) = cut.find(|(_, name)| told.contains(&format!("\"{name}\""))) {
                return Err(format!("server {place} has a route to {name}"));
            }
        }
        Ok(())
    }
}

/// Returns what a server tells of its routes.
async fn routes(monitor: u16) -> io::Result<String> {
    let mut asked = TcpStream::connect((Ipv4Addr::LOCALHOST, monitor)).await?;
    asked.write_all(b"GET /routez HTTP/1.0\r\n\r\n").await?;
    let mut told = String::new();
    asked.read_to_string(&mut told).await?;
    let routes = told
        .split_once("\"routes\"")
        .map_or("", |(_, routes)| routes);
    Ok(routes.to_owned())
}
