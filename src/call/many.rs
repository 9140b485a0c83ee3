use super::{Call, CallError, Cause, Client, ask::TIMEOUT};
use crate::message::{Command, Id, Refused, Reply};
use futures_util::{StreamExt, stream};
use std::{fmt, pin::Pin, time::Duration};
use tokio::time::Instant;

/// How many calls are in flight by default.
const AT_ONCE: usize = 16;

/// Many commands about to be called; awaiting it returns what came of each, in
/// their order.
///
/// 16 at a time by default, all within 5 s; those that are not begun by then
/// end with [`CallError::DeadlinePassed`]. One that fails changes nothing for
/// the others.
///
/// # Examples
///
/// ```
/// # use callboard::{Client, Command};
/// # use std::time::Duration;
/// # async fn prices<C: Command>(client: &Client, questions: Vec<C>) {
/// let answers = client.call_all(questions).at_once(4).timeout(Duration::from_secs(2)).await;
/// let known = answers.iter().filter(|answer| answer.is_ok()).count();
/// println!("{known} of {} answered", answers.len());
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future stops waiting; any of the commands may or may not be run.
#[must_use = "commands are sent when awaited"]
pub struct CallAll<'a, C> {
    client: &'a Client,
    cause: Option<&'a Cause>,
    /// With the ids that follow from the cause: the same at every attempt of it.
    commands: Vec<(C, Option<Id>)>,
    at_once: usize,
    timeout: Duration,
}

impl<'a, C: Command> CallAll<'a, C> {
    pub(crate) fn new(
        client: &'a Client,
        commands: impl IntoIterator<Item = C>,
        cause: Option<&'a Cause>,
    ) -> Self {
        let named = |command| (command, cause.map(Cause::next_id));
        let commands = commands.into_iter().map(named).collect();
        Self { client, cause, commands, at_once: AT_ONCE, timeout: TIMEOUT }
    }

    /// Sets how many are in flight at a time, at least one.
    pub fn at_once(mut self, calls: usize) -> Self {
        self.at_once = calls.max(1);
        self
    }

    /// Sets how long all of them may take together.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<'a, C: Command> IntoFuture for CallAll<'a, C> {
    type Output = Vec<Result<Reply<C>, CallError<Refused<C>>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, cause, commands, at_once, timeout } = self;
        let started = Instant::now();
        let call = move |(place, (command, id))| async move {
            let left = timeout.saturating_sub(started.elapsed());
            let call = Call::new(client, command, cause).timeout(left);
            let answer = match id {
                Some(id) => call.derived(id).await,
                None => call.await,
            };
            (place, answer)
        };
        // In order at the end only: a slow one must not hold up those behind it.
        let calls = stream::iter(commands.into_iter().enumerate().map(call));
        Box::pin(async move {
            let mut answers: Vec<_> = calls.buffer_unordered(at_once).collect().await;
            answers.sort_unstable_by_key(|(place, _)| *place);
            answers.into_iter().map(|(_, answer)| answer).collect()
        })
    }
}

impl<C: Command> fmt::Debug for CallAll<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, timeout) = (self.commands.len(), self.timeout);
        write!(f, "CallAll({count} of {}, within {timeout:?})", C::SUBJECT)
    }
}
