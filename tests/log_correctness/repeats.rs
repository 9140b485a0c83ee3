//! The same command again, after the stream has forgotten its id.

use crate::Verdict;
#[cfg(feature = "nats")]
use crate::support::nats::Server;
use callboard::{
    Bus, Client, Command, Entity, Event, Group, Infallible, Node, Subject, message::Id,
    replay::Replay,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};

/// The stream remembers ids for two minutes.
const LATER: Duration = Duration::from_mins(3);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ring {
    bell: String,
}

impl Command for Ring {
    const SUBJECT: Subject = Subject::new("bells.ring");
    type Outcome = Result<u32, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.bell)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rang {
    bell: String,
}

impl Event for Rang {
    const SUBJECT: Subject = Subject::new("bells.rang");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.bell)
    }
}

#[derive(Default)]
struct Bell {
    times: u32,
}

fn bells() -> Group {
    let bell = Entity::new("bell", Bell::default)
        .decide(|bell: &Bell, ring: Ring| Ok((Rang { bell: ring.bell }, bell.times + 1)))
        .apply(|bell: &mut Bell, _: &Rang| bell.times += 1);
    Group::new("bells").child(bell)
}

fn ring() -> Ring {
    Ring { bell: "b-1".into() }
}

#[tokio::test]
async fn a_command_again_after_three_minutes_has_no_second_effect() -> Verdict {
    let id = Id::new();
    let mut heard = Replay::of(bells())
        .ask_as(id.clone(), ring())
        .ask(ring())
        .after(LATER)
        .ask_as(id.clone(), ring())
        .after(LATER)
        .ask_as(id, ring())
        .settle()
        .await?;
    let replies: Vec<_> = heard.answers::<Ring>().into_iter().flatten().collect();
    assert_eq!(replies, [1, 2, 1, 1]);
    assert_eq!(heard.events::<Rang>().len(), 2);
    Ok(())
}

async fn rung(client: &Client, id: &Id) -> Result<u32, Box<dyn std::error::Error>> {
    Ok(client.call(ring()).id(id.clone()).await?)
}

#[cfg(feature = "nats")]
#[tokio::test]
#[ignore = "takes over three minutes"]
async fn a_command_again_after_three_minutes_on_a_server_has_no_second_effect() -> Verdict {
    let server = Server::start();
    let start = async |name: &str| -> Result<_, Box<dyn std::error::Error>> {
        let bus = Bus::nats(server.url()).await?;
        Ok(Node::new(name, bus).group(bells()).start().await?)
    };
    let (one, id) = (start("one").await?, Id::new());
    assert_eq!(rung(&one.client(), &id).await?, 1);
    assert_eq!(rung(&one.client(), &Id::new()).await?, 2);
    tokio::time::sleep(LATER).await;
    assert_eq!(rung(&one.client(), &id).await?, 1);
    let two = start("two").await?;
    one.stop().await?;
    assert_eq!(rung(&two.client(), &id).await?, 1, "also on a new node");
    assert_eq!(rung(&two.client(), &Id::new()).await?, 3);
    two.stop().await?;
    Ok(())
}
