//! Commands whose actor lives in this process: no bus, no codec.

use super::{
    CallError, Cause, Client, Door, Parcel, TellError, Work, ask::request, parcel::Enclosed,
};
use crate::{
    message::{Command, Refused, Reply, Request},
    policy::Line,
};
use std::time::Duration;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// A command and where its caller waits; nobody waits for a one-way command.
pub(crate) struct LocalCall<C: Command> {
    request: Option<Request>,
    pub(crate) command: C,
    pub(crate) reply: Option<LocalReply<C>>,
}

type Outcomes<C> = Result<Reply<C>, CallError<Refused<C>>>;

/// Where the caller of a command waits.
///
/// Dropped before the command was handed to its handler, it tells that the command was
/// not run; after that, that it may have been.
pub(crate) struct LocalReply<C: Command> {
    sender: Option<oneshot::Sender<Outcomes<C>>>,
    handed_over: bool,
}

impl<C: Command> LocalReply<C> {
    /// Notes that the handler has the command from now on.
    pub(crate) const fn hand_over(&mut self) {
        self.handed_over = true;
    }

    /// Sends the outcome; a caller that is gone has stopped waiting.
    pub(crate) fn send(mut self, outcome: Outcomes<C>) {
        if let Some(sender) = self.sender.take() {
            sender.send(outcome).ok();
        }
    }
}

impl<C: Command> Drop for LocalReply<C> {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take_if(|_| self.handed_over) else {
            return;
        };
        let reason = "its actor ended while it ran the command".to_owned();
        sender
            .send(Err(CallError::Failed { subject: C::SUBJECT, reason }))
            .ok();
    }
}

impl<C: Command> Enclosed for LocalCall<C> {
    fn request(&mut self) -> Option<Request> {
        self.request.take()
    }
}

/// Asks the command's actor here, if the policy says that it takes another call.
pub(super) async fn ask<C: Command>(
    (client, line): (&Client, Option<&Line>),
    door: &Door,
    command: C,
    request: Request,
    (started, timeout): (Instant, Duration),
) -> Result<Reply<C>, CallError<Refused<C>>> {
    let subject = C::SUBJECT;
    if let Some(line) = line {
        let admitted = line.admit(client.domain(), started);
        admitted.map_err(|reset| CallError::Limited {
            subject,
            reason: line.door_in_words(client.domain()),
            remaining: 0,
            reset: Some(reset),
        })?;
    }
    let deadline = started + timeout;
    let (sender, answer) = oneshot::channel();
    let reply = LocalReply { sender: Some(sender), handed_over: false };
    offer(door, command, request, Some((reply, deadline)))
        .map_err(|reason| CallError::Unavailable { subject, reason, retry_after: None })?;
    match timeout_at(deadline, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) if deadline <= Instant::now() => Err(CallError::DeadlinePassed { subject }),
        Ok(Err(_)) => {
            let reason = "it stopped before it came to this command".to_owned();
            Err(CallError::Unavailable { subject, reason, retry_after: None })
        }
        Err(_) => Err(CallError::Timeout { subject, timeout }),
    }
}

pub(super) fn tell<C: Command>(
    client: &Client,
    door: &Door,
    command: C,
    cause: Option<&Cause>,
) -> Result<(), TellError> {
    offer(door, command, request(client, cause, None), None)
        .map_err(|reason| TellError::Unavailable { subject: C::SUBJECT, reason })
}

fn offer<C: Command>(
    door: &Door,
    command: C,
    request: Request,
    waiting: Option<(LocalReply<C>, Instant)>,
) -> Result<(), String> {
    let (reply, deadline) = waiting.unzip();
    let key = command.key().into_owned();
    let work = Work::Local(Box::new(LocalCall {
        request: Some(request),
        command,
        reply,
    }));
    (door.offer)(Parcel { route: 0, work, deadline }, Some(&key)).map_err(|why| why.to_string())
}
