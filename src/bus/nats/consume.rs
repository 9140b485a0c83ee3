use super::{
    ack::Acker,
    api::Nothing,
    durable::{progress, unavailable},
    link::Link,
    mend::{Floor, LOOK_WITHIN, Mended, Mending, Source, is_ours},
    place::Place,
    pull::{Plan, Pull, Trouble},
    release::{AFTER_US, again},
    streams::Stream,
};
use crate::{
    bus::{ConsumerConfig, ConsumerError, Delivery, Progress, consumer},
    telemetry,
};
use async_nats::{
    Subject,
    jetstream::consumer::{Info, pull},
};
use metrics::counter;
use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

/// How long after a delivery it is asked what is acknowledged: more than that does
/// not come again when a consumer is deleted.
const FLOOR_INTERVAL: Duration = Duration::from_secs(2);

/// A handle to a durable consumer; it mends itself.
#[derive(Debug)]
pub(in crate::bus) struct Consumer {
    source: Source,
    pull: Pull,
    trouble: Option<Trouble>,
    /// What is being done about the trouble.
    mending: Option<Mending>,
    failures: u32,
    /// Where the last message returned is acknowledged.
    last: Option<Subject>,
    /// The place among the deliveries of what came here last, and as whom.
    turn: (u64, Option<String>),
    /// Whether another handle may have all that came here.
    pub(super) stale: bool,
}

impl Consumer {
    pub(super) fn new(
        stream: &Stream,
        config: &ConsumerConfig,
        wanted: pull::Config,
        (plan, pull): (Plan, Pull),
        info: &Info,
    ) -> Self {
        let (stream, config) = (stream.clone(), config.clone());
        let floor = Arc::new(Floor::at(info.ack_floor.stream_sequence));
        Self {
            source: Source { stream, config, wanted, plan, floor },
            pull,
            trouble: None,
            mending: None,
            failures: 0,
            last: None,
            turn: (u64::MAX - 1, None),
            stale: false,
        }
    }

    /// Returns the connection over which its messages come, and go words on them.
    pub(super) const fn link(&self) -> &Link {
        self.pull.link()
    }

    pub(super) const fn last(&self) -> Option<&Subject> {
        self.last.as_ref()
    }

    pub(super) const fn pull(&mut self) -> &mut Pull {
        &mut self.pull
    }

    /// Returns where the server is asked to let another handle be the pinned one.
    pub(super) fn unpin_subject(&self) -> String {
        let (stream, name) = (self.source.stream.name(), &self.source.config.name);
        format!("$JS.API.CONSUMER.UNPIN.{stream}.{name}")
    }

    pub(in crate::bus) async fn next(&mut self) -> Result<Delivery, ConsumerError> {
        loop {
            if let Some(trouble) = self.trouble.clone() {
                self.mend(trouble).await?;
                self.trouble = None;
            }
            match self.pull.next().await {
                Ok(message) => {
                    self.failures = 0;
                    if let Some(delivery) = self.delivery(message) {
                        return Ok(delivery);
                    }
                }
                Err(trouble) => self.trouble = Some(trouble),
            }
        }
    }

    fn delivery(&mut self, mut message: async_nats::Message) -> Option<Delivery> {
        let place = Place::of(&message)?;
        let reply = message.reply.take()?;
        self.last = Some(reply.clone());
        self.refresh_floor();
        let acker = Acker::new(self.link().clone(), reply);
        let stored = self.source.stream.delivered(message, place);
        let acker = consumer::Acker::Nats(acker);
        let resumed = self.resumes(place.turn);
        let delivery = Delivery::new(stored, place.attempt, place.pending, acker);
        Some(delivery.at(place.turn, resumed))
    }

    /// Asks soon after a delivery, beside the reading, what is acknowledged: a
    /// consumer that is deleted begins there again.
    fn refresh_floor(&self) {
        let Source { stream, config, floor, .. } = &self.source;
        if floor.asking.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (link, floor) = (stream.link().clone(), Arc::downgrade(floor));
        let subject = format!("CONSUMER.INFO.{}.{}", stream.name(), config.name);
        drop(runtime.spawn(async move {
            sleep(FLOOR_INTERVAL).await;
            let info = link.ask::<Info>(subject, &Nothing {}).await;
            if let Some(floor) = floor.upgrade() {
                floor.asking.store(false, Ordering::Relaxed);
                if let Ok(info) = info {
                    floor.raise(info.ack_floor.stream_sequence);
                }
            }
        }));
    }

    /// Whether others may have been served since what came here last.
    fn resumes(&mut self, turn: u64) -> bool {
        let (last, pin) = &mut self.turn;
        let resumed = turn != *last + 1 || pin.as_deref() != self.pull.pin();
        if resumed {
            *pin = self.pull.pin().map(str::to_owned);
        }
        *last = turn;
        resumed
    }

    pub(in crate::bus) fn progress(
        &self,
    ) -> impl Future<Output = Result<Progress, ConsumerError>> + Send + use<> {
        let (stream, config) = (self.source.stream.clone(), self.source.config.clone());
        let floor = Arc::clone(&self.source.floor);
        let pin = self.pull.pin().map(str::to_owned);
        // It is asked where messages come: another connection may be back later.
        let link = self.link().clone();
        async move {
            let subject = format!("CONSUMER.INFO.{}.{}", stream.name(), config.name);
            let asking = link.ask::<Info>(subject, &Nothing {});
            let info = match timeout(LOOK_WITHIN * 2, asking).await {
                Ok(Ok(info)) => info,
                Ok(Err(error)) => return Err(unavailable(&config, error.to_string())),
                Err(_) => return Err(unavailable(&config, "no answer".into())),
            };
            floor.raise(info.ack_floor.stream_sequence);
            Ok(progress(&info, is_ours(&info, pin.as_deref())))
        }
    }

    /// Builds the pull again, and the consumer too if it is gone.
    async fn mend(&mut self, trouble: Trouble) -> Result<(), ConsumerError> {
        let begin = || {
            let pin = self.pull.pin().map(str::to_owned);
            self.source.mend(trouble.clone(), pin, self.failures)
        };
        let mending = self.mending.get_or_insert_with(begin);
        let Mended { failures, pull } = mending.ended().await;
        (self.mending, self.failures) = (None, failures);
        let Some(pull) = pull? else {
            return Ok(());
        };
        let pin = self.pull.pin().map(str::to_owned);
        let mut old = mem::replace(&mut self.pull, pull.pinned_as(pin));
        let leftovers = again(old.leftovers(), AFTER_US);
        old.link().send_later(leftovers);
        counter!(telemetry::REBUILT_TOTAL, "reason" => trouble.label()).increment(1);
        let (stream, name) = (self.source.stream.name(), &self.source.config.name);
        tracing::warn!(
            stream,
            consumer = name,
            ?trouble,
            "the consumer was built again"
        );
        Ok(())
    }
}
