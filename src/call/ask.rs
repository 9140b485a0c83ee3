use super::{CallError, Cause, Client, local, remote, routed};
use crate::message::{Command, Id, Infallible, Refused, Reply, Request};
use std::{fmt, pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a call waits for its reply by default.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a call waits, so that its deadline is a time that clocks can say.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// A command about to be sent; awaiting it returns the reply.
///
/// A call waits 5 s, and never longer than the message that it follows from
/// may take. The deadline travels with the command: once it has passed, the
/// callee does not run it.
///
/// If the command's actor lives in this process, neither bus nor codec is
/// involved; deadlines, errors and supervision are the same.
///
/// # Errors
///
/// Awaiting returns [`CallError`].
///
/// # Cancel safety
///
/// Dropping the future stops waiting; the command may or may not be run.
#[must_use = "a command is sent when awaited"]
pub struct Call<'a, C> {
    pub(super) client: &'a Client,
    pub(super) command: C,
    pub(super) cause: Option<&'a Cause>,
    id: Option<Id>,
    timeout: Duration,
    headers: Vec<(&'static str, String)>,
}

impl<'a, C: Command> Call<'a, C> {
    pub(crate) const fn new(client: &'a Client, command: C, cause: Option<&'a Cause>) -> Self {
        Self { client, command, cause, id: None, timeout: TIMEOUT, headers: Vec::new() }
    }

    /// Sets how long to wait for the reply.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the command's id, the same for every attempt of one intention.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds a header, by which [routes](crate::route::Rule::header) may tell it
    /// from others. A command to an actor of this process travels without it.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Awaits the outcome, and leaves only trouble to `?`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use callboard::{CallError, Client, Command, Infallible};
    /// # use callboard::message::{Refused, Reply};
    /// # async fn pay<C: Command>(client: &Client, charge: C) -> Result<(), CallError<Infallible>> {
    /// match client.call(charge).outcome().await? {
    ///     Ok(receipt) => drop(receipt),
    ///     Err(declined) => println!("not paid: {declined}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns every [`CallError`] but a rejection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting; the command may or may not be run.
    pub async fn outcome(self) -> Result<Result<Reply<C>, Refused<C>>, CallError<Infallible>> {
        match self.await {
            Ok(reply) => Ok(Ok(reply)),
            Err(error) => error.rejection().map(Err),
        }
    }

    async fn ask(mut self, started: Instant) -> Result<Reply<C>, CallError<Refused<C>>> {
        let deadline = self.cause.and_then(|cause| cause.deadline);
        let left = deadline.map_or(self.timeout, |deadline| deadline.duration_since(started));
        let timeout = self.timeout.min(left).min(LONGEST);
        if timeout.is_zero() {
            return Err(CallError::DeadlinePassed { subject: C::SUBJECT });
        }
        let request = request(self.client, self.cause, self.id.take());
        self.client.note(&self.command);
        if let Some(chosen) = routed::choose(self.client, (&self.command, &request), &self.headers)
        {
            let said = (self.command, request, self.headers);
            return Box::pin(routed::ask(self.client, said, chosen, (started, timeout))).await;
        }
        match self.client.door::<C>() {
            Some(door) => {
                let times = (started, timeout);
                local::ask(&door, self.command, request, times).await
            }
            // Boxed, so that local calls stay small.
            None => {
                Box::pin(remote::ask(
                    self.client,
                    self.command,
                    (request, self.headers),
                    timeout,
                ))
                .await
            }
        }
    }
}

/// Describes a command that follows from a cause.
pub(super) fn request(client: &Client, cause: Option<&Cause>, id: Option<Id>) -> Request {
    let id = match (id, cause) {
        (Some(id), _) => id,
        (None, Some(cause)) => cause.next_id(),
        (None, None) => Id::new(),
    };
    let mut request = Request::new(id);
    request.caller = Arc::clone(client.domain());
    if let Some(cause) = cause {
        request.correlation = cause.correlation.clone();
        request.causation = Some(cause.id.clone());
        request.trace.clone_from(&cause.trace);
    }
    request
}

impl<'a, C: Command> IntoFuture for Call<'a, C> {
    type Output = Result<Reply<C>, CallError<Refused<C>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (started, meters) = (Instant::now(), self.client.meters());
            let answer = self.ask(started).await;
            meters.called::<C>(answer.as_ref().err(), started.elapsed());
            answer
        })
    }
}

impl<C: Command> fmt::Debug for Call<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({}, within {:?})", C::SUBJECT, self.timeout)
    }
}
