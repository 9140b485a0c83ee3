use super::{job::Worker, pattern::Pattern};
use crate::{
    bus::{Append, Expect, Message, Stored, Stream},
    call::Client,
    message::{
        Id, Key, Request,
        headers::{CB_CRON, CB_DUE, MSG_ID},
    },
    time::{from_unix_ms, unix_ms},
};
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

/// Stands for the command in the subjects of repetitions; no command has this name.
pub(super) const COMMAND: &str = "=cron";

/// How long to wait for the broker to let go of the schedule that fired.
const SOON: Duration = Duration::from_millis(50);
/// How often.
const OFTEN: u32 = 100;
/// How long to wait before something that must succeed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How far a run may be due after it was stored: more than any clock is off, and
/// less than a time that nobody meant.
const AHEAD: Duration = Duration::from_hours(1);

/// Returns when a run was due; a time that cannot be so is when it was stored.
fn due_of(run: &Stored) -> Option<SystemTime> {
    let due = run.headers.get(CB_DUE)?.parse().ok().map(from_unix_ms)?;
    Some(if due <= run.time + AHEAD {
        due
    } else {
        run.time
    })
}

/// A handler that the group runs again and again, on one of its nodes.
///
/// It is a chain of timers: each run stores the next one before it begins, on
/// the condition that there is none. So whoever does it, and however often it
/// is tried, there is one next run; and none is lost with a node.
#[derive(Clone, Debug)]
pub(crate) struct Repetition {
    pub(crate) name: &'static str,
    pub(crate) pattern: Pattern,
    /// The actor's path and the name, as one token.
    pub(crate) key: Key,
    pub(crate) worker: Worker,
}

impl Repetition {
    /// Stores the first run unless one is stored already.
    pub(super) async fn begin(&self, client: &Client, domain: &str) {
        while let Err(error) = self.arm(client, domain, None).await {
            let (child, name) = (&*self.worker.path, self.name);
            tracing::warn!(child, name, error, "a repetition does not begin yet");
            sleep(AGAIN).await;
        }
    }

    /// Stores the run after this one unless it is stored already.
    pub(super) async fn go_on(
        &self,
        client: &Client,
        domain: &str,
        run: &Stored,
    ) -> Result<(), String> {
        self.arm(client, domain, Some(run)).await
    }

    async fn arm(&self, client: &Client, domain: &str, run: Option<&Stored>) -> Result<(), String> {
        let fired = run.and_then(|run| run.headers.get(CB_DUE));
        let after = run.and_then(due_of);
        let stream = client
            .jobs(domain)
            .await
            .map_err(|error| error.to_string())?;
        let (timer, _) = client.namespace().repetition(domain, COMMAND, &self.key);
        for _ in 0..OFTEN {
            let last = stream.last(&timer).await;
            let expected = match last.map_err(|error| error.to_string())? {
                None => 0,
                Some(last) => {
                    let header = |name| last.headers.get(name);
                    if fired.is_some() && header(CB_DUE) == fired {
                        sleep(SOON).await;
                        continue;
                    }
                    if header(CB_CRON) == Some(&*self.pattern.to_string()) {
                        return Ok(());
                    }
                    last.sequence
                }
            };
            if self
                .store(client, (domain, &stream), expected, after)
                .await?
            {
                return Ok(());
            }
        }
        Err(format!("what is scheduled on {timer} does not settle"))
    }

    /// Stores the next run after now, and after the one at hand: a clock that is
    /// behind the server's has not come to that yet. Returns false if another was
    /// stored meanwhile.
    async fn store(
        &self,
        client: &Client,
        (domain, stream): (&str, &Stream),
        expected: u64,
        after: Option<SystemTime>,
    ) -> Result<bool, String> {
        let now = client.clock().now();
        let after = after.map_or(now, |due| due.max(now));
        let Some(due) = self.pattern.after(after) else {
            let (child, pattern) = (&*self.worker.path, self.pattern.to_string());
            tracing::error!(child, pattern, "a repetition has no next time");
            return Ok(true);
        };
        let (timer, job) = client.namespace().repetition(domain, COMMAND, &self.key);
        let at = unix_ms(due).to_string();
        // Derived from the time it is for: the same run has the same id, whoever stores it.
        let request = Request::new(Id::from(&*job).derived(&at, 0));
        let mut headers = request.headers().map_err(|error| error.to_string())?;
        headers.put(MSG_ID, Id::new().to_string());
        headers.put(CB_DUE, at);
        headers.put(CB_CRON, self.pattern.to_string());
        let message = Message::new(timer, "")
            .headers(headers)
            .scheduled(due, &job);
        match stream.append(message, Expect::Last(expected)).await {
            Ok(Append::Committed { .. }) => Ok(true),
            Ok(Append::Conflict) => Ok(false),
            Ok(Append::Unknown { reason }) => Err(reason),
            Err(error) => Err(error.to_string()),
        }
    }
}
