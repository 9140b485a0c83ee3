use super::{
    host::{Control, Host, Report},
    inbox::{Gauge, Inbox, Mail},
    meter::Meter,
};
use crate::call::Client;
use actix::{ActorContext, ActorFutureExt, AsyncContext, WrapFuture};
use futures_util::future::LocalBoxFuture;
use std::{
    sync::Arc,
    task::{Context as Poller, Poll, Waker},
};
use tokio::sync::mpsc;

/// How many messages a cell handles before its neighbours on the arbiter get a turn.
const BUDGET: u32 = 256;

/// The actix actor that hosts an actor's state.
///
/// actix gives it a mailbox, a place on an arbiter, and stillness of the
/// mailbox while a turn waits. The host moves into each turn and back.
pub(super) struct Cell<A: 'static> {
    host: Option<Box<Host<A>>>,
    turns: u32,
}

/// Where a cell takes its place: what it needs from its supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) client: Client,
    pub(crate) path: Arc<str>,
    /// The path of the actor, of which it may be one instance.
    pub(crate) actor: Arc<str>,
    pub(crate) member: usize,
    pub(crate) report: mpsc::Sender<Report>,
}

/// A cell as its supervisor holds it.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) inbox: Inbox,
    pub(crate) control: mpsc::Sender<Control>,
}

/// Starts a cell on this thread's arbiter; it waits for [`Control::Start`].
pub(super) fn spawn<A: 'static>(
    plan: &Arc<super::host::Plan<A>>,
    seat: Seat,
    mailbox: usize,
) -> Hosted {
    let gauge = Arc::new(Gauge::new(Arc::clone(&seat.path), mailbox));
    let (control, orders) = mpsc::channel(4);
    let meters = plan.routes.iter();
    let traffic = seat.client.ways().traffic.clone();
    let host = Host {
        plan: Arc::clone(plan),
        meters: meters
            .map(|(subject, _)| Arc::new(Meter::new(&seat.path, subject, traffic.tally(subject))))
            .collect(),
        state: None,
        client: seat.client,
        path: seat.path,
        actor: seat.actor,
        gauge: Arc::clone(&gauge),
        inbox: None,
        control: orders,
        report: seat.report,
        member: seat.member,
        life: 0,
        closed: false,
        now: None,
    };
    let cell = Cell { host: Some(Box::new(host)), turns: 0 };
    let address = actix::Actor::start(cell).recipient();
    Hosted { inbox: Inbox::new(gauge, address), control }
}

impl<A: 'static> actix::Actor for Cell<A> {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(host) = &mut self.host {
            let gauge = Arc::clone(&host.gauge);
            host.inbox = Some(Inbox::new(gauge, ctx.address().recipient()));
        }
        self.park(ctx);
    }
}

impl<A: 'static> actix::Handler<Mail> for Cell<A> {
    type Result = ();

    fn handle(&mut self, mail: Mail, ctx: &mut Self::Context) {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(BUDGET) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
            if let Some(host) = &mut self.host {
                host.now = None;
            }
        }
        match mail {
            Mail::Parcel(parcel) => {
                let mut host = self.take();
                self.turn(
                    ctx,
                    Box::pin(async move {
                        host.deliver(parcel).await;
                        host
                    }),
                );
            }
            Mail::Wake => self.park(ctx),
            Mail::End => ctx.stop(),
        }
    }
}

impl<A: 'static> Cell<A> {
    fn take(&mut self) -> Box<Host<A>> {
        self.host
            .take()
            .expect("the mailbox stands still during a turn")
    }

    fn park(&mut self, ctx: &mut actix::Context<Self>) {
        let mut host = self.take();
        self.turn(
            ctx,
            Box::pin(async move {
                if host.interrupted() {
                    host.park().await;
                }
                host
            }),
        );
    }

    /// Runs a turn: most end at the first poll, the others hold the mailbox.
    fn turn(
        &mut self,
        ctx: &mut actix::Context<Self>,
        mut turn: LocalBoxFuture<'static, Box<Host<A>>>,
    ) {
        match turn.as_mut().poll(&mut Poller::from_waker(Waker::noop())) {
            Poll::Ready(host) => self.host = Some(host),
            Poll::Pending => {
                ctx.wait(
                    turn.into_actor(self)
                        .map(|host, cell, _| cell.host = Some(host)),
                );
            }
        }
    }
}
