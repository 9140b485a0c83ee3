//! Several instances of one actor: order per key, and keys spread over all.

use crate::support::{
    log::Log,
    way::{Verdict, both_buses, every_way, until},
};
use callboard::{Actor, Answer, Command, Context, Event, Failure, Group, Infallible, Subject};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::task::yield_now;

const KEYS: u32 = 12;
const EACH: u32 = 25;

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    key: String,
    number: u32,
}

impl Command for Step {
    const SUBJECT: Subject = Subject::new("walk.step");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        (&self.key).into()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stepped {
    key: String,
    number: u32,
}

impl Event for Stepped {
    const SUBJECT: Subject = Subject::new("walk.stepped");

    fn key(&self) -> Cow<'_, str> {
        (&self.key).into()
    }
}

/// Knows which instance it is, and notes what it sees.
struct Walker {
    instance: u32,
    log: Log,
}

impl Walker {
    async fn note(&self, key: &str, number: u32) {
        // Some wait, some do not: order must not depend on it.
        if number.is_multiple_of(3) {
            yield_now().await;
        }
        self.log.note(format!("{key} {number} {}", self.instance));
    }

    async fn step(&mut self, step: Step, _: &Context) -> Answer<Step> {
        self.note(&step.key, step.number).await;
        Ok(())
    }

    async fn stepped(&mut self, step: Stepped, _: &Context) -> Result<(), Failure> {
        self.note(&step.key, step.number).await;
        Ok(())
    }
}

fn walkers(log: &Log) -> Group {
    let (log, count) = (log.clone(), Arc::new(AtomicU32::new(0)));
    let walker = Actor::new("walker", async move || {
        let instance = count.fetch_add(1, Ordering::SeqCst);
        Ok(Walker { instance, log: log.clone() })
    })
    .instances(4)
    .answer(Walker::step)
    .on(Walker::stepped);
    Group::new("walk").child(walker)
}

/// Checks that each key was seen in order by one instance, and all had work.
fn check(lines: &[String]) {
    let mut seen: BTreeMap<&str, (Vec<u32>, BTreeSet<&str>)> = BTreeMap::new();
    for line in lines {
        let mut words = line.split(' ');
        let (Some(key), Some(number), Some(instance)) = (words.next(), words.next(), words.next())
        else {
            unreachable!("a line has three words");
        };
        let (numbers, instances) = seen.entry(key).or_default();
        numbers.extend(number.parse::<u32>());
        instances.insert(instance);
    }
    assert_eq!(seen.len(), KEYS as usize);
    for (key, (numbers, instances)) in &seen {
        assert_eq!(*numbers, (0..EACH).collect::<Vec<_>>(), "{key}");
        assert_eq!(instances.len(), 1, "{key} went to {instances:?}");
    }
    let used: BTreeSet<_> = seen.values().flat_map(|(_, instances)| instances).collect();
    assert!(used.len() > 1, "all keys went to {used:?}");
}

fn key(number: u32) -> String {
    format!("walk.er {number}")
}

#[tokio::test]
async fn commands_of_a_key_go_in_order_to_one_instance() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = way.node("n").group(walkers(&log)).start().await?;
        let client = node.client();
        for number in 0..EACH {
            for walker in 0..KEYS {
                client.tell(Step { key: key(walker), number }).await?;
            }
        }
        let done = (KEYS * EACH) as usize;
        until("all steps", async || log.lines().len() == done).await;
        let lines: Vec<_> = log
            .lines()
            .iter()
            .map(|line| line.replace("walk.er ", ""))
            .collect();
        check(&lines);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn events_of_a_key_go_in_order_to_one_instance() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = way.node("n").group(walkers(&log)).start().await?;
        let client = node.client();
        for number in 0..EACH {
            for walker in 0..KEYS {
                client.publish(Stepped { key: key(walker), number }).await?;
            }
        }
        let done = (KEYS * EACH) as usize;
        until("all steps", async || log.lines().len() == done).await;
        let lines: Vec<_> = log
            .lines()
            .iter()
            .map(|line| line.replace("walk.er ", ""))
            .collect();
        check(&lines);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn commands_without_a_key_go_to_whoever_is_free() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = way.node("n").group(walkers(&log)).start().await?;
        let client = node.client();
        for number in 0..EACH {
            client.call(Step { key: String::new(), number }).await?;
        }
        assert_eq!(log.lines().len(), EACH as usize);
        Ok(node.stop().await?)
    })
    .await
}
