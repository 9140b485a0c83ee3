//! A callee that does as it is told, on the clock of its caller.

use bytes::Bytes;
use callboard::{
    Bus, Client, Command, Rejection, Subject,
    bus::Message,
    message::{Namespace, Request, Status, codec},
    policy::Policies,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

pub(crate) type Verdict = Result<(), Box<dyn Error>>;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) user: String,
}

impl Charge {
    pub(crate) fn of(user: &str) -> Self {
        Self { user: user.to_owned() }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the card is declined")]
pub(crate) struct Declined;

impl Rejection for Declined {}

impl Command for Charge {
    const SUBJECT: Subject = Subject::new("till.charge");
    type Outcome = Result<u32, Declined>;

    fn key(&self) -> Cow<'_, str> {
        self.user.as_str().into()
    }
}

/// Asks what was charged, and changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) user: String,
}

impl Look {
    pub(crate) fn at(user: &str) -> Self {
        Self { user: user.to_owned() }
    }
}

impl Command for Look {
    const SUBJECT: Subject = Subject::new("till.look");
    const READ_ONLY: bool = true;
    type Outcome = Result<u32, Declined>;

    fn key(&self) -> Cow<'_, str> {
        self.user.as_str().into()
    }
}

/// What a callee does with one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Reply(u32),
    Decline,
    Refuse(Status),
    Wait(Duration, u32),
    Keep,
}

/// A callee on a bus of its own; it ends when it is dropped.
pub(crate) struct Callee {
    pub(crate) bus: Bus,
    tried: Arc<AtomicU32>,
    requests: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

impl Callee {
    /// Answers the n-th attempt, counted from 1, as the script says.
    pub(crate) async fn open(
        script: impl Fn(u32) -> Act + Send + Sync + 'static,
    ) -> Result<Self, Box<dyn Error>> {
        let bus = Bus::embedded();
        let mut commands = bus.subscribe("callboard.cmd.till.>", Some("till")).await?;
        let tried = Arc::new(AtomicU32::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (count, noted, own) = (Arc::clone(&tried), Arc::clone(&requests), bus.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut answering = JoinSet::new();
            while let Some(command) = commands.next().await {
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                let request = Request::read(&command.headers).expect("headers of a client");
                noted.lock().expect("nobody panics").push(request);
                let act = script(number);
                answering.spawn(answer(own.clone(), command, act));
            }
        });
        Ok(Self { bus, tried, requests, _tasks: tasks })
    }

    /// Returns a client that goes by a table.
    pub(crate) fn client(&self, table: Policies) -> Client {
        let client = Client::new(self.bus.clone(), Namespace::default());
        client.policies(table).expect("the table is sound")
    }

    pub(crate) fn tried(&self) -> u32 {
        self.tried.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("nobody panics").clone()
    }
}

async fn answer(bus: Bus, command: Message, act: Act) {
    let reply = |payload| Message::new(command.reply.clone().unwrap_or_default(), payload);
    let value = |value: u32| codec::encode(&value).expect("a number");
    let message = match act {
        Act::Reply(number) => reply(value(number)),
        Act::Wait(time, number) => {
            sleep(time).await;
            reply(value(number))
        }
        Act::Decline => {
            let declined = codec::encode(&Declined).expect("a word");
            reply(declined).headers(Status::Rejected.headers("declined"))
        }
        Act::Refuse(status) => reply(Bytes::default()).headers(status.headers("as told")),
        Act::Keep => return,
    };
    // Its caller may have given up.
    bus.send(message).await.ok();
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
