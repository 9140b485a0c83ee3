//! One node sets the routing table for all: two who set one at once get two versions.

use super::{Mesh, routes::Taken, wire};
use crate::{
    bus::{Message, RequestError, Subscription},
    message::{Headers, Status, codec},
    route::RouteTable,
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
pub(super) async fn pass_on(mesh: Mesh, mut asked: Subscription) {
    while let Some(asked) = asked.next().await {
        let started = Instant::now();
        let (headers, payload) = mesh.set_by_first(asked.payload, started).await;
        let Some(reply) = asked.reply else { continue };
        mesh.say(Message::new(reply, payload).headers(headers))
            .await;
    }
}

impl Mesh {
    async fn set_by_first(&self, table: Bytes, started: Instant) -> (Headers, Bytes) {
        let (known, _) = self.0.ways.routes.stamp();
        for card in self.0.ways.roster.cards() {
            if *card.instance == **self.instance() || started.elapsed() >= TURNS {
                break;
            }
            let to = wire::setter(&self.0.namespace, &card.instance);
            let asked = Message::new(to, table.clone());
            match self.0.bus.request(asked, TURN).await {
                // One that has just come may not know the table yet: all ignore what it sets.
                Ok(answer) if is_behind(&answer, known) => {}
                Ok(answer) => return (answer.headers, answer.payload),
                Err(RequestError::NoResponders { .. }) => {}
                Err(error) => {
                    tracing::warn!(instance = card.instance, %error, "the routes are set by another");
                }
            }
        }
        self.set(&table).await
    }

    /// Takes a table that this node is to set, and answers.
    pub(super) async fn set_asked(&self, asked: Message) {
        let (headers, payload) = self.set(&asked.payload).await;
        let Some(reply) = asked.reply else { return };
        self.say(Message::new(reply, payload).headers(headers))
            .await;
    }

    /// Sets a table and tells all; returns the answer to who asked.
    async fn set(&self, payload: &[u8]) -> (Headers, Bytes) {
        let outcome = match codec::decode::<RouteTable>(payload) {
            Ok(table) => self.0.ways.routes.set(table).map_err(|it| it.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let version = match outcome {
            Ok(version) => version,
            Err(reason) => return (Status::Malformed.headers(&reason), Bytes::new()),
        };
        tracing::info!(version, "the routing table was set");
        self.show_routes().await;
        let taken = codec::encode(&Taken { version });
        (Headers::new(), taken.unwrap_or_default())
    }

    async fn say(&self, message: Message) {
        if let Err(error) = self.0.bus.send(message).await {
            tracing::debug!(%error, "who set the routes is not told");
        }
    }
}

fn is_behind(answer: &Message, known: u64) -> bool {
    let taken = codec::decode::<Taken>(&answer.payload);
    Status::read(&answer.headers).is_none() && taken.is_ok_and(|taken| taken.version <= known)
}
