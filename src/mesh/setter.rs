//! One node sets a table for all: two who set one at once get two versions.

use super::{Mesh, routes::Shared};
use crate::{
    bus::{Message, RequestError, Subscription},
    call::tables::{self, Taken},
    message::{Headers, Status, codec},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// How long one node may take to set a table before the next one is asked.
const TURN: Duration = Duration::from_millis(500);
/// How long the others may take together; who asked waits for two seconds.
const TURNS: Duration = Duration::from_millis(1_200);

/// Passes each table on to the node that sets it, the first that answers in the order
/// of their instances.
pub(super) async fn pass_on<T: Shared>(mesh: Mesh, mut asked: Subscription) {
    while let Some(asked) = asked.next().await {
        let started = Instant::now();
        let (headers, payload) = mesh.set_by_first::<T>(asked.payload, started).await;
        let Some(reply) = asked.reply else { continue };
        mesh.say(Message::new(reply, payload).headers(headers))
            .await;
    }
}

impl Mesh {
    async fn set_by_first<T: Shared>(&self, table: Bytes, started: Instant) -> (Headers, Bytes) {
        let (known, _) = T::stamp(&self.0.ways);
        for card in self.0.ways.roster.cards() {
            if *card.instance == **self.instance() || started.elapsed() >= TURNS {
                break;
            }
            let to = tables::setter(&self.0.namespace, T::NAME, &card.instance);
            let asked = Message::new(to, table.clone());
            match self.0.bus.request(asked, TURN).await {
                // One that has just come may not know the table yet: all ignore what it sets.
                Ok(answer) if is_behind(&answer, known) => {}
                Ok(answer) => return (answer.headers, answer.payload),
                Err(RequestError::NoResponders { .. }) => {}
                Err(error) => {
                    tracing::warn!(instance = card.instance, %error, table = T::NAME, "the table is set by another");
                }
            }
        }
        self.set::<T>(&table).await
    }

    /// Takes a table that this node is to set, and answers.
    pub(super) async fn set_asked<T: Shared>(&self, asked: Message) {
        let (headers, payload) = self.set::<T>(&asked.payload).await;
        let Some(reply) = asked.reply else { return };
        self.say(Message::new(reply, payload).headers(headers))
            .await;
    }

    /// Sets a table and tells all; returns the answer to who asked.
    async fn set<T: Shared>(&self, payload: &[u8]) -> (Headers, Bytes) {
        let read = codec::decode::<T>(payload).map_err(|error| error.to_string());
        let outcome = read.and_then(|table| table.set(&self.0.ways));
        let version = match outcome {
            Ok(version) => version,
            Err(reason) => return (Status::Malformed.headers(&reason), Bytes::new()),
        };
        tracing::info!(version, table = T::NAME, "the table was set");
        self.tell_table::<T>().await;
        let taken = codec::encode(&Taken { version });
        (Headers::new(), taken.unwrap_or_default())
    }

    async fn say(&self, message: Message) {
        if let Err(error) = self.0.bus.send(message).await {
            tracing::debug!(%error, "who set a table is not told");
        }
    }
}

fn is_behind(answer: &Message, known: u64) -> bool {
    let taken = codec::decode::<Taken>(&answer.payload);
    Status::read(&answer.headers).is_none() && taken.is_ok_and(|taken| taken.version <= known)
}
