//! Many orders, while every process dies in turn, and the server too.

mod audit;
mod process;
#[path = "../../tests/support/mod.rs"]
mod support;

use audit::{Audit, models::assert_models_are_a_fold};
use callboard::{
    Bus, Client,
    bus::Message,
    error::BoxError,
    saga::{SagaFilter, Sagas},
};
use process::{Process, until_said};
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use support::{folder::Folder, nats::Server};
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
/// How long a beginning may take.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long after the last fault all that was begun may take to end.
const END_WITHIN: Duration = Duration::from_mins(1);
/// Every so many payments are answered after the checkout stopped waiting.
const SLOW: &str = "50";

/// What dies, and is started again.
#[derive(Clone, Copy)]
enum Fault {
    /// The process that hosts this pair of groups.
    Host(usize),
    Server,
}

/// Each process and the server, once.
const ONCE: [(u32, Fault); 4] = [
    (1, Fault::Host(2)),
    (3, Fault::Host(1)),
    (5, Fault::Host(0)),
    (7, Fault::Server),
];

/// Each process and the server, in turn, all the time.
const ALWAYS: [(u32, Fault); 9] = [
    (1, Fault::Host(2)),
    (2, Fault::Host(1)),
    (3, Fault::Host(0)),
    (4, Fault::Server),
    (5, Fault::Host(2)),
    (6, Fault::Host(1)),
    (7, Fault::Host(0)),
    (8, Fault::Server),
    (9, Fault::Host(2)),
];

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
            .args(["--slow-payments", SLOW, "--data"])
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

    /// Places orders, lets faults happen meanwhile, one with every so many tenths
    /// of them ended, and waits until all have ended; returns the sums, and when
    /// the last fault was over.
    fn rush(
        &mut self,
        orders: u32,
        faults: &[(u32, Fault)],
    ) -> Result<(String, Instant), BoxError> {
        let mut rush = self
            .command()
            .args(["demo", "--remote", "--orders", &orders.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = rush.stdout.take().ok_or("no output")?;
        let mut rush = Process(rush);
        for (tenths, fault) in faults {
            until_said(&mut out, &format!(" {tenths}0 %"))?;
            self.suffer(*fault)?;
        }
        let whole = Instant::now();
        let sums = until_said(&mut out, "out of stock")?;
        assert!(rush.0.wait()?.success(), "{sums}");
        let last = sums.lines().last().unwrap_or_default();
        Ok((last.to_owned(), whole))
    }

    fn suffer(&mut self, fault: Fault) -> Result<(), BoxError> {
        match fault {
            Fault::Host(at) => self.kill_host(at),
            Fault::Server => {
                self.servers[0].kill();
                self.servers[0].restart();
                Ok(())
            }
        }
    }
}

/// Waits until nothing is left to happen.
async fn settled(client: &Client, deadline: Instant) -> Result<Audit, BoxError> {
    loop {
        let audit = Audit::of(client).await?;
        let open = audit.open();
        let open = match open {
            None => unended(client).await?,
            open => open,
        };
        match open {
            None => return Ok(audit),
            Some(open) if Instant::now() >= deadline => return Err(open.into()),
            Some(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Says which checkouts go on, or wait for a person.
async fn unended(client: &Client) -> Result<Option<String>, BoxError> {
    let checkouts = Sagas::open(client, "checkout").await?;
    let open = checkouts.list(&SagaFilter::live().limit(1)).await?.sagas;
    Ok(open
        .first()
        .map(|saga| format!("checkout of {}: {}", saga.id, saga.why())))
}

/// Returns how many checkouts asked more than once for their money.
async fn asked_again(client: &Client) -> Result<usize, BoxError> {
    let checkouts = Sagas::open(client, "checkout").await?;
    let all = checkouts.list(&SagaFilter::all().limit(usize::MAX)).await?;
    let sagas = all.sagas;
    let steps = sagas.iter().flat_map(|saga| &saga.steps);
    let charges = steps.filter(|step| step.name == "payments.charge");
    Ok(charges.filter(|charge| charge.attempts > 1).count())
}

async fn trade(servers: Vec<Server>, orders: u32, faults: &[(u32, Fault)]) -> Result<(), BoxError> {
    let mut shop = Shop::open(servers)?;
    let client = shop.client().await?;
    shop.until_ready(&client).await?;
    let (sums, whole) = block_in_place(|| shop.rush(orders, faults))?;
    let audit = settled(&client, whole + END_WITHIN).await?;
    let took = whole.elapsed();
    assert!(took < END_WITHIN, "all ended {took:?} after the last fault");
    audit.assert_sound();
    assert_eq!(audit.placed.len(), orders as usize);
    let mix = format!(
        "{} confirmed, {} declined, {} out of stock",
        orders / 20 * 17,
        orders / 10,
        orders / 20
    );
    assert!(sums.ends_with(&mix), "{sums}");
    assert_models_are_a_fold(&client, &audit).await?;
    let again = asked_again(&client).await?;
    assert!(again > 0, "some payments are answered late");
    eprintln!(
        "copies: {}, {} faults, {sums}; {}; {again} charged again under the same id; all over {:.1} s \
         after the last fault",
        shop.servers.len(),
        faults.len(),
        audit.told(),
        took.as_secs_f64()
    );
    Ok(())
}

/// Starts three servers that keep copies for each other.
fn three() -> Vec<Server> {
    Server::three("")
        .into_iter()
        .map(|(_, server)| server)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_end_well_though_all_processes_die() -> Result<(), BoxError> {
    trade(vec![Server::start()], 200, &ONCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_end_well_though_all_processes_die_on_three_servers()
-> Result<(), BoxError> {
    trade(three(), 200, &ONCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "5,000 orders take minutes"]
async fn five_thousand_orders_end_well_though_all_processes_die() -> Result<(), BoxError> {
    trade(vec![Server::start()], 5_000, &ALWAYS).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "5,000 orders in three copies take minutes"]
async fn five_thousand_orders_end_well_though_all_processes_die_on_three_servers()
-> Result<(), BoxError> {
    trade(three(), 5_000, &ALWAYS).await
}
