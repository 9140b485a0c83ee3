use super::{
    Mesh,
    card::{Own, lock},
};
use crate::{
    actor::{Actor, Context, guarded},
    error::Failure,
    supervision::Check,
};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

/// How long a group's own check may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many restarts between two looks mean that a group is not well.
const RESTARTS: u64 = 3;

/// How many characters of its reason are told.
const LONGEST: usize = 400;

/// Looks whether the groups can work.
#[derive(Debug)]
pub(super) struct Health(Mesh);

impl Health {
    pub(super) fn actor(mesh: &Mesh) -> Actor<Self> {
        let (mesh, every) = (mesh.clone(), mesh.0.pace.checks);
        Actor::new("health", async move || Ok(Self(mesh.clone()))).every(every, Self::look)
    }

    async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        self.0.look(PATIENCE).await;
        self.0.refresh().await;
        Ok(())
    }
}

impl Mesh {
    /// Runs all checks, each for so long at most.
    pub(crate) async fn look(&self, patience: Duration) {
        let impairment = self.0.bus.impairment();
        let looks = self.0.groups.iter();
        join_all(looks.map(|own| own.look(patience, impairment.clone()))).await;
    }
}

impl Own {
    /// Looks how the group is; without its streams it cannot be well.
    async fn look(&self, patience: Duration, impairment: Option<String>) {
        let restarts = self.count_restarts();
        let mut found = (restarts >= RESTARTS)
            .then(|| format!("its actors were started again {restarts} times since the last look"));
        let checks = self.about.checks.iter().map(|check| run(check, patience));
        let failed = join_all(checks).await.into_iter().flatten().next();
        if let Some((name, reason)) = failed {
            found = Some(format!("{name}: {reason}"));
        }
        let found = impairment.or(found);
        let before = std::mem::replace(&mut *lock(&self.found), found.clone());
        match (before, found) {
            (None, Some(reason)) => {
                tracing::warn!(group = self.name, reason, "the group is not healthy");
            }
            (Some(_), None) => tracing::info!(group = self.name, "the group is healthy again"),
            _ => {}
        }
    }
}

/// Runs one check; returns its name and why it failed, if it did.
async fn run(check: &Check, patience: Duration) -> Option<(&str, String)> {
    // What a user wrote may panic before it is awaited as well.
    let look = guarded(async { (check.look)().await });
    let reason = match timeout(patience, look).await {
        Ok(Ok(Ok(()))) => return None,
        Ok(Ok(Err(reason)) | Err(reason)) => reason.chars().take(LONGEST).collect(),
        Err(_) => format!("no answer within {}", humantime::format_duration(patience)),
    };
    Some((&check.name, reason))
}
