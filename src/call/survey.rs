//! A question to all who listen, and what each of them says.

use crate::{
    bus::{Bus, Message, SendError, SubscribeError, Subscription},
    message::{
        Id,
        codec::{self, EncodeError},
    },
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{pin::pin, time::Duration};
use tokio::time::timeout;

/// How long to wait for another answer after one has come.
const QUIET: Duration = Duration::from_millis(300);
/// How many answers are taken.
const MOST: usize = 10_000;

/// Why not all nodes could be asked.
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
}

/// Asks all who listen, and returns what was understood of their answers.
///
/// It waits for the first answer as long as it is told, and then until no
/// further one comes.
pub(crate) async fn survey<A: DeserializeOwned>(
    bus: &Bus,
    subject: String,
    question: &impl Serialize,
    within: Duration,
) -> Result<Vec<A>, AskError> {
    let question = Message::new(subject, codec::encode(question)?);
    let answers = poll(bus, question, within).await?;
    let understood = answers.iter().filter_map(|answer| {
        let understood = codec::decode(&answer.payload);
        understood
            .inspect_err(|error| tracing::warn!(%error, "an answer was not understood"))
            .ok()
    });
    Ok(understood.collect())
}

/// The same, with the answers as they come.
pub(crate) async fn poll(
    bus: &Bus,
    mut question: Message,
    within: Duration,
) -> Result<Vec<Message>, AskError> {
    let inbox = format!("_INBOX.callboard.{}", Id::new());
    let mut answers = bus.subscribe(&inbox, None).await?;
    question.reply = Some(inbox);
    let (subject, refusals) = (question.subject.clone(), bus.refusals());
    bus.send(question).await?;
    let mut refused = pin!(bus.refused(refusals, &subject));
    let (mut found, mut patience) = (Vec::new(), within);
    while found.len() < MOST {
        let answer = tokio::select! {
            biased;
            answer = timeout(patience, answers.next()) => answer,
            error = &mut refused => return Err(error.into()),
        };
        match answer {
            // The server's own answer: nobody listens.
            Ok(Some(answer)) if answer.payload.is_empty() => break,
            Ok(Some(answer)) => found.push(answer),
            Ok(None) | Err(_) => break,
        }
        patience = QUIET.min(within);
    }
    Ok(found)
}

/// Answers questions until the bus is closed, each with any number of messages; a
/// question of no bytes is the default one.
pub(crate) async fn answer<Q, A>(bus: &Bus, mut asked: Subscription, mut tell: impl FnMut(Q) -> A)
where
    Q: Default + DeserializeOwned,
    A: IntoIterator<Item: Serialize>,
{
    while let Some(message) = asked.next().await {
        let question = match codec::decode(&message.payload) {
            _ if message.payload.is_empty() => Q::default(),
            Ok(question) => question,
            Err(error) => {
                let subject = message.subject;
                tracing::warn!(subject, %error, "a question was not understood");
                continue;
            }
        };
        let told = tell(question);
        let Some(reply) = message.reply else { continue };
        for said in told {
            say(bus, reply.clone(), &said).await;
        }
    }
}

/// Sends what is only told: who does not hear it asks again.
pub(crate) async fn say(bus: &Bus, subject: String, what: &impl Serialize) {
    let payload: Bytes = match codec::encode(what) {
        Ok(payload) => payload,
        Err(error) => return tracing::warn!(subject, %error, "what a node says of itself"),
    };
    if let Err(error) = bus.send(Message::new(subject, payload)).await {
        tracing::warn!(%error, "what a node says of itself is not heard");
    }
}
