use super::wire::{self, Panel, Question};
use crate::{
    bus::{Message, SendError, SubscribeError},
    call::Client,
    message::{
        Id,
        codec::{self, EncodeError},
    },
    policy::{Force, Policies},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// How long to wait for another answer after one has come.
const QUIET: Duration = Duration::from_millis(300);
/// How many answers are taken.
const MOST: usize = 10_000;

/// Asks all nodes for a breaker, or for all of them.
///
/// It waits for the first answer as long as it is told, and then until no
/// further one comes.
///
/// # Errors
///
/// Returns [`AskError`] if the question could not be sent.
///
/// # Cancel safety
///
/// Safe: nothing is changed.
pub async fn ask(
    client: &Client,
    breaker: Option<&str>,
    within: Duration,
) -> Result<Vec<Panel>, AskError> {
    let question = Question { breaker: breaker.map(str::to_owned), force: None };
    let subject = wire::question(client.namespace());
    let mut panels: Vec<Panel> =
        scatter(client, subject, codec::encode(&question)?, within).await?;
    panels.sort_by(|a, b| (&a.node, &a.path).cmp(&(&b.node, &b.path)));
    Ok(panels)
}

/// Forces all breakers of a name open or closed, or lets them decide by
/// themselves again; returns how they are then.
///
/// A breaker of a policy is there once its target was called.
///
/// # Errors
///
/// Returns [`AskError`] if the order could not be sent.
///
/// # Cancel safety
///
/// Dropping the future may or may not have sent the order; sending it again is
/// harmless.
pub async fn force(
    client: &Client,
    breaker: &str,
    force: Force,
    within: Duration,
) -> Result<Vec<Panel>, AskError> {
    let question = Question { breaker: Some(breaker.to_owned()), force: Some(force) };
    let subject = wire::question(client.namespace());
    scatter(client, subject, codec::encode(&question)?, within).await
}

/// Has all nodes that have policies go by another table; returns their names.
///
/// A target whose policy stays the same goes on as it was. Of one whose policy
/// changes, the breaker goes on if its limits stay the same, and stays as an operator
/// forced it; its rate, bulkhead, budget and kept replies begin anew.
///
/// # Errors
///
/// Returns [`AskError`] if it could not be sent, or a node refused it.
///
/// # Cancel safety
///
/// Dropping the future may or may not have sent it; sending it again is harmless.
pub async fn set_policies(
    client: &Client,
    table: &Policies,
    within: Duration,
) -> Result<Vec<String>, AskError> {
    let subject = wire::policies(client.namespace());
    let set: Vec<(String, Result<(), String>)> =
        scatter(client, subject, codec::encode(table)?, within).await?;
    let mut nodes = Vec::with_capacity(set.len());
    for (node, outcome) in set {
        match outcome {
            Ok(()) => nodes.push(node),
            Err(reason) => return Err(AskError::Refused { node, reason }),
        }
    }
    nodes.sort_unstable();
    Ok(nodes)
}

/// Sends a question to all, and listens until they fall silent.
async fn scatter<T: DeserializeOwned>(
    client: &Client,
    subject: String,
    question: Bytes,
    within: Duration,
) -> Result<Vec<T>, AskError> {
    let inbox = format!("_INBOX.callboard.{}", Id::new());
    let mut answers = client.bus().subscribe(&inbox, None).await?;
    let mut message = Message::new(subject, question);
    message.reply = Some(inbox);
    client.bus().send(message).await?;
    let (mut found, mut patience) = (Vec::new(), within);
    while found.len() < MOST {
        match timeout(patience, answers.next()).await {
            // The server's own answer: nobody listens.
            Ok(Some(answer)) if answer.payload.is_empty() => break,
            Ok(Some(answer)) => match codec::decode(&answer.payload) {
                Ok(answer) => found.push(answer),
                Err(error) => tracing::warn!(%error, "an answer was not understood"),
            },
            Ok(None) | Err(_) => break,
        }
        patience = QUIET.min(within);
    }
    Ok(found)
}

/// Why breakers could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The answers could not be listened for.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The question could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The question could not be written.
    #[error("the question {0}")]
    Encode(#[from] EncodeError),
    /// A node does not go by the table; others may.
    #[error("the node `{node}` refused the policies: {reason}")]
    Refused {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
}
