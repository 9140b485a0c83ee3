use super::{Live, State};
use crate::{
    actor::{Control, Hosted, Inbox},
    call::{Parcel, Work},
    telemetry::RESTARTS_TOTAL,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

/// How long a child that was cut off has to fall silent.
const LAST_GASP: Duration = Duration::from_secs(1);

/// What a group may take beside its children to stop.
const SLACK: Duration = Duration::from_millis(500);

/// A child as its supervisor handles it: a cell, or the supervisor of a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) path: Arc<str>,
    pub(super) live: Arc<Live>,
    pub(super) control: mpsc::Sender<Control>,
    /// Only a cell has one, and only a cell's times are its own.
    pub(super) cell: Option<Housed>,
    /// How long stopping it takes at most, unless something blocks its thread.
    pub(super) stop_limit: Duration,
    /// Counts the lives; even a start that failed was one.
    pub(super) life: u64,
    pub(super) running: bool,
}

/// What is known of a cell beside its control channel.
#[derive(Debug)]
pub(super) struct Housed {
    pub(super) inbox: Inbox,
    pub(super) stop_within: Duration,
    pub(super) ticks: Arc<[(Duration, usize)]>,
    timers: JoinSet<()>,
}

impl Housed {
    pub(super) fn new(
        inbox: Inbox,
        stop_within: Duration,
        ticks: Arc<[(Duration, usize)]>,
    ) -> Self {
        Self { inbox, stop_within, ticks, timers: JoinSet::new() }
    }

    fn set_timers(&mut self) {
        // A new set also forgets the timers of the life before.
        self.timers = JoinSet::new();
        for &(period, route) in &*self.ticks {
            self.timers
                .spawn_local(tick(self.inbox.clone(), period, route));
        }
    }
}

/// Puts a timer's message into the mailbox, one at a time.
async fn tick(inbox: Inbox, period: Duration, route: usize) {
    let mut due = interval_at(Instant::now() + period, period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let token = Arc::new(());
    loop {
        due.tick().await;
        if Arc::strong_count(&token) > 1 {
            continue;
        }
        let work = Work::Tick(Arc::clone(&token));
        if inbox.push(Parcel { route, work, deadline: None }).is_err() {
            return;
        }
    }
}

impl Member {
    /// Makes the member of a group, which stops its children one after the other.
    pub(super) fn of_group(
        path: Arc<str>,
        live: Arc<Live>,
        control: mpsc::Sender<Control>,
        children: Duration,
    ) -> Self {
        let stop_limit = children.saturating_add(SLACK);
        Self { path, live, control, cell: None, stop_limit, life: 0, running: false }
    }

    pub(super) fn of_cell(
        path: Arc<str>,
        live: Arc<Live>,
        hosted: &Hosted,
        (stop_within, ticks): (Duration, Arc<[(Duration, usize)]>),
    ) -> Self {
        let cell = Housed::new(hosted.inbox.clone(), stop_within, ticks);
        Self {
            path,
            live,
            control: hosted.control.clone(),
            cell: Some(cell),
            stop_limit: stop_within.saturating_add(LAST_GASP),
            life: 0,
            running: false,
        }
    }

    /// Returns how long stopping these takes at most, one after the other.
    pub(crate) fn stop_limits(members: &[Self]) -> Duration {
        members.iter().fold(Duration::ZERO, |sum, member| {
            sum.saturating_add(member.stop_limit)
        })
    }

    /// Starts it, and returns once it is ready.
    ///
    /// A cell keeps its own deadline for building the state; a group has its children's.
    pub(crate) async fn start(&mut self) -> Result<(), String> {
        self.life += 1;
        if self.life > 1 {
            // Counted first: its callers may be answered before this is told of its start.
            self.live.restarted();
            metrics::counter!(RESTARTS_TOTAL, "child" => self.path.to_string()).increment(1);
        }
        self.live.set(State::Starting);
        if let Some(cell) = &self.cell {
            cell.inbox.open();
            cell.inbox.interrupt();
        }
        let (done, outcome) = oneshot::channel();
        let gone = || "its supervisor is gone".to_owned();
        self.control
            .send(Control::Start(self.life, done))
            .await
            .map_err(|_| gone())?;
        let outcome = outcome.await.map_err(|_| gone())?;
        match &outcome {
            Ok(()) => self.started(),
            Err(reason) => self.live.ended(State::Stopped, reason.clone()),
        }
        outcome
    }

    fn started(&mut self) {
        self.running = true;
        self.live.set(State::Running);
        if let Some(cell) = &mut self.cell {
            cell.set_timers();
        }
    }

    /// Stops it, and returns once it has, or its deadline passed and it was cut off.
    pub(crate) async fn stop(&mut self) {
        self.running = false;
        let (done, stopped) = oneshot::channel();
        if let Some(cell) = &mut self.cell {
            cell.timers.abort_all();
            cell.inbox.interrupt();
        }
        if self.control.send(Control::Stop(done)).await.is_err() {
            return self.live.set(State::Stopped);
        }
        match &self.cell {
            None => self.await_group(stopped).await,
            Some(cell) => self.await_stop(cell, stopped).await,
        }
        self.live.set(State::Stopped);
    }

    /// Waits for a group; one whose thread is blocked is left behind.
    async fn await_group(&self, stopped: oneshot::Receiver<()>) {
        let limit = self.stop_limit;
        if timeout(limit, stopped).await.is_err() {
            tracing::error!(
                group = &*self.path,
                ?limit,
                "it did not stop in time and is left behind: a handler blocks its thread, or a child \
                 is still being started"
            );
        }
    }

    async fn await_stop(&self, cell: &Housed, mut stopped: oneshot::Receiver<()>) {
        if timeout(cell.stop_within, &mut stopped).await.is_ok() {
            return;
        }
        tracing::warn!(child = &*self.path, within = ?cell.stop_within, "it did not stop in time and is cut off");
        cell.inbox.kill();
        if timeout(LAST_GASP, stopped).await.is_err() {
            tracing::error!(
                child = &*self.path,
                "it blocks its thread and cannot be cut off"
            );
        }
    }

    /// Notes that it ended by itself.
    pub(super) fn ended(&mut self, state: State, reason: String) {
        self.running = false;
        self.live.ended(state, reason);
        if let Some(cell) = &mut self.cell {
            cell.timers.abort_all();
        }
    }

    /// Refuses its messages from now on; it will not be started again soon.
    pub(super) async fn dismiss(&self) {
        if let Some(cell) = &self.cell {
            cell.inbox.close();
        }
        self.control.send(Control::Dismiss).await.ok();
    }

    /// Ends it for good, after it was stopped; what is left in its mailbox is refused.
    pub(crate) async fn close(&self) {
        if let Some(cell) = &self.cell {
            cell.inbox.close();
        }
        self.control.send(Control::Close).await.ok();
        if let Some(cell) = &self.cell {
            cell.inbox.interrupt();
            cell.inbox.end();
        }
    }

    /// Returns what it and those below it are doing.
    pub(crate) const fn live(&self) -> &Arc<Live> {
        &self.live
    }
}
