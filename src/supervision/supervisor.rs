use super::{
    Backoff, Intensity, Member, State, Strategy,
    machine::{Decision, Machine},
};
use crate::actor::{Control, Exit, Report, Restart};
use std::{future::pending, sync::Arc};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Does for one group what its machine decides.
///
/// Parents speak to it through the same channel as to a cell, so that trees nest.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) path: Arc<str>,
    pub(super) policy: Policy,
    pub(super) members: Vec<Member>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) parent: mpsc::Sender<Report>,
    /// Its place and life among its siblings.
    pub(super) member: usize,
    pub(super) life: u64,
    /// Children that are started when their time has come.
    pub(super) due: Vec<Due>,
}

/// How a group is supervised.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) backoff: Backoff,
    pub(super) restarts: Vec<Restart>,
}

impl Policy {
    fn machine(&self) -> Machine {
        Machine::new(
            self.strategy,
            self.intensity,
            self.backoff,
            self.restarts.clone(),
        )
    }
}

/// Children that wait for their restart.
#[derive(Debug)]
pub(super) struct Due {
    at: Instant,
    start: Vec<usize>,
}

/// Why supervising ended.
enum Over {
    /// The parent wants it stopped; it is.
    Stopped,
    /// It failed, and told its parent.
    Failed,
    Closed,
}

impl Supervisor {
    /// Serves its parent until it is closed.
    pub(super) async fn run(mut self) {
        while let Some(control) = self.control.recv().await {
            match control {
                Control::Start(life, done) => {
                    self.life = life;
                    let mut machine = self.policy.machine();
                    let outcome = self.start_all().await;
                    let running = outcome.is_ok();
                    // A parent that stopped waiting stops the group next.
                    done.send(outcome).ok();
                    if running && matches!(self.supervise(&mut machine).await, Over::Closed) {
                        break;
                    }
                }
                Control::Stop(done) => drop(done.send(())),
                Control::Dismiss => {
                    for member in &self.members {
                        member.dismiss().await;
                    }
                }
                Control::Close => break,
            }
        }
        for member in self.members.iter().rev() {
            member.close().await;
        }
    }

    /// Starts all children from left to right; if one fails, stops the others again.
    async fn start_all(&mut self) -> Result<(), String> {
        self.due.clear();
        for at in 0..self.members.len() {
            if let Err(reason) = self.members[at].start().await {
                self.stop(&(0..at).rev().collect::<Vec<_>>()).await;
                let failed = &self.members[at];
                // A group has named the child that failed below it.
                return Err(match failed.cell {
                    Some(_) => format!("`{}` did not start: {reason}", failed.path),
                    None => reason,
                });
            }
        }
        Ok(())
    }

    async fn supervise(&mut self, machine: &mut Machine) -> Over {
        loop {
            let next = self.due.iter().map(|due| due.at).min();
            tokio::select! {
                biased;
                control = self.control.recv() => match control {
                    Some(Control::Stop(done)) => {
                        self.stop_all().await;
                        done.send(()).ok();
                        return Over::Stopped;
                    }
                    // It runs already; the parent's books are wrong only if it restarted itself.
                    Some(Control::Start(_, done)) => drop(done.send(Ok(()))),
                    Some(Control::Dismiss | Control::Close) | None => {
                        self.stop_all().await;
                        return Over::Closed;
                    }
                },
                Some(report) = self.reports.recv() => {
                    let current = &self.members[report.member];
                    if !current.running || current.life != report.life {
                        continue;
                    }
                    if self.decide(machine, report).await.is_err() {
                        return Over::Failed;
                    }
                }
                () = at(next) => {
                    if self.start_due(machine).await.is_err() {
                        return Over::Failed;
                    }
                }
            }
        }
    }

    /// Does what follows from a child's end; an error means that the group failed.
    async fn decide(&mut self, machine: &mut Machine, report: Report) -> Result<(), ()> {
        let Report { member, exit, reason, .. } = report;
        let path = Arc::clone(&self.members[member].path);
        match machine.ended(member, exit, Instant::now(), fastrand::f64()) {
            Decision::Remove => {
                tracing::info!(child = &*path, reason, "it ended and is not started again");
                self.members[member].ended(State::Stopped, reason);
                self.members[member].dismiss().await;
                Ok(())
            }
            Decision::Restart { stop, remove, start, after } => {
                tracing::warn!(
                    child = &*path,
                    reason,
                    ?after,
                    "it ended and is started again"
                );
                self.members[member].ended(State::Restarting, reason);
                self.stop(&stop).await;
                for gone in remove {
                    self.members[gone].dismiss().await;
                }
                for due in &mut self.due {
                    due.start.retain(|child| !start.contains(child));
                }
                self.due.push(Due { at: Instant::now() + after, start });
                Ok(())
            }
            Decision::Escalate { stop } => {
                tracing::error!(
                    group = &*self.path,
                    child = &*path,
                    reason,
                    "too many restarts, the group gives up"
                );
                let reason = format!("too many restarts; the last was of `{path}`: {reason}");
                self.members[member].ended(State::Stopped, reason.clone());
                self.due.clear();
                self.stop(&stop).await;
                let report =
                    Report { member: self.member, life: self.life, exit: Exit::Failed, reason };
                self.parent.send(report).await.ok();
                Err(())
            }
        }
    }

    /// Starts the children whose time has come, from left to right.
    async fn start_due(&mut self, machine: &mut Machine) -> Result<(), ()> {
        let now = Instant::now();
        let Some(at) = self.due.iter().position(|due| due.at <= now) else {
            return Ok(());
        };
        let mut start = self.due.swap_remove(at).start.into_iter();
        while let Some(member) = start.next() {
            if self.members[member].running {
                continue;
            }
            if let Err(reason) = self.members[member].start().await {
                // The decision may want those behind it to wait for this one.
                self.due.push(Due { at: now, start: start.collect() });
                let life = self.members[member].life;
                let report = Report { member, life, exit: Exit::Failed, reason };
                return self.decide(machine, report).await;
            }
        }
        Ok(())
    }

    async fn stop(&mut self, members: &[usize]) {
        for &member in members {
            if self.members[member].running {
                self.members[member].stop().await;
            } else {
                self.members[member].live.set(State::Stopped);
            }
        }
    }

    async fn stop_all(&mut self) {
        self.due.clear();
        self.stop(&(0..self.members.len()).rev().collect::<Vec<_>>())
            .await;
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
