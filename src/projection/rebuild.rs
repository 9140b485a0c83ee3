use super::{
    Positions,
    checkpoint::Checkpoints,
    copy::Copy,
    follow::Shared,
    reading::{Reading, Source, Step, Trouble},
};
use crate::{
    bus::{Bus, Message, RequestError, Subscription},
    call::Client,
    message::codec,
};
use bytes::Bytes;
use futures_util::FutureExt;
use std::{cell::RefCell, rc::Rc, time::Duration};

/// How often a rebuilt copy runs after the live one.
const ROUNDS: usize = 100;
/// How many wishes one rebuild fulfils.
const TOGETHER: usize = 1_000;

/// Builds a model anew beside the live one.
pub(super) struct Rebuilder<S> {
    pub(super) reading: Rc<Reading<S>>,
    pub(super) shared: Rc<Shared<S>>,
    pub(super) sources: Rc<[Source]>,
    pub(super) checkpoints: Option<Rc<Checkpoints<S>>>,
    pub(super) bus: Bus,
}

impl<S: 'static> Rebuilder<S> {
    /// Serves one wish after another until the bus is closed.
    pub(super) async fn serve(self, mut wishes: Subscription) {
        while let Some(wish) = wishes.next().await {
            // Those who wish for the same meanwhile get it together.
            let mut replies = vec![wish.reply];
            while replies.len() < TOGETHER
                && let Some(Some(wish)) = wishes.next().now_or_never()
            {
                replies.push(wish.reply);
            }
            let child = &*self.reading.path;
            let outcome = self.rebuild().await;
            match &outcome {
                Ok(messages) => tracing::info!(child, messages, "the model was built anew"),
                Err(reason) => tracing::error!(child, reason, "the model was not built anew"),
            }
            self.tell(&outcome, replies).await;
        }
    }

    async fn tell(&self, outcome: &Result<u64, String>, replies: Vec<Option<String>>) {
        let child = &*self.reading.path;
        for reply in replies.into_iter().flatten() {
            let sent = match codec::encode(outcome) {
                Ok(payload) => self.bus.send(Message::new(reply, payload)).await,
                Err(error) => {
                    return tracing::warn!(child, %error, "the end of a rebuild cannot be told");
                }
            };
            if let Err(error) = sent {
                tracing::warn!(child, %error, "the end of a rebuild could not be told");
            }
        }
    }

    /// Returns of how many messages the new copy was made.
    async fn rebuild(&self) -> Result<u64, String> {
        let messages = self.swap().await?;
        // The last checkpoint may be what is wrong with the model.
        if let Some(checkpoints) = &self.checkpoints
            && let Err(failure) = checkpoints.write(&self.shared.copy).await
        {
            let child = &*self.reading.path;
            tracing::warn!(child, %failure, "the new model could not be written down");
        }
        Ok(messages)
    }

    async fn swap(&self) -> Result<u64, String> {
        let plan = &self.reading.plan;
        if plan.kept.is_some() {
            return Err(
                "it is kept elsewhere; give its next version tables or a file of its own".into(),
            );
        }
        let model = (plan.open)().map_err(|failure| failure.to_string())?;
        let copy = RefCell::new(Copy::new(model, Positions::default()));
        for _ in 0..ROUNDS {
            for source in &*self.sources {
                self.catch_up(source, &copy)
                    .await
                    .map_err(|trouble| trouble.to_string())?;
            }
            let mut live = self.shared.copy.borrow_mut();
            if copy.borrow().positions.covers(&live.positions) {
                let messages = copy.borrow().unwritten;
                *live = copy.into_inner();
                live.is_anew = true;
                return Ok(messages);
            }
        }
        Err("the live model is always ahead".into())
    }

    async fn catch_up(&self, source: &Source, copy: &RefCell<Copy<S>>) -> Result<(), Trouble> {
        let mut news = self.reading.news(source, copy).await?;
        while self.reading.step(&mut news, copy).await? == Step::More {}
        Ok(())
    }
}

/// Has the model of a projection built anew from its streams, beside the live
/// one, which answers until the new one has caught up and takes its place.
///
/// The path is the projection's in the tree, such as `orders/orders-by-user`.
/// Every node that hosts it builds its copy anew; this returns when the first
/// one has, with the number of messages that it took in.
///
/// # Errors
///
/// Returns [`RebuildError`] if nobody hosts it, or it did not come to its end
/// in time; then it goes on by itself.
///
/// # Cancel safety
///
/// Dropping the future may or may not have begun it; it ends by itself.
pub async fn rebuild(client: &Client, path: &str, within: Duration) -> Result<u64, RebuildError> {
    let gone = || path.to_owned();
    let wish = Message::new(client.namespace().rebuild(path), Bytes::new());
    let reply = client.bus().request(wish, within).await;
    let reply = reply.map_err(|error| match error {
        RequestError::NoResponders { .. } => RebuildError::NotHosted { path: gone() },
        error => RebuildError::Unanswered { path: gone(), reason: error.to_string() },
    })?;
    let outcome: Result<Result<u64, String>, _> = codec::decode(&reply.payload);
    match outcome {
        Ok(Ok(messages)) => Ok(messages),
        Ok(Err(reason)) => Err(RebuildError::Refused { path: gone(), reason }),
        Err(error) => Err(RebuildError::Unanswered { path: gone(), reason: error.to_string() }),
    }
}

/// Why a model was not built anew, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// No node hosts such a projection.
    #[error("no node hosts a projection `{path}`; a path is such as `orders/orders-by-user`")]
    NotHosted {
        /// The path.
        path: String,
    },
    /// It could not be built; the live model goes on.
    #[error("`{path}` was not built anew: {reason}")]
    Refused {
        /// The path.
        path: String,
        /// What is in the way.
        reason: String,
    },
    /// Nobody said how it ended.
    #[error("whether `{path}` was built anew is not known: {reason}")]
    Unanswered {
        /// The path.
        path: String,
        /// What happened.
        reason: String,
    },
}
