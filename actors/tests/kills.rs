//! Many orders, while every process dies in turn, and the server too.

mod audit;
#[path = "../../tests/support/mod.rs"]
mod support;

use audit::{Audit, models::assert_models_are_a_fold};
use callboard::{Bus, Client, bus::Message, error::BoxError};
use std::{
    io::{self, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};
use support::{
    folder::Folder,
    nats::{Server, free_port},
};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep, timeout},
};

/// Which groups are hosted together.
const HOSTS: [&str; 3] = [
    "users,products",
    "orders,notifications",
    "inventory,payments",
];
const DOMAINS: [&str; 6] = [
    "users",
    "products",
    "orders",
    "notifications",
    "inventory",
    "payments",
];
/// How long a beginning, or the end of all that was begun, may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// A process; dropping it kills it.
struct Process(Child);

impl Process {
    /// Ends it as `kill -9` does.
    fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        self.kill().ok();
    }
}

/// The shop in three processes on one or three servers.
struct Shop {
    servers: Vec<Server>,
    folder: Folder,
    hosts: Vec<Process>,
    started: usize,
}

impl Shop {
    fn open(servers: Vec<Server>) -> Result<Self, BoxError> {
        let folder = Folder::fresh();
        let mut shop = Self { servers, folder, hosts: Vec::new(), started: 0 };
        for groups in HOSTS {
            let host = shop.host(groups)?;
            shop.hosts.push(host);
        }
        Ok(shop)
    }

    fn url(&self) -> String {
        let addresses: Vec<_> = self.servers.iter().map(Server::url).collect();
        addresses.join(",")
    }

    fn command(&self) -> Command {
        let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
        shop.args(["--nats", &self.url()])
            .args(["--replicas", &self.servers.len().to_string()])
            .env("RUST_LOG", "error");
        shop
    }

    fn host(&mut self, groups: &str) -> Result<Process, BoxError> {
        self.started += 1;
        let host = self
            .command()
            .args([
                "--node",
                &format!("shop-{}", self.started),
                "--groups",
                groups,
            ])
            .arg("--data")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Process(host))
    }

    fn kill_host(&mut self, at: usize) -> Result<(), BoxError> {
        self.hosts[at].kill()?;
        self.hosts[at] = self.host(HOSTS[at])?;
        Ok(())
    }

    async fn client(&self) -> Result<Client, BoxError> {
        let client = Client::new(Bus::nats(self.url()).await?, "shop".parse()?);
        Ok(client.replicas(self.servers.len()))
    }

    /// Waits until somebody answers for all groups.
    async fn until_ready(&self, client: &Client) -> Result<(), BoxError> {
        let answered = async {
            for domain in DOMAINS {
                let ask = || Message::new(format!("shop.cmd.{domain}.nothing"), "");
                let wait = Duration::from_secs(1);
                while client.bus().request(ask(), wait).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        };
        Ok(timeout(PATIENCE, answered).await?)
    }

    /// Places orders, kills every process and a server meanwhile, and waits
    /// until all have ended.
    fn rush(&mut self, orders: u32) -> Result<String, BoxError> {
        let mut rush = self
            .command()
            .args(["demo", "--remote", "--orders", &orders.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = rush.stdout.take().ok_or("no output")?;
        let mut rush = Process(rush);
        for (host, tenth) in [(2, "10"), (1, "30"), (0, "50")] {
            until_said(&mut out, &format!(" {tenth} %"))?;
            self.kill_host(host)?;
        }
        until_said(&mut out, " 70 %")?;
        self.servers[0].kill();
        self.servers[0].restart();
        let sums = until_said(&mut out, "out of stock")?;
        assert!(rush.0.wait()?.success(), "{sums}");
        let last = sums.lines().last().unwrap_or_default();
        Ok(last.to_owned())
    }
}

/// Reads on until a process has said something.
fn until_said(out: &mut impl Read, word: &str) -> Result<String, BoxError> {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(word.as_bytes()) {
        if out.read(&mut byte)? == 0 {
            let said = String::from_utf8_lossy(&said);
            return Err(format!("it ended before it said `{word}`: {said}").into());
        }
        said.extend(byte);
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Waits until nothing is left to happen.
async fn settled(client: &Client) -> Result<Audit, BoxError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let audit = Audit::of(client).await?;
        match audit.open() {
            None => return Ok(audit),
            Some(open) if Instant::now() >= deadline => return Err(open.into()),
            Some(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn trade(servers: Vec<Server>, orders: u32) -> Result<(), BoxError> {
    let mut shop = Shop::open(servers)?;
    let client = shop.client().await?;
    shop.until_ready(&client).await?;
    let sums = block_in_place(|| shop.rush(orders))?;
    let audit = settled(&client).await?;
    audit.assert_sound();
    assert_eq!(audit.placed.len(), orders as usize);
    assert_models_are_a_fold(&client, &audit).await?;
    eprintln!("copies: {}, {sums}; {}", shop.servers.len(), audit.told());
    Ok(())
}

/// Starts three servers that keep copies for each other.
fn three() -> Vec<Server> {
    let ports = [free_port(), free_port(), free_port()];
    let routes = ports
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .join(", ");
    let start = |port| {
        let cluster = format!(r#"name: c, listen: "127.0.0.1:{port}", routes: [{routes}]"#);
        Server::with(&format!("server_name: n{port}\ncluster {{ {cluster} }}"))
    };
    ports.into_iter().map(start).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_end_well_though_all_processes_die() -> Result<(), BoxError> {
    trade(vec![Server::start()], 200).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_end_well_though_all_processes_die_on_three_servers()
-> Result<(), BoxError> {
    trade(three(), 200).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "5,000 orders take minutes"]
async fn five_thousand_orders_end_well_though_all_processes_die() -> Result<(), BoxError> {
    trade(vec![Server::start()], 5_000).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "5,000 orders in three copies take minutes"]
async fn five_thousand_orders_end_well_though_all_processes_die_on_three_servers()
-> Result<(), BoxError> {
    trade(three(), 5_000).await
}
