use super::{NodeError, intake::Intake};
use crate::{
    actor::{Jobs, Reaction, Report},
    bus::Bus,
    call::Settings,
    supervision::{Group, Member, Soil, plant},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// The thread that hosts a group.
#[derive(Debug)]
pub(crate) enum Site {
    /// The node's own.
    Here,
    /// Another.
    There(actix_rt::ArbiterHandle),
}

/// A group that grows somewhere, as the node holds it.
#[derive(Debug)]
pub(super) struct Plot {
    /// The domains whose commands it answers.
    pub(super) domains: BTreeSet<&'static str>,
    /// The domains whose events it hears.
    pub(super) hears: BTreeSet<&'static str>,
    /// The domains whose jobs it does.
    pub(super) jobs: BTreeSet<Arc<str>>,
    orders: mpsc::Sender<Order>,
}

enum Order {
    Open(oneshot::Sender<Result<(), NodeError>>),
    Close(oneshot::Sender<()>),
}

/// What is planted where it is to grow.
struct Seed {
    group: Group,
    settings: Settings,
    member: usize,
    report: mpsc::Sender<Report>,
    lost: mpsc::Sender<String>,
}

impl Site {
    /// Plants a group on this thread, over a connection of its own, and tells
    /// when that is gone for good.
    pub(super) async fn plant(
        &self,
        group: Group,
        settings: &Settings,
        member: usize,
        (report, lost): (&mpsc::Sender<Report>, &mpsc::Sender<String>),
    ) -> Result<(Member, Plot), NodeError> {
        let seed = Seed {
            group,
            settings: settings.clone(),
            member,
            report: report.clone(),
            lost: lost.clone(),
        };
        let (planted, growing) = oneshot::channel();
        match self {
            Self::Here => drop(tokio::task::spawn_local(tend(seed, None, planted))),
            Self::There(arbiter) => {
                let bus = settings.bus.clone();
                arbiter.spawn_fn(move || {
                    drop(tokio::task::spawn_local(tend(seed, Some(bus), planted)));
                });
            }
        }
        growing
            .await
            .map_err(|_| NodeError::Thread { reason: "ended early".to_owned() })?
    }
}

/// Lives beside a group on its thread, feeds it, and watches its connection.
async fn tend(
    mut seed: Seed,
    reopen: Option<Bus>,
    planted: oneshot::Sender<Result<(Member, Plot), NodeError>>,
) {
    if let Some(bus) = reopen {
        match bus.reopen().await {
            Ok(bus) => seed.settings.bus = bus,
            Err(error) => return drop(planted.send(Err(error.into()))),
        }
    }
    let name = seed.group.name().to_owned();
    let soil = Soil { settings: seed.settings.clone() };
    let plants = plant(seed.group, &soil, seed.member, seed.report);
    let (orders, inbox) = mpsc::channel(2);
    let plot = Plot {
        domains: plants.domains.clone(),
        hears: plants
            .reactions
            .iter()
            .map(|reaction| reaction.domain)
            .collect(),
        jobs: plants
            .jobs
            .iter()
            .map(|jobs| Arc::clone(&jobs.domain))
            .collect(),
        orders,
    };
    if planted.send(Ok((plants.member, plot))).is_err() {
        return;
    }
    let food = (plants.domains, (plants.reactions, plants.jobs));
    let fed = feed(&seed.settings, &name, food, inbox);
    let watched = async {
        let reason = seed.settings.bus.ended().await;
        // A node that was told before, or is closing, has no use for it.
        seed.lost.try_send(reason).ok();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = fed => {}
        () = watched => {}
    }
}

/// Opens and closes what feeds a group, until nobody can ask for it any more.
async fn feed(
    settings: &Settings,
    name: &str,
    food: (BTreeSet<&'static str>, (Vec<Reaction>, Vec<Jobs>)),
    mut inbox: mpsc::Receiver<Order>,
) {
    let mut food = Some(food);
    let mut intake = None;
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Open(done) => {
                let Some((domains, reactions)) = food.take() else {
                    continue;
                };
                let outcome = Intake::open(settings, name, domains, reactions).await;
                done.send(outcome.map(|opened| intake = Some(opened))).ok();
            }
            Order::Close(done) => {
                if let Some(intake) = intake.take() {
                    Intake::close(intake).await;
                }
                done.send(()).ok();
            }
        }
    }
}

impl Plot {
    /// Lets commands and events in.
    pub(super) async fn open(&self) -> Result<(), NodeError> {
        let gone = || NodeError::Thread { reason: "ended early".to_owned() };
        let (done, opened) = oneshot::channel();
        self.orders
            .send(Order::Open(done))
            .await
            .map_err(|_| gone())?;
        opened.await.map_err(|_| gone())?
    }

    /// Lets nothing more in, and returns once events at hand are settled.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            // A plot whose thread is gone lets nothing in.
            closed.await.ok();
        }
    }
}
