//! Unreadable messages among what streams keep: jobs, what asks sagas to go on, and what
//! entities, snapshots and projections are built from.

use crate::{
    store::{Filled, Put, good, start},
    support::{
        log::Log,
        raw::{Raw, UNREADABLE},
        way::{Verdict, Way, until, until_within},
    },
};
use callboard::{
    Abort, Command, Entity, Group, Infallible, Projection, Saga, Steps, Subject,
    bus::Stored,
    call::Operator,
    message::{
        codec,
        headers::{CB_DEAD_REASON, CB_DEAD_SUBJECT, CB_RAW_HEADERS, CB_UNREADABLE},
    },
    projection::{Lag, Seen},
    saga::{SagaOutcome, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, error::Error, time::Duration};

/// How long what a broken connection held up may take to come again.
pub(crate) const AGAIN: Duration = Duration::from_mins(1);

/// Publishes each unreadable message on a subject of the namespace.
fn spoil(way: &Way, rest: &str) -> Result<Raw, Box<dyn Error>> {
    let mut raw = Raw::connect(&way.url().ok_or("no server")?)?;
    for (_, block) in UNREADABLE {
        raw.publish(&format!("{}.{rest}", way.namespace), block, &good())?;
        raw.sync()?;
    }
    Ok(raw)
}

/// Fails unless each unreadable message of a subject is one letter with its raw bytes.
fn each_is_a_letter(letters: &[Stored], subject: &str) {
    let said = |letter: &Stored, name| letter.headers.get(name).unwrap_or_default().to_owned();
    for letter in letters {
        let reason = said(letter, CB_DEAD_REASON);
        assert!(reason.contains("cannot be read"), "{reason}");
        assert_eq!(said(letter, CB_DEAD_SUBJECT), subject);
        assert!(letter.headers.get(CB_UNREADABLE).is_some(), "{letter:?}");
        assert!(letter.headers.get(CB_RAW_HEADERS).is_some(), "{letter:?}");
    }
    let bytes: BTreeSet<_> = letters
        .iter()
        .map(|letter| letter.payload.to_vec())
        .collect();
    let sent = UNREADABLE.map(|(_, block)| [block, &good()[..]].concat());
    assert_eq!(bytes, BTreeSet::from(sent));
    assert_eq!(letters.len(), UNREADABLE.len(), "one each");
}

async fn letters(way: &Way) -> Result<Vec<Stored>, Box<dyn Error>> {
    until_within(AGAIN, "a dead letter of each", async || {
        match way.dead_letters().await {
            Ok(letters) if letters.len() >= UNREADABLE.len() => Ok(()),
            Ok(letters) => Err(format!("there are {}", letters.len())),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    way.dead_letters().await
}

#[tokio::test]
async fn an_unreadable_job_is_a_dead_letter_and_the_jobs_behind_it_are_done() -> Verdict {
    let way = Way::nats(false).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let mut raw = spoil(&way, "job.box.put.k")?;
    let subject = format!("{}.job.box.put.k", way.namespace);
    let fine = b"NATS/1.0\r\nNats-Msg-Id: fine\r\n\r\n";
    raw.publish(&subject, fine, &good())?;
    raw.sync()?;
    until_within(AGAIN, "the job behind them", async || {
        let lines = log.lines();
        (lines.len() == 1).then_some(()).ok_or(format!("{lines:?}"))
    })
    .await;
    assert_eq!(log.lines(), ["put a"]);
    each_is_a_letter(&letters(&way).await?, &subject);
    assert_eq!(node.tree().groups[0].children[0].restarts, 0);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn an_unreadable_start_of_a_saga_is_a_dead_letter_and_other_sagas_run() -> Verdict {
    async fn echo(_: &mut Steps, item: String) -> Result<String, Abort> {
        Ok(item)
    }
    let way = Way::nats(false).await?;
    let group = Group::new("box").child(Saga::new("echo", echo));
    let node = way.node("n").group(group).start().await?;
    let sagas = Sagas::open(&node.client(), "echo").await?;
    spoil(&way, "run.echo.o-1")?;
    spoil(&way, "alarm.echo.o-1")?;
    for id in ["o-1", "o-2"] {
        sagas.start(id, &id.to_owned()).await?;
        let outcome = sagas.wait::<String>(id, AGAIN).await?;
        assert_eq!(outcome, SagaOutcome::Completed(id.to_owned()));
    }
    let subject = format!("{}.run.echo.o-1", way.namespace);
    each_is_a_letter(&letters(&way).await?, &subject);
    assert_eq!(node.tree().groups[0].children[0].restarts, 0);
    Ok(node.stop().await?)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Count {
    tin: String,
}

impl Command for Count {
    const SUBJECT: Subject = Subject::new("box.count");
    type Outcome = Result<u32, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.tin)
    }
}

/// A tin, of which each count fills it by one.
fn tins() -> Group {
    let tin = Entity::new("tin", u32::default)
        .decide(|tin: &u32, count: Count| {
            let filled = Filled { item: count.tin, count: 1 };
            Ok::<_, Infallible>((filled, tin + 1))
        })
        .apply(|tin: &mut u32, filled: &Filled| *tin += filled.count)
        .snapshot_every(2);
    Group::new("box").child(tin)
}

#[derive(Debug, Serialize, Deserialize)]
struct Sum;

impl Command for Sum {
    const SUBJECT: Subject = Subject::new("sums.sum");
    type Outcome = Result<u32, Infallible>;
}

fn sums() -> Group {
    let sum = Projection::new("sum", u32::default)
        .fold(|sum: &mut u32, filled: &Filled, _: &Seen| *sum += filled.count)
        .answer(|sum: &u32, _: &Sum, _: &Lag| Ok(*sum));
    Group::new("sums").child(sum)
}

#[tokio::test]
async fn an_entity_says_which_message_it_cannot_read_and_goes_on_without_it() -> Verdict {
    let way = Way::nats(false).await?;
    let node = way.node("one").group(tins()).start().await?;
    let client = node.client();
    let count = || Count { tin: "t".to_owned() };
    for filled in 1..=3 {
        assert_eq!(client.call(count()).await?, filled);
    }
    let mut raw = Raw::connect(&way.url().ok_or("no server")?)?;
    let events = format!("{}.evt.box.t", way.namespace);
    raw.publish(&events, UNREADABLE[0].1, &good())?;
    raw.sync()?;
    until("a call that says which", async || {
        let error = client.call(count()).await.err();
        error.is_some_and(|error| {
            let error = error.to_string();
            error.contains("cannot be read") && error.contains("entity skip box t 4")
        })
    })
    .await;
    let operator = Operator::new(way.bus.clone(), way.names());
    operator.skip_message("box", "t", 4, "its headers").await?;
    assert_eq!(client.call(count()).await?, 4);
    // Its snapshot is none either: the events are all there.
    let snapshot = format!("{}.snap.box.tin.t", way.namespace);
    raw.publish(&snapshot, UNREADABLE[1].1, &good())?;
    raw.sync()?;
    let other = way.node("two").group(tins()).start().await?;
    assert_eq!(other.client().call(count()).await?, 5);
    other.stop().await?;
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_projection_steps_over_unreadable_events_and_checkpoints() -> Verdict {
    let way = Way::nats(false).await?;
    let mut raw = spoil(&way, "evt.box.early")?;
    let node = way.node("one").group(tins()).group(sums()).start().await?;
    let client = node.client();
    let events = format!("{}.evt.box.t", way.namespace);
    for filled in 1..=9_u32 {
        client.call(Count { tin: format!("t{filled}") }).await?;
        let (_, block) = UNREADABLE[filled as usize - 1];
        raw.publish(
            &events,
            block,
            &codec::encode(&Put { item: "x".into(), count: 1 })?,
        )?;
        raw.sync()?;
    }
    let nine = async |client: &callboard::Client| {
        until_within(AGAIN, "all nine in the model", async || {
            match client.call(Sum).await {
                Ok(9) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    };
    nine(&client).await;
    node.stop().await?;
    raw.publish(
        &way.names().checkpoint("sums/sum", 1),
        UNREADABLE[0].1,
        b"x",
    )?;
    raw.sync()?;
    let node = way.node("two").group(sums()).start().await?;
    nine(&node.client()).await;
    Ok(node.stop().await?)
}
