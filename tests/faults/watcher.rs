//! Hears which instances are left out, and reads what is counted of them.

use crate::support::way::Way;
use callboard::{
    message::codec,
    route::News,
    telemetry::{EJECTED_TOTAL, RESTORED_TOTAL},
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tokio::{task::JoinSet, time::Instant};

/// The metrics of this process.
static METRICS: OnceLock<Snapshotter> = OnceLock::new();

pub(crate) struct Watcher {
    news: Arc<Mutex<Vec<(Instant, News)>>>,
    _hearing: JoinSet<()>,
}

impl Watcher {
    pub(crate) async fn open(way: &Way) -> Result<Self, Box<dyn Error>> {
        // What others counted is read, and with that gone.
        counted();
        let subject = way.names().system("node.routes.news");
        let mut told = way.bus.subscribe(&subject, None).await?;
        let news = Arc::<Mutex<Vec<_>>>::default();
        let (mut hearing, heard) = (JoinSet::new(), Arc::clone(&news));
        hearing.spawn(async move {
            while let Some(message) = told.next().await {
                let news: News = codec::decode(&message.payload).expect("news can be read");
                lock(&heard).push((Instant::now(), news));
            }
        });
        Ok(Self { news, _hearing: hearing })
    }

    /// Returns when who was left out since a moment.
    pub(crate) fn ejected(&self, since: Instant) -> Vec<(Instant, String)> {
        self.heard(since, |news| news.ejected_ms.is_some())
    }

    /// Returns when who was trusted again since a moment.
    pub(crate) fn restored(&self, since: Instant) -> Vec<(Instant, String)> {
        self.heard(since, |news| news.ejected_ms.is_none())
    }

    /// Returns how many were left out and trusted again.
    pub(crate) fn told(&self) -> [u64; 2] {
        let news = lock(&self.news);
        news.iter()
            .fold([0; 2], |[out, back], (_, news)| match news.ejected_ms {
                Some(_) => [out + 1, back],
                None => [out, back + 1],
            })
    }

    fn heard(&self, since: Instant, wanted: impl Fn(&News) -> bool) -> Vec<(Instant, String)> {
        lock(&self.news)
            .iter()
            .filter(|(at, news)| *at >= since && wanted(news))
            .map(|(at, news)| (*at, news.instance.clone()))
            .collect()
    }
}

/// Returns how many were left out and trusted again, as counted since the last look.
pub(crate) fn counted() -> [u64; 2] {
    let snapshotter = METRICS.get_or_init(|| {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        recorder.install().expect("no other is installed");
        snapshotter
    });
    let mut counts = [0; 2];
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let at = match key.key().name() {
            EJECTED_TOTAL => 0,
            RESTORED_TOTAL => 1,
            _ => continue,
        };
        if let DebugValue::Counter(count) = value {
            counts[at] += count;
        }
    }
    counts
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
