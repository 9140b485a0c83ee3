use super::{
    checkpoint::Checkpoints,
    copy::Copy,
    lag::Lag,
    reading::{Reading, Source, Step, Trouble},
    wake::Wake,
};
use crate::{
    bus::{Bus, Subscription},
    telemetry::{PROJECTION_LAG_MESSAGES, PROJECTION_LAG_SECONDS},
    time::Clock,
};
use metrics::Gauge;
use std::{
    cell::RefCell,
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How the streams of a bus are followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How often they are looked at although nobody rang.
    look: Duration,
    /// From how many messages in one round on there is a pause.
    flood: u64,
}

/// No word gets lost, and a look costs next to nothing.
const IN_PROCESS: Pace = Pace { look: Duration::from_hours(24), flood: 256 };

/// Word of an event gets lost while a connection is down, and a look costs a
/// few round trips.
const REMOTE: Pace = Pace { look: Duration::from_secs(5), flood: 2 };

/// How often news that were heard of are looked for, after 2 ms, 4 ms and so on
/// up to a minute. A bell rings when an event is on its way; it can be read a
/// little later, or never if it was refused.
const ECHOES: u32 = 16;
/// How long the pause is between looks that find several messages: reading many
/// at once is cheaper. Who asks for a look ends it.
const PAUSE: Duration = Duration::from_millis(10);
/// After what time a look takes long: its stream may be out of reach.
const LONG: Duration = Duration::from_secs(1);

/// The live copy of a model, as its follower and its desk see it.
pub(super) struct Shared<S> {
    pub(super) copy: RefCell<Copy<S>>,
    pub(super) wake: Wake,
    trouble: RefCell<Option<String>>,
}

impl<S> Shared<S> {
    pub(super) fn new(copy: Copy<S>, streams: usize) -> Rc<Self> {
        Rc::new(Self {
            copy: RefCell::new(copy),
            wake: Wake::new(streams),
            trouble: RefCell::default(),
        })
    }

    /// Says that the model is not to be used any more.
    pub(super) fn lose(&self, reason: &str) {
        let reason = format!("its model is lost: {reason}");
        self.trouble.borrow_mut().get_or_insert(reason);
        self.wake.end();
    }

    /// Waits for the look of this number, at most so long.
    pub(super) async fn until(&self, look: u64, limit: Duration, path: &str) {
        if timeout(limit, self.wake.wait(look)).await.is_err() {
            let limit = humantime::format_duration(limit);
            tracing::warn!(child = path, %limit, "the model is not as new as its streams in time");
        }
    }

    /// Returns why the model is not to be used any more, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }
}

/// Rings whenever an event goes to a stream, until the bus is closed.
pub(super) async fn ring<S>(mut events: Subscription, shared: Rc<Shared<S>>, stream: usize) {
    while events.next().await.is_some() {
        shared.wake.ring(stream);
    }
}

/// Takes what comes into the live copy.
pub(super) struct Follower<S> {
    pub(super) reading: Rc<Reading<S>>,
    pub(super) shared: Rc<Shared<S>>,
    pub(super) sources: Rc<[Source]>,
    pub(super) checkpoints: Option<Rc<Checkpoints<S>>>,
    pub(super) clock: Clock,
    pub(super) pace: Pace,
    pub(super) gauges: Vec<(Gauge, Gauge)>,
}

/// What the follower makes of its last rounds.
#[derive(Default)]
struct Rhythm {
    /// Whether all streams were read once.
    is_up: bool,
    /// Whether so much came in the last round that the next can wait a little.
    floods: bool,
    /// Looks in a row that found nothing of what was heard.
    echoes: u32,
    /// Rounds in a row in which something failed.
    failures: u32,
}

impl<S: 'static> Follower<S> {
    /// Follows until the model is not to be used any more.
    pub(super) async fn run(self) {
        let reason = self.follow().await;
        self.shared.lose(&reason);
    }

    async fn follow(&self) -> String {
        let mut rhythm = Rhythm::default();
        let mut look = Instant::now() + self.pace.look;
        loop {
            let wake = &self.shared.wake;
            let asked = wake.asked();
            match self.round(&mut rhythm).await {
                Err(reason) => return reason,
                Ok(true) => {
                    if !rhythm.is_up {
                        wake.begin();
                        rhythm.is_up = true;
                    }
                    wake.looked(asked);
                }
                Ok(false) => {}
            }
            self.tell();
            if rhythm.floods {
                timeout(PAUSE, wake.asked_again()).await.ok();
            }
            let until = rhythm.next(wake, look);
            tokio::select! {
                () = wake.rung() => {}
                () = sleep_until(until) => {}
            }
            if Instant::now() >= look {
                look = Instant::now() + self.pace.look;
                wake.settle();
                wake.look_again();
            }
        }
    }

    /// Looks at the streams that are due; returns whether all could be read.
    async fn round(&self, rhythm: &mut Rhythm) -> Result<bool, String> {
        let (mut all, mut found) = (true, 0);
        for (at, source) in self.sources.iter().enumerate() {
            if !self.shared.wake.take_due(at) {
                continue;
            }
            match self.look_patiently(source).await {
                Ok(messages) => {
                    self.shared.wake.found(at, messages);
                    found += messages;
                }
                Err(Trouble::Lasting(reason)) => return Err(reason),
                Err(Trouble::Passing(failure)) => {
                    self.stalled(source, rhythm.failures == 0, &failure.to_string());
                    self.shared.wake.set_due(at);
                    all = false;
                }
            }
        }
        rhythm.failures = if all { 0 } else { rhythm.failures + 1 };
        if found > 0 {
            rhythm.echoes = 0;
        }
        rhythm.floods = found >= self.pace.flood;
        Ok(all)
    }

    /// Looks at a stream; if that takes long, the model grows old meanwhile.
    async fn look_patiently(&self, source: &Source) -> Result<u64, Trouble> {
        let mut look = pin!(self.look(source));
        tokio::select! {
            biased;
            found = &mut look => return found,
            () = sleep(LONG) => {}
        }
        let now = self.clock.now();
        self.shared.copy.borrow_mut().stalls(source.domain, now);
        self.tell();
        look.await
    }

    /// Takes in what a stream holds, and returns how many messages that were.
    async fn look(&self, source: &Source) -> Result<u64, Trouble> {
        let mut found = 0;
        loop {
            let mut news = self.reading.news(source, &self.shared.copy).await?;
            let step = loop {
                let step = self.reading.step(&mut news, &self.shared.copy).await?;
                if step != Step::More {
                    break step;
                }
                self.tell();
                if let Some(checkpoints) = &self.checkpoints {
                    checkpoints.write_if_due(&self.shared.copy).await;
                }
            };
            found += news.found;
            if step == Step::End {
                return Ok(found);
            }
        }
    }

    fn stalled(&self, source: &Source, news: bool, reason: &str) {
        let (child, domain) = (&*self.reading.path, source.domain);
        self.shared
            .copy
            .borrow_mut()
            .stalls(domain, self.clock.now());
        if news {
            tracing::warn!(child, domain, reason, "the model stands still");
        } else {
            tracing::debug!(child, domain, reason, "the model still stands still");
        }
    }

    /// Says how far the copy is behind.
    fn tell(&self) {
        let (copy, now) = (self.shared.copy.borrow(), self.clock.now());
        let mut all = Lag::default();
        for (source, (messages, seconds)) in self.sources.iter().zip(&self.gauges) {
            let lag = copy.lag_of(source.domain, now);
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            messages.set(lag.messages as f64);
            seconds.set(lag.age.as_secs_f64());
            all = all.and(lag);
        }
        self.reading.plan.lag.store(all.messages, Relaxed);
    }
}

impl Rhythm {
    /// Returns when to go on if nobody rings before.
    fn next(&mut self, wake: &Wake, look: Instant) -> Instant {
        let soon = |step: u32| Instant::now() + Duration::from_millis(1 << step);
        if self.failures > 0 {
            return soon(12.min(self.failures + 5));
        }
        if !wake.expects_more() {
            self.echoes = 0;
            return look;
        }
        self.echoes += 1;
        if self.echoes > ECHOES {
            self.echoes = 0;
            wake.settle();
            return look;
        }
        soon(self.echoes).min(look)
    }
}

impl Pace {
    pub(super) const fn of(bus: &Bus) -> Self {
        if bus.is_in_process() {
            IN_PROCESS
        } else {
            REMOTE
        }
    }
}

/// Makes the gauges of each stream's lag.
pub(super) fn gauges(path: &Arc<str>, sources: &[Source]) -> Vec<(Gauge, Gauge)> {
    let gauges = |source: &Source| {
        let (child, domain) = (path.to_string(), source.domain);
        (
            metrics::gauge!(PROJECTION_LAG_MESSAGES, "child" => child.clone(), "domain" => domain),
            metrics::gauge!(PROJECTION_LAG_SECONDS, "child" => child, "domain" => domain),
        )
    };
    sources.iter().map(gauges).collect()
}
