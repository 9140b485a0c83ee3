use super::{Instance, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// How many services.
    pub services: usize,
    /// How many instances of them.
    pub instances: usize,
    /// How many of these are healthy.
    pub healthy: usize,
    /// The same for each service.
    pub by_service: BTreeMap<String, Count>,
}

/// How many instances a service has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// All of them.
    pub instances: usize,
    /// Those that are healthy.
    pub healthy: usize,
    /// Those that are there and not healthy.
    pub unhealthy: usize,
}

impl Statistics {
    pub(crate) fn of<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Self {
        let mut statistics = Self::default();
        for instance in instances {
            let name = instance.service().name.clone();
            let count = statistics.by_service.entry(name).or_default();
            let healthy = usize::from(instance.service().status == Status::Healthy);
            count.instances += 1;
            count.healthy += healthy;
            count.unhealthy += 1 - healthy;
            statistics.instances += 1;
            statistics.healthy += healthy;
        }
        statistics.services = statistics.by_service.len();
        statistics
    }
}
