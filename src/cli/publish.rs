use super::{
    args,
    error::CommandError,
    input,
    out::{Out, warn},
    place::Place,
    target::Target,
};
use crate::{
    bus::{Append, Expect, Message, StreamConfig, StreamError, matches},
    call::open_as_declared,
    message::{
        Envelope, Headers, Id, Key, Subject,
        codec::MEDIA_TYPE,
        headers::{CONTENT_TYPE, MSG_ID},
    },
};

pub(super) async fn run(
    place: &Place,
    args: args::Publish,
    out: &mut Out,
) -> Result<(), CommandError> {
    match &args.target {
        Target::Event(kind) => {
            let Some(key) = args.key.clone() else {
                return Err(CommandError::Usage(
                    "an event needs the key of its entity; add `--key`, as in `--key o-1`",
                ));
            };
            event(place, *kind, key, &args, out).await
        }
        Target::Plain(_) if args.key.is_some() => Err(CommandError::Usage(
            "a plain message has no `--key`; give a type such as `orders.placed` to publish an event",
        )),
        Target::Plain(subject) => plain(place, subject, &args, out).await,
    }
}

async fn event(
    place: &Place,
    kind: Subject,
    key: Key,
    args: &args::Publish,
    out: &mut Out,
) -> Result<(), CommandError> {
    let payload = input::payload(&args.json)?;
    let id = args.id.clone().unwrap_or_else(Id::new);
    let to = place.namespace.event(kind.domain(), &key);
    let envelope = Envelope {
        id: id.clone(),
        kind: kind.to_string(),
        version: args.schema_version,
        source: place.source(),
        subject: key.decode(),
        key,
        time: None,
        correlation: id.clone(),
        causation: None,
        trace: None,
        payload,
    };
    let message = Message::new(to, envelope.payload.clone()).headers(envelope.headers()?);
    let bus = place.connect().await?;
    let config = StreamConfig::events(&place.namespace, kind.domain());
    // The domain's nodes make its stream, with the settings that they need.
    let opened = open_as_declared(&bus.provisioned(), config).await;
    let stream = opened.map_err(|error| match error {
        StreamError::Missing { name } => CommandError::NoNode(format!(
            "there is no stream {name}: no node has served the domain `{}` in namespace `{}` yet; start \
             one, and see that `--namespace` is right",
            kind.domain(),
            place.namespace
        )),
        error => error.into(),
    })?;
    let name = place.namespace.event_stream(kind.domain());
    match stream.append(message, Expect::Any).await? {
        Append::Committed { sequence, duplicate: false } => {
            out.line(&format!("{name} {sequence} {id}"))?;
        }
        Append::Committed { sequence, duplicate: true } => {
            out.line(&format!(
                "{name} {sequence} {id} duplicate: an event of this id was there"
            ))?;
        }
        Append::Conflict => unreachable!("nothing was expected"),
        Append::Unknown { reason } => return Err(CommandError::Unconfirmed { id, reason }),
    }
    bus.close().await;
    Ok(())
}

async fn plain(
    place: &Place,
    subject: &str,
    args: &args::Publish,
    out: &mut Out,
) -> Result<(), CommandError> {
    let payload = input::payload(&args.json)?;
    let mut headers = Headers::new();
    headers.insert(CONTENT_TYPE, MEDIA_TYPE)?;
    if let Some(id) = &args.id {
        headers.insert(MSG_ID, id.to_string())?;
    }
    if matches(&place.namespace.events("*"), subject) {
        warn(
            "without a type this is no event: who hears the domain makes it a dead letter; publish a type with `--key`",
        );
    }
    let bus = place.connect().await?;
    let bytes = payload.len();
    bus.send(Message::new(subject, payload).headers(headers))
        .await?;
    bus.close().await;
    out.line(&format!("{subject} {bytes} bytes"))?;
    Ok(())
}
