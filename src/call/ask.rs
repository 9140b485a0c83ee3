use super::{
    CallError, Cause, Client,
    guarded::{Guarded, Wants},
    local, remote, routed,
};
use crate::{
    message::{Command, Headers, Id, Infallible, Refused, Reply, Request, Status},
    policy::{Grade, Graded, Line},
    roster::Instance,
};
use bytes::Bytes;
use std::{fmt, pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a call waits for its reply by default.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a call waits, so that its deadline is a time that clocks can say.
const MAX_WAIT: Duration = Duration::from_hours(365 * 24);

/// A command about to be sent; awaiting it returns the reply.
///
/// A call waits 5 s unless it or its target's [policy](crate::policy) says
/// otherwise, and never longer than the message that it follows from
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
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Call<'a, C> {
    pub(super) client: &'a Client,
    pub(super) command: C,
    pub(super) cause: Option<&'a Cause>,
    id: Option<Id>,
    /// Whether its caller says that the id stands for one intention.
    named: bool,
    timeout: Option<Duration>,
    once: bool,
    firsthand: bool,
    /// Whether it may take longer than the message that it follows from.
    detached: bool,
    /// How many attempts its caller has made before.
    passed: u32,
    headers: Vec<(&'static str, String)>,
}

impl<'a, C: Command> Call<'a, C> {
    pub(crate) const fn new(client: &'a Client, command: C, cause: Option<&'a Cause>) -> Self {
        Self {
            client,
            command,
            cause,
            id: None,
            named: false,
            timeout: None,
            once: false,
            firsthand: false,
            detached: false,
            passed: 0,
            headers: Vec::new(),
        }
    }

    /// Sets how long to wait for the reply, attempts of a policy and all.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the command's id, the same for every attempt of one intention.
    ///
    /// A callee that knows the ids it has done, as entities do, does it once; so
    /// a [policy](crate::policy::Retry) may then try again what may have been run. It is
    /// not answered from a cache.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self.named = true;
        self
    }

    /// Sets an id that follows from the cause, and says nothing about the callee.
    pub(super) fn derived(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// Makes one attempt, whatever the target's policy says: for callers that try
    /// again themselves.
    ///
    /// So does, without being told, a call that follows from a message which is
    /// itself being tried again: one place decides about retries.
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Gives it a deadline of its own, in the place of what is left of that of the
    /// message at hand: for what must be done although whoever asked has stopped
    /// waiting, such as booking what a bank said yes to.
    ///
    /// It waits its [`timeout`](Self::timeout), 5 s by default, and its handler has
    /// no longer than [`handle_within`](crate::Actor::handle_within) all the same.
    /// What must outlive the handler is sent as a job.
    pub const fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Makes one attempt, which is the caller's n-th, and takes no reply but the
    /// callee's of now.
    pub(crate) const fn firsthand(mut self, attempt: u32) -> Self {
        self.once = true;
        self.firsthand = true;
        self.passed = attempt.saturating_sub(1);
        self
    }

    /// Awaits the reply, and how good it is: a [policy](crate::policy) may answer
    /// from a cache, or have something to fall back on. Awaiting the call itself returns
    /// what is fallen back on only if the policy [serves](crate::policy::Serve) it to all.
    ///
    /// # Errors
    ///
    /// Returns [`CallError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting; the command may or may not be run.
    pub async fn graded(self) -> Result<Graded<Reply<C>>, CallError<Refused<C>>> {
        let (started, meters) = (Instant::now(), self.client.meters());
        let answer = Box::pin(self.ask(started, true)).await;
        meters.called::<C>(answer.as_ref().err(), started.elapsed());
        answer
    }

    /// Adds a header, by which [routes](crate::route::Rule::header) may tell it
    /// from others, replacing an earlier value. A command to an actor of this process
    /// travels without it.
    ///
    /// Names that begin with `cb-`, `ce-`, `nats-`, `traceparent`, `tracestate` or
    /// `content-type` are reserved: a call with one ends with [`CallError::Header`].
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
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

    async fn ask(
        mut self,
        started: Instant,
        is_graded: bool,
    ) -> Result<Graded<Reply<C>>, CallError<Refused<C>>> {
        for (name, _) in &self.headers {
            Headers::unreserved(name)
                .map_err(|reason| CallError::Header { subject: C::SUBJECT, reason })?;
        }
        let line = self.client.line::<C>();
        // Inside a domain only what the callee's node takes is limited.
        let (line, inside) = match line {
            Some(line) if !line.binds(self.client.domain()) => (None, Some(line)),
            line => (line, None),
        };
        let cause = self.cause.filter(|_| !self.detached);
        let deadline = cause.and_then(|cause| cause.deadline);
        let left = deadline.map_or(MAX_WAIT, |deadline| deadline.duration_since(started));
        let timeout = self.patience(line.as_deref()).min(left).min(MAX_WAIT);
        if timeout.is_zero() {
            return Err(CallError::DeadlinePassed { subject: C::SUBJECT });
        }
        let mut request = request(self.client, self.cause, self.id.take());
        request.attempt = request.attempt.saturating_add(self.passed);
        request.named = self.named;
        if let Some(reason) = request.too_long() {
            let status = Status::Malformed;
            return Err(CallError::Refused { subject: C::SUBJECT, status, reason });
        }
        self.client.note(&self.command);
        if let Some(line) = line {
            // Boxed, so that calls without a policy stay small.
            return Box::pin(self.guarded((line, is_graded), request, started + timeout)).await;
        }
        let said = (request, self.headers);
        let (command, times) = ((self.command, None), (started, timeout));
        let caller = (self.client, inside.as_deref());
        let reply = attempt(caller, command, said, times, &mut Vec::new()).await;
        reply.map(|reply| Graded { reply, grade: Grade::Fresh })
    }

    /// Returns how long it may take: what its caller says, but no longer than the
    /// policy says.
    fn patience(&self, line: Option<&Line>) -> Duration {
        let total = line.and_then(|line| line.policy.total());
        match (self.timeout, total) {
            (Some(asked), Some(total)) => asked.min(total),
            (asked, total) => asked.or(total).unwrap_or(TIMEOUT),
        }
    }

    async fn guarded(
        self,
        (line, is_graded): (Arc<Line>, bool),
        request: Request,
        deadline: Instant,
    ) -> Result<Graded<Reply<C>>, CallError<Refused<C>>> {
        let guarded = Guarded {
            client: self.client,
            cause: self.cause,
            request,
            headers: self.headers,
            is_named: self.named,
            wants: match (self.firsthand, is_graded) {
                (true, _) => Wants::Firsthand,
                (false, true) => Wants::Graded,
                (false, false) => Wants::Served,
            },
            is_once: self.once || self.cause.is_some_and(|cause| cause.attempt > 1),
            deadline,
            line,
        };
        guarded.ask(self.command).await
    }
}

/// Makes one attempt: at the instance that a route chooses, else straight to the
/// command's actor if it lives here, else over the bus, as bytes that may be known.
/// An instance that failed is noted as tried.
pub(super) async fn attempt<C: Command>(
    (client, line): (&Client, Option<&Line>),
    (command, bytes): (C, Option<Bytes>),
    (request, headers): (Request, remote::Said),
    times: (Instant, Duration),
    tried: &mut Vec<Instance>,
) -> Result<Reply<C>, CallError<Refused<C>>> {
    if let Some(chosen) = routed::choose(client, (&command, &request), &headers, tried) {
        let (said, instance) = (
            ((command, bytes), (request, headers)),
            chosen.instance().clone(),
        );
        let answer = Box::pin(routed::ask((client, line), said, chosen, times)).await;
        if answer.is_err() {
            tried.push(instance);
        }
        return answer;
    }
    match client.door::<C>() {
        Some(door) => local::ask((client, line), &door, command, request, times).await,
        // Boxed, so that local calls stay small.
        None => {
            Box::pin(remote::ask(
                client,
                (command, bytes),
                (request, headers),
                times.1,
            ))
            .await
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
        request.causation = Some(cause.causation().clone());
        request.trace.clone_from(&cause.trace);
        // What follows from another attempt is one as well, however far down.
        request.attempt = cause.attempt;
    }
    request
}

impl<'a, C: Command> IntoFuture for Call<'a, C> {
    type Output = Result<Reply<C>, CallError<Refused<C>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (started, meters) = (Instant::now(), self.client.meters());
            let answer = self.ask(started, false).await;
            meters.called::<C>(answer.as_ref().err(), started.elapsed());
            answer.map(|graded| graded.reply)
        })
    }
}

impl<C: Command> fmt::Debug for Call<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({}, within {:?})", C::SUBJECT, self.patience(None))
    }
}
