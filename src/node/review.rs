use super::{NodeError, operation::Setup};
use crate::{actor::Review, call::Client, supervision::Group};
use std::fmt;

/// A live saga that could not go on with this program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StrandedSaga {
    /// The name of its kind, such as `checkout`.
    pub saga: &'static str,
    /// Its id.
    pub id: String,
    /// Why it would be parked.
    pub reason: String,
}

impl fmt::Display for StrandedSaga {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { saga, id, reason } = self;
        write!(f, "{saga} {id}: {reason}")
    }
}

/// Runs the code of all sagas over the journals of those that live.
pub(super) async fn review(setup: Setup) -> Result<Vec<StrandedSaga>, NodeError> {
    let Setup { bus, namespace, groups, replicas, .. } = setup;
    let client = Client::new(bus, namespace).replicas(replicas);
    let mut stranded = Vec::new();
    for (saga, review) in groups.iter().flat_map(reviews) {
        let found = review(client.clone()).await;
        let found = found.map_err(|reason| NodeError::Review { saga, reason })?;
        let found = found.into_iter();
        stranded.extend(found.map(|(id, reason)| StrandedSaga { saga, id, reason }));
    }
    Ok(stranded)
}

fn reviews(group: &Group) -> impl Iterator<Item = (&'static str, Review)> {
    let sagas = group.needs().sagas.into_iter();
    sagas.map(|(name, needs)| (name, needs.review))
}
