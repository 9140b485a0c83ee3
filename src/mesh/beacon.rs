use super::Mesh;
use crate::{
    actor::{Actor, Context},
    error::Failure,
};

/// Says again and again that the node lives, and what has changed of it.
#[derive(Debug)]
pub(super) struct Beacon(Mesh);

impl Beacon {
    pub(super) fn actor(mesh: &Mesh) -> Actor<Self> {
        let (mesh, every) = (mesh.clone(), mesh.0.pace.heartbeat);
        Actor::new("beacon", async move || Self::light(mesh.clone()).await).every(every, Self::beat)
    }

    async fn light(mesh: Mesh) -> Result<Self, Failure> {
        // One that was started anew may have been silent for a while.
        mesh.beat().await;
        mesh.refresh().await;
        Ok(Self(mesh))
    }

    async fn beat(&mut self, _: &Context) -> Result<(), Failure> {
        self.0.beat().await;
        self.0.refresh().await;
        Ok(())
    }
}
