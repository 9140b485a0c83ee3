use super::NodeError;
use crate::{
    bus::{Bus, Message, RequestError, SendError, Subscription},
    message::{Namespace, codec},
    supervision::Tree,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// How long another node of the same name may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers what is asked of the node itself.
///
/// On `{ns}.sys.ask.tree` every node answers with its supervision tree; on
/// `{ns}.sys.ask.tree.{name}` only the one of that name.
pub(super) struct System {
    tree: Arc<dyn Fn() -> Tree + Send + Sync>,
    bus: Bus,
    all: Subscription,
    own: Subscription,
}

impl System {
    /// Starts to listen, unless a node of this name answers.
    pub(super) async fn open(
        bus: &Bus,
        namespace: &Namespace,
        name: &str,
        tree: Arc<dyn Fn() -> Tree + Send + Sync>,
    ) -> Result<Self, NodeError> {
        let subject = namespace.system(&format!("ask.tree.{name}"));
        let asked = bus
            .request(Message::new(subject.clone(), Bytes::new()), PATIENCE)
            .await;
        match asked {
            // Anybody may listen there, such as an operator who looks at all messages;
            // only a node answers.
            Err(RequestError::NoResponders { .. } | RequestError::Timeout { .. }) => {}
            Err(RequestError::Lost { subject }) => {
                return Err(SendError::Disconnected { subject }.into());
            }
            Err(RequestError::Send(error)) => return Err(error.into()),
            Ok(_) => {
                let (name, namespace) = (name.to_owned(), namespace.to_string());
                return Err(NodeError::NameTaken { name, namespace });
            }
        }
        Ok(Self {
            tree,
            bus: bus.clone(),
            all: bus.subscribe(&namespace.system("ask.tree"), None).await?,
            own: bus.subscribe(&subject, None).await?,
        })
    }

    /// Answers until the bus is closed.
    pub(super) async fn serve(mut self) {
        loop {
            let asked = tokio::select! {
                asked = self.all.next() => asked,
                asked = self.own.next() => asked,
            };
            let Some(asked) = asked else { return };
            let Some(reply) = asked.reply else { continue };
            let tree = match codec::encode(&(self.tree)()) {
                Ok(tree) => tree,
                Err(error) => {
                    tracing::warn!(%error, "the tree cannot be told");
                    continue;
                }
            };
            if let Err(error) = self.bus.send(Message::new(reply, tree)).await {
                tracing::warn!(%error, "the tree could not be told");
            }
        }
    }
}
