//! One node sets a table for all: two who set one at once get two versions.

use super::{Mesh, routes::Shared};
use crate::{
    bus::{Message, RequestError, Subscription},
    call::tables::{self, Passed, Taken},
    message::{Headers, Status, codec},
    version,
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// How long one node may take to set a table before the next one is asked.
const TURN: Duration = Duration::from_millis(500);
/// How often a table that replaces whatever is there is passed on again because another
/// came between.
const MOST: u32 = 8;
/// How long the others may take together; who asked waits for two seconds.
const TURNS: Duration = Duration::from_millis(1_200);

/// What came of setting a table: who asks is told the version, or why not and which
/// version is there instead.
type Outcome = Result<u64, (String, u64)>;

/// Passes each table on to the node that sets it, the first that answers in the order
/// of their instances.
pub(super) async fn pass_on<T: Shared>(mesh: Mesh, mut asked: Subscription) {
    while let Some(asked) = asked.next().await {
        let started = Instant::now();
        let (headers, payload) = match mesh.wanted::<T>(&asked) {
            Ok(table) => mesh.set_by_first::<T>(table, started).await,
            Err(reason) => (Status::Malformed.headers(&reason), Bytes::new()),
        };
        let Some(reply) = asked.reply else { continue };
        mesh.say(Message::new(reply, payload).headers(headers))
            .await;
    }
}

impl Mesh {
    /// Reads an order; one that was given up on is not done later.
    fn wanted<T: DeserializeOwned>(&self, asked: &Message) -> Result<T, String> {
        if !tables::is_awaited(&asked.headers, self.0.clock) {
            return Err("its deadline has passed, and nothing was changed".to_owned());
        }
        codec::decode(&asked.payload).map_err(|error| error.to_string())
    }

    /// Has the first node set a table in the place of the version that it was made from,
    /// or of the one that is known to be there: so nobody sets it after another.
    async fn set_by_first<T: Shared>(&self, table: T, started: Instant) -> (Headers, Bytes) {
        let wanted = version::made_from(table.version());
        let mut passed = Passed { made_from: 0, table };
        let (mut behind, mut tries) = (BTreeSet::new(), 0..MOST);
        'again: while tries.next().is_some() {
            let (known, _) = T::stamp(&self.0.ways);
            passed.made_from = wanted.unwrap_or_else(|| known.max(passed.made_from));
            for card in self.0.ways.roster.cards() {
                if *card.instance == **self.instance() || started.elapsed() >= TURNS {
                    break;
                }
                if behind.contains(&card.instance) {
                    continue;
                }
                let Some(answer) = self.pass::<T>(&card.instance, &passed).await else {
                    continue;
                };
                let taken = codec::decode::<Taken>(&answer.payload).ok();
                let is_set = Status::read(&answer.headers).is_none();
                match taken.map(|taken| taken.version) {
                    // One that has just come may not know the table yet: all ignore what it
                    // sets.
                    Some(version) if version < known || is_set && version == known => {
                        behind.insert(card.instance.clone());
                    }
                    // Another was set meanwhile, and it is to replace whatever is there.
                    Some(version) if !is_set && wanted.is_none() && version > passed.made_from => {
                        passed.made_from = version;
                        continue 'again;
                    }
                    _ => return (answer.headers, answer.payload),
                }
            }
            break;
        }
        // Nothing comes between here.
        told(self.set::<T>(passed.table, wanted).await)
    }

    async fn pass<T: Shared>(&self, instance: &str, passed: &Passed<T>) -> Option<Message> {
        let payload = match codec::encode(passed) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::warn!(%error, table = T::NAME, "the table cannot be passed on");
                return None;
            }
        };
        let to = tables::setter(&self.0.namespace, T::NAME, instance);
        let asked = tables::order(to, payload, (self.0.clock, TURN));
        match self.0.bus.request(asked, TURN).await {
            Ok(answer) => Some(answer),
            Err(RequestError::NoResponders { .. }) => None,
            Err(error) => {
                tracing::warn!(instance, %error, table = T::NAME, "the table is set by another");
                None
            }
        }
    }

    /// Takes a table that this node is to set, and answers.
    pub(super) async fn set_asked<T: Shared>(&self, asked: Message) {
        let answer = match self.wanted::<Passed<T>>(&asked) {
            Ok(Passed { made_from, table }) => told(self.set::<T>(table, Some(made_from)).await),
            Err(reason) => (Status::Malformed.headers(&reason), Bytes::new()),
        };
        let Some(reply) = asked.reply else { return };
        let (headers, payload) = answer;
        self.say(Message::new(reply, payload).headers(headers))
            .await;
    }

    /// Sets a table and tells all.
    async fn set<T: Shared>(&self, table: T, made_from: Option<u64>) -> Outcome {
        let version = table.set(&self.0.ways, made_from).map_err(|reason| {
            let (known, _) = T::stamp(&self.0.ways);
            (reason, known)
        })?;
        tracing::info!(version, table = T::NAME, "the table was set");
        self.tell_table::<T>().await;
        Ok(version)
    }

    async fn say(&self, message: Message) {
        if let Err(error) = self.0.bus.send(message).await {
            tracing::debug!(%error, "who set a table is not told");
        }
    }
}

/// Writes what is answered to who asked.
fn told(outcome: Outcome) -> (Headers, Bytes) {
    let (headers, version) = match outcome {
        Ok(version) => (Headers::new(), version),
        Err((reason, known)) => (Status::Malformed.headers(&reason), known),
    };
    let taken = codec::encode(&Taken { version });
    (headers, taken.unwrap_or_default())
}
