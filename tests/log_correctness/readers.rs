//! Readers in processes of their own: one dies, one is paused for a while, one
//! until the others have done its work.

use crate::{
    Verdict,
    cluster::{opened, three},
    support::nats::Server,
    walks::{Counts, check, node, stored, walk},
};
use callboard::{
    Bus, Client, Node,
    bus::{StreamConfig, partition},
    call::Operator,
    message::Namespace,
};
use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// What a process that is to be a reader finds in its environment: the servers'
/// addresses, its node's name and how many copies are kept.
const MARK: &str = "CALLBOARD_TEST_READER";
/// How many partitions an event stream has.
pub(crate) const PARTITIONS: u32 = 8;
const READY: &str = "a reader is ready";

/// How long nothing may happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn namespace() -> Namespace {
    Namespace::new("t").expect("it is one letter")
}

/// A reader in a process of its own; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    process: Child,
}

impl Reader {
    pub(crate) fn start(
        name: &'static str,
        url: &str,
        replicas: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(env::current_exe()?)
            .args(["--exact", "readers::reads_for_the_test_that_started_it"])
            .args(["--ignored", "--nocapture"])
            .env(MARK, format!("{name} {replicas} {url}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().ok_or("no output")?;
        let reader = Self { name, process };
        let mut lines = BufReader::new(out).lines();
        for line in lines.by_ref() {
            if line?.contains(READY) {
                // Whoever writes must not wait for somebody who reads.
                thread::spawn(move || lines.count());
                return Ok(reader);
            }
        }
        Err(format!("{name} did not start").into())
    }

    /// Sends it a signal, by its own id.
    pub(crate) fn signal(&self, signal: &str) -> Verdict {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status()?;
        assert!(sent.success(), "{signal} to {}", self.name);
        Ok(())
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Lets it stop in peace.
    pub(crate) fn stop(mut self) -> Verdict {
        drop(self.process.stdin.take());
        let ended = self.process.wait()?;
        assert!(ended.success(), "{} ended with {ended}", self.name);
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may be gone already.
        self.kill().ok();
    }
}

#[expect(clippy::print_stdout, reason = "whoever started it reads it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of the other tests, which start it in other processes"]
async fn reads_for_the_test_that_started_it() -> Verdict {
    let Ok(told) = env::var(MARK) else {
        return Ok(());
    };
    let mut told = told.splitn(3, ' ');
    let (Some(name), Some(replicas), Some(url)) = (told.next(), told.next(), told.next()) else {
        return Err("a name, copies and an address are needed".into());
    };
    let counts = Counts::default();
    let node = Node::new(name, Bus::nats(url).await?)
        .namespace("t")
        .replicas(replicas.parse()?)
        .group(counts.group())
        .start()
        .await?;
    println!("{READY}");
    // Its end is that of its parent, or what its parent says.
    let read = || io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(read).await??;
    eprintln!("{name}: {}", counts.told());
    Ok(node.stop().await?)
}

/// Who published the last effect of every partition.
#[derive(Default)]
pub(crate) struct Readers {
    pub(crate) seen: u64,
    pub(crate) by: BTreeMap<u32, String>,
}

impl Readers {
    pub(crate) async fn look(
        &mut self,
        client: &Client,
    ) -> Result<&BTreeMap<u32, String>, Box<dyn Error>> {
        for print in stored(client, "prints", self.seen + 1).await? {
            let key = print.subject.rsplit('.').next().unwrap_or_default();
            let reader = node(&print).to_owned();
            self.by.insert(partition(key, PARTITIONS), reader);
            self.seen = print.sequence;
        }
        Ok(&self.by)
    }

    /// Takes out the reader of most partitions.
    pub(crate) fn busiest(&self, readers: &mut Vec<Reader>) -> Result<Reader, Box<dyn Error>> {
        let reads = |reader: &Reader| {
            self.by
                .values()
                .filter(|name| **name == reader.name)
                .count()
        };
        let busiest = (0..readers.len()).max_by_key(|&at| reads(&readers[at]));
        Ok(readers.swap_remove(busiest.ok_or("no reader is left")?))
    }
}

/// The readers at work, and who looks at what they do.
pub(crate) struct Trial {
    pub(crate) client: Client,
    pub(crate) walks: u32,
}

impl Trial {
    async fn effects(&self) -> Result<u64, Box<dyn Error>> {
        let info = self.client.events("prints").await?.info().await?;
        Ok(info.last_sequence)
    }

    /// Waits until so many effects are there.
    pub(crate) async fn until(&self, count: u64) -> Verdict {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let now = self.effects().await?;
            if now >= count {
                return Ok(());
            }
            if now > last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                let parked = Operator::new(self.client.bus().clone(), namespace());
                let parked = parked.parked().await?.len();
                return Err(format!("{now} effects of {count}, {parked} keys are parked").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets the walks go on, and waits until others read what a reader read.
    async fn taken_over(&self, from: &Reader, steps: std::ops::Range<u32>) -> Verdict {
        let start = Instant::now();
        let taken_over = async {
            let mut readers = Readers::default();
            loop {
                let readers = readers.look(&self.client).await?;
                if readers.values().all(|reader| reader != from.name) {
                    return Ok(start.elapsed());
                }
                if start.elapsed() > PATIENCE {
                    let name = from.name;
                    return Err(format!("nobody takes over from {name}: {readers:?}").into());
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let ((), took) = tokio::try_join!(self.walk(steps), taken_over)?;
        eprintln!("{} was gone, others read all after {took:?}", from.name);
        Ok(())
    }

    /// Takes out the reader of most partitions.
    pub(crate) async fn busiest(
        &self,
        readers: &mut Vec<Reader>,
    ) -> Result<Reader, Box<dyn Error>> {
        let mut now = Readers::default();
        now.look(&self.client).await?;
        eprintln!("partitions are read by {:?}", now.by);
        now.busiest(readers)
    }

    pub(crate) fn total(&self, steps: u32) -> u64 {
        u64::from(self.walks) * u64::from(steps)
    }

    pub(crate) async fn walk(&self, steps: std::ops::Range<u32>) -> Verdict {
        walk(&self.client, 0..self.walks, steps).await
    }
}

/// Lets three readers follow walks; each time the busiest of them is killed or paused.
async fn follow(url: &str, replicas: usize, walks: u32, steps: u32) -> Verdict {
    let bus = Bus::nats(url).await?;
    for domain in ["walks", "prints"] {
        let config = StreamConfig::events(&namespace(), domain).replicas(replicas);
        opened(&bus, &config).await?;
    }
    let trial = Trial { client: Client::new(bus, namespace()).replicas(replicas), walks };
    let mut readers = Vec::new();
    for name in ["one", "two", "three"] {
        readers.push(Reader::start(name, url, replicas)?);
    }
    let (start, part) = (Instant::now(), steps / 4);
    tokio::try_join!(trial.walk(0..part), trial.until(trial.total(part) / 2))?;
    let mut killed = trial.busiest(&mut readers).await?;
    killed.kill()?;
    trial.taken_over(&killed, part..2 * part).await?;

    let paused = trial.busiest(&mut readers).await?;
    paused.signal("-STOP")?;
    trial.taken_over(&paused, 2 * part..3 * part).await?;
    paused.signal("-CONT")?;
    readers.push(paused);

    let late = trial.busiest(&mut readers).await?;
    late.signal("-STOP")?;
    trial.walk(3 * part..steps - 1).await?;
    trial.until(trial.total(steps - 1)).await?;
    late.signal("-CONT")?;
    readers.push(late);
    trial.walk(steps - 1..steps).await?;
    trial.until(trial.total(steps)).await?;
    let took = start.elapsed();

    for reader in readers {
        reader.stop()?;
    }
    let operator = Operator::new(trial.client.bus().clone(), namespace());
    assert_eq!(operator.parked().await?.len(), 0);
    assert_eq!(operator.dead(1, 10).await?.len(), 0);
    eprintln!("copies: {replicas}, {took:?}");
    check(&trial.client, walks, steps).await
}

async fn follow_on_three_servers(walks: u32, steps: u32) -> Verdict {
    let servers = three();
    let addresses: Vec<_> = servers.iter().map(|(_, server)| server.url()).collect();
    follow(&addresses.join(","), 3, walks, steps).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dead_and_paused_readers_held_is_done_once_and_in_order() -> Verdict {
    follow(&Server::start().url(), 1, 200, 24).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dead_and_paused_readers_held_is_done_once_and_in_order_on_three_servers() -> Verdict {
    follow_on_three_servers(200, 24).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "200,000 events take minutes"]
async fn of_a_thousand_keys_nothing_is_lost_to_dead_and_paused_readers() -> Verdict {
    follow(&Server::start().url(), 1, 1_000, 200).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "200,000 events in three copies take minutes"]
async fn of_a_thousand_keys_nothing_is_lost_to_dead_and_paused_readers_on_three_servers() -> Verdict
{
    follow_on_three_servers(1_000, 200).await
}
