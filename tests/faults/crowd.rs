//! Callers who call again and again, each as its policy says.

use crate::porter::Carry;
use callboard::{
    CallError, Client, Infallible,
    message::Id,
    policy::{Policies, PoliciesError, Policy, Retry},
};
use futures_util::future::join_all;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What is done about a call that is not answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Nothing: there are no retries.
    Off,
    /// It is tried again if it was certainly not run.
    Safe,
    /// It is tried again, for its caller says that its id stands for one intention.
    Named,
    /// It is tried again, for its policy says that doing it twice is as well.
    Idempotent,
    /// It would be tried again, but its caller does not want that.
    Once,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] = [
        Self::Off,
        Self::Safe,
        Self::Named,
        Self::Idempotent,
        Self::Once,
    ];

    /// Whether a call whose outcome is not known is tried again.
    pub(crate) const fn repeats(self) -> bool {
        matches!(self, Self::Named | Self::Idempotent)
    }

    fn policy(self, patience: Duration) -> Policy {
        let policy = Policy::new()
            .deadline(Duration::from_secs(10))
            .try_within(patience);
        let retry = Retry::new(4).backoff(Duration::from_millis(10), Duration::from_millis(50));
        match self {
            Self::Off => policy,
            Self::Safe | Self::Named => policy.retry(retry),
            Self::Idempotent | Self::Once => policy.retry(retry).idempotent(),
        }
    }
}

/// One call: when it began, how long it took, and who answered or what went wrong.
pub(crate) struct Past {
    pub(crate) mode: Mode,
    pub(crate) took: Duration,
    pub(crate) end: Result<String, CallError<Infallible>>,
}

/// The callers on one node.
pub(crate) struct Crowd {
    clients: Vec<(Mode, Client)>,
    each: usize,
    /// Whether each call has a key of its own.
    is_keyed: bool,
    calls: Mutex<Vec<Past>>,
    is_over: AtomicBool,
}

impl Crowd {
    /// Gathers so many callers of each mode, who wait so long for each attempt.
    pub(crate) fn new(
        client: &Client,
        modes: &[Mode],
        each: usize,
        patience: Duration,
    ) -> Result<Self, PoliciesError> {
        let client = |&mode: &Mode| {
            let table = Policies::new().domain("porter", mode.policy(patience));
            let client = client.clone().policies(table)?;
            Ok::<_, PoliciesError>((mode, client))
        };
        let clients = modes.iter().map(client).collect::<Result<_, _>>()?;
        Ok(Self {
            clients,
            each,
            is_keyed: false,
            calls: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// Gives each call a key.
    pub(crate) fn keyed(self) -> Self {
        Self { is_keyed: true, ..self }
    }

    /// Calls while something goes on, and to the end of what was begun by then.
    pub(crate) async fn call_during<T>(&self, scene: impl Future<Output = T>) -> T {
        self.is_over.store(false, Relaxed);
        let clients = self.clients.iter();
        let callers = clients.flat_map(|(mode, client)| {
            (0..self.each).map(move |number| self.call(*mode, client, number))
        });
        let scene = async {
            let end = scene.await;
            self.is_over.store(true, Relaxed);
            end
        };
        let (_, end) = tokio::join!(join_all(callers), scene);
        end
    }

    async fn call(&self, mode: Mode, client: &Client, number: usize) {
        let mut turn = 0;
        while !self.is_over.load(Relaxed) {
            turn += 1;
            let key = if self.is_keyed {
                format!("{mode:?}-{number}-{turn}")
            } else {
                String::new()
            };
            let call = client.call(Carry { key });
            let call = match mode {
                Mode::Named => call.id(Id::new()),
                Mode::Once => call.once(),
                _ => call,
            };
            let began = Instant::now();
            let end = call.await;
            let past = Past { mode, took: began.elapsed(), end };
            self.lock().push(past);
        }
    }

    /// Returns how many calls have ended so far.
    pub(crate) fn count(&self, wanted: impl Fn(&Past) -> bool) -> usize {
        self.lock().iter().filter(|past| wanted(past)).count()
    }

    /// Takes what has been noted.
    pub(crate) fn take(&self) -> Vec<Past> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Past>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
