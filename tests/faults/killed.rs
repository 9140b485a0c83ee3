//! One of three processes is killed while it is called.

use crate::{
    ALONE,
    crowd::{Crowd, Mode, Past},
    porter::{Porter, TTL, quick, route, until_known},
    support::way::{Verdict, Way, until},
};
use callboard::{Bus, CallError, Node, Query, Running, bus::Message};
use std::{
    env,
    error::Error,
    io::{self, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    task::block_in_place,
    time::{Instant, timeout},
};

const URL: &str = "CALLBOARD_TEST_FAULTS";
const NAME: &str = "CALLBOARD_TEST_FAULTS_NODE";
const SPACE: &str = "CALLBOARD_TEST_FAULTS_NAMESPACE";

/// How long a caller waits for each attempt: twenty times what it takes.
const PATIENCE: Duration = Duration::from_secs(1);
/// After how long all must know that a node is dead: its time to live, and what the
/// heartbeat's grain and a busy machine add.
const FORGOTTEN: Duration = Duration::from_secs(1 + 2);

/// A node in a process of its own; it ends with this, or with the test.
struct Host {
    name: String,
    process: Child,
}

impl Host {
    fn start(way: &Way, name: &str) -> Result<Self, Box<dyn Error>> {
        let process = Command::new(env::current_exe()?)
            .args(["--exact", "killed::hosts_until_killed", "--nocapture"])
            .env(URL, way.url().ok_or("a server")?)
            .env(NAME, name)
            .env(SPACE, &way.namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { name: name.to_owned(), process })
    }

    /// Ends it as `kill -9` does.
    fn kill(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process.wait().map(drop)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may be gone already.
        self.kill().ok();
    }
}

/// Hosts a porter when it is started for that.
#[tokio::test]
async fn hosts_until_killed() -> Verdict {
    let Ok(url) = env::var(URL) else {
        return Ok(());
    };
    let name = env::var(NAME)?;
    let node = Node::new(&name, Bus::nats(url.as_str()).await?)
        .namespace(env::var(SPACE)?)
        .heartbeat(crate::porter::HEARTBEAT, TTL)
        .group(Porter::new(&name).group());
    // The test writes nothing: this is its end.
    let orphaned = tokio::task::spawn_blocking(|| io::stdin().read(&mut [0]));
    Ok(node.run_until(orphaned).await?)
}

/// Returns the instance of a node.
fn instance(caller: &Running, node: &str) -> Option<String> {
    let known = caller.roster().find(&Query::of("porter"));
    let found = known.iter().find(|it| it.node() == node);
    found.map(|it| it.id().to_owned())
}

/// Returns what was sent to an instance by a moment from now.
async fn sent_to(way: &Way, instance: &str, during: impl Future) -> Result<usize, Box<dyn Error>> {
    let subject = |name: &str| format!("{}.inst.{instance}.{name}", way.namespace);
    let mut heard = way.bus.subscribe(&subject(">"), None).await?;
    during.await;
    way.bus.send(Message::new(subject("end"), "")).await?;
    let mut count = 0;
    let all = async {
        while let Some(message) = heard.next().await {
            if message.subject == subject("end") {
                return Ok(count);
            }
            count += 1;
        }
        Err("the subscription ends".into())
    };
    timeout(Duration::from_secs(10), all).await?
}

/// Kills a node while it is called; all that came after it was forgotten went elsewhere.
async fn kill(
    way: &Way,
    (caller, host): (&Running, &mut Host),
    crowd: &Crowd,
    calls: usize,
) -> Result<Duration, Box<dyn Error>> {
    let dead = instance(caller, &host.name).ok_or("it is known")?;
    let so_many = async |count: usize| {
        until("the calls", async || crowd.count(|_| true) >= count).await;
    };
    so_many(calls).await;
    // The callers go on meanwhile, so that it is killed with calls in its hands.
    block_in_place(|| host.kill())?;
    let killed = Instant::now();
    until("that it is forgotten", async || {
        instance(caller, &host.name).is_none()
    })
    .await;
    let forgotten = killed.elapsed();
    // Who was about to be sent there when it was forgotten comes first.
    so_many(crowd.count(|_| true) + calls / 2).await;
    let more = crowd.count(|_| true) + calls;
    let late = sent_to(way, &dead, so_many(more)).await?;
    assert_eq!(late, 0, "calls to the dead node after it was forgotten");
    Ok(forgotten)
}

/// No call that may be made twice fails, and of the others only those the dead node had.
fn judge(calls: &[Past], each: usize) -> [(usize, usize); 5] {
    Mode::ALL.map(|mode| {
        let own: Vec<_> = calls.iter().filter(|past| past.mode == mode).collect();
        let failed: Vec<_> = own
            .iter()
            .filter_map(|past| past.end.as_ref().err())
            .collect();
        let unknown = |error: &&CallError<_>| matches!(error, CallError::Timeout { .. });
        assert!(failed.iter().all(unknown), "{mode:?}: {failed:?}");
        let most = if mode.repeats() { 0 } else { each };
        assert!(failed.len() <= most, "{mode:?}: {failed:?}");
        (own.len() - failed.len(), failed.len())
    })
}

/// Kills a node so many times for each way of spreading, and counts.
async fn kills(rounds: usize, each: usize, calls: usize) -> Verdict {
    let _alone = ALONE.lock().await;
    let way = Way::nats(true).await?;
    let mut hosts = Vec::new();
    for name in ["a", "b", "c"] {
        hosts.push(Host::start(&way, name)?);
    }
    let caller = quick(&way, "caller").start().await?;
    let mut lost = 0;
    for spread in ["least-in-flight", "round-robin", "key", "queue"] {
        route(&caller, spread, "").await?;
        let (mut sums, mut longest) = ([(0, 0); 5], Duration::ZERO);
        for round in 0..rounds {
            until_known(&caller, 3).await;
            let crowd = Crowd::new(&caller.client(), &Mode::ALL, each, PATIENCE)?.keyed();
            let scene = kill(&way, (&caller, &mut hosts[0]), &crowd, calls);
            let forgotten = crowd.call_during(scene).await?;
            assert!(forgotten < FORGOTTEN, "{forgotten:?}");
            longest = longest.max(forgotten);
            for (sum, (answered, failed)) in sums.iter_mut().zip(judge(&crowd.take(), each)) {
                *sum = (sum.0 + answered, sum.1 + failed);
            }
            hosts.remove(0);
            hosts.push(Host::start(&way, &format!("{spread}-{round}"))?);
        }
        eprintln!("{spread}: {rounds} killed, forgotten within {longest:?}");
        for (mode, (answered, failed)) in Mode::ALL.iter().zip(sums) {
            eprintln!("  {mode:?}: {answered} answered, {failed} failed");
            lost += failed;
        }
    }
    assert!(lost > 0, "no call was under way when a node was killed");
    Ok(caller.stop().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_killed_node_are_answered_by_others() -> Verdict {
    kills(1, 8, 400).await
}

/// Kills 20 nodes, with 80 calls in flight:
/// `cargo test -p callboard --test faults killed -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn calls_of_many_killed_nodes_are_answered_by_others() -> Verdict {
    kills(5, 16, 1_000).await
}
