use super::{
    args, draw,
    error::CommandError,
    json,
    out::{Out, warn},
    place::Place,
};
use crate::{
    bus::{Bus, Message, RequestError},
    call::survey,
    message::codec,
    supervision::Tree,
};
use bytes::Bytes;
use std::time::Duration;

pub(super) async fn run(
    place: &Place,
    args: args::Tree,
    out: &mut Out,
) -> Result<(), CommandError> {
    let bus = place.connect().await?;
    let mut trees = match &args.node {
        Some(node) => one(&bus, place, node, args.wait).await?,
        None => all(&bus, place, args.wait).await?,
    };
    if trees.is_empty() {
        return Err(CommandError::NoNode(format!(
            "no node answers in namespace `{}`; is one running there, and is `--namespace` right?",
            place.namespace
        )));
    }
    trees.sort_by(|a, b| a.node.cmp(&b.node));
    for (at, tree) in trees.iter().enumerate() {
        if args.json {
            out.line(&json::text(tree))?;
            continue;
        }
        if at > 0 {
            out.line("")?;
        }
        for line in draw::tree(tree, out.colours()) {
            out.line(&line)?;
        }
    }
    Ok(())
}

async fn one(
    bus: &Bus,
    place: &Place,
    node: &str,
    wait: Duration,
) -> Result<Vec<Tree>, CommandError> {
    let subject = place.namespace.system(&format!("ask.tree.{node}"));
    match bus.request(Message::new(subject, Bytes::new()), wait).await {
        Ok(reply) => Ok(read(&reply).into_iter().collect()),
        Err(RequestError::NoResponders { .. }) => Err(CommandError::NoNode(format!(
            "no node `{node}` answers in namespace `{}`; `callboard tree` shows those that do",
            place.namespace
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Asks all nodes, and listens until they fall silent.
async fn all(bus: &Bus, place: &Place, wait: Duration) -> Result<Vec<Tree>, CommandError> {
    let question = Message::new(place.namespace.system("ask.tree"), Bytes::new());
    let answers = survey::poll(bus, question, wait).await?;
    Ok(answers.iter().filter_map(read).collect())
}

fn read(answer: &Message) -> Option<Tree> {
    match codec::decode(&answer.payload) {
        Ok(tree) => Some(tree),
        Err(error) => {
            warn(&format!(
                "a node's answer {error}; is it of another version?"
            ));
            None
        }
    }
}
