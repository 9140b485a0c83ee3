use super::{
    tended::Tended,
    wire::{self, News, Order, Panel, Question, Table},
};
use crate::{
    actor::{Birth, Context},
    bus::{SubscribeError, Subscription},
    call::{Client, Lines, survey},
    error::Failure,
    message::codec,
    policy::{Breaker, Change, Changes, Force, Heard, State},
};
use std::{collections::BTreeSet, rc::Rc, sync::Arc};
use tokio::{sync::watch, task::JoinSet};

/// The actor that tends breakers.
pub(super) struct Desk {
    /// None of them ends before the bus is closed.
    tasks: JoinSet<()>,
}

/// What its tasks share.
struct Post {
    tended: Tended,
    client: Client,
    path: Arc<str>,
}

impl Desk {
    pub(super) async fn open(tended: Tended, birth: Birth) -> Result<Self, Failure> {
        let Birth { client, path, poke } = birth;
        let changes = tended.changes();
        let post = Rc::new(Post { tended, client, path });
        let (bus, namespace) = (post.client.bus(), post.client.namespace());
        let asked = bus.subscribe(&wire::question(namespace), None).await?;
        let ordered = bus.subscribe(&wire::order(namespace), None).await?;
        let opened = bus.subscribe(&wire::opened(namespace), None).await?;
        let mut tasks = JoinSet::new();
        let own = Rc::clone(&post);
        let telling = own.tell(changes.subscribe(), changes);
        tasks.spawn_local(poke.clone().at_end_of(telling));
        let own = Rc::clone(&post);
        tasks.spawn_local(poke.clone().at_end_of(own.answer(asked)));
        let own = Rc::clone(&post);
        tasks.spawn_local(poke.clone().at_end_of(own.heed(ordered)));
        tasks.spawn_local(poke.clone().at_end_of(Rc::clone(&post).hear(opened)));
        if let Some(lines) = post.tended.lines().cloned() {
            let asked = bus.subscribe(&wire::policies(namespace), None).await?;
            let own = Rc::clone(&post);
            let telling = own.show(asked, lines.clone());
            tasks.spawn_local(poke.clone().at_end_of(telling));
            // Heard before anybody calls: no reply is old already when it comes.
            let mut aging = Aging::new(post.client.clone(), lines);
            aging.listen().await?;
            tasks.spawn_local(poke.at_end_of(aging.go_on()));
        }
        Ok(Self { tasks })
    }

    /// Ends the actor if one of its tasks has ended.
    pub(super) async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Failure::crash("nobody tends its breakers any more")),
        }
    }

    pub(super) async fn close(&mut self, _: &Context) -> Result<(), Failure> {
        self.tasks.shutdown().await;
        Ok(())
    }
}

impl Post {
    /// Publishes every change; the sender keeps the way open.
    async fn tell(self: Rc<Self>, mut changed: Heard, _open: Changes) {
        while let Some((breaker, change)) = changed.next().await {
            self.publish(breaker, change).await;
        }
    }

    async fn publish(&self, breaker: &str, change: Change) {
        let subject = wire::news(self.client.namespace(), breaker, change.to);
        let news = News {
            node: self.client.node().to_owned(),
            path: self.path.to_string(),
            breaker: breaker.to_owned(),
            change,
        };
        survey::say(self.client.bus(), subject, &news).await;
    }

    /// Answers what is asked of its breakers.
    async fn answer(self: Rc<Self>, asked: Subscription) {
        let tell = |Question { breaker }| self.panel(breaker.as_deref(), None);
        survey::answer(self.client.bus(), asked, tell).await;
    }

    /// Has its breakers obey an operator.
    async fn heed(self: Rc<Self>, ordered: Subscription) {
        let tell = |order: Order| {
            let Some((breaker, force)) = order.read() else {
                tracing::warn!(
                    "an order to breakers was not obeyed: it has to name a breaker, or say \
                     `all`, and what becomes of it"
                );
                return None;
            };
            let panel = self.panel(breaker.as_deref(), Some(force));
            if let Some(Panel { breakers, .. }) = &panel {
                let forced = breakers.len();
                tracing::info!(breaker, ?force, forced, "an operator forces breakers");
            }
            panel
        };
        survey::answer(self.client.bus(), ordered, tell).await;
    }

    /// Returns how breakers are, once they were forced if they are to be; nothing if it
    /// has none that is meant.
    fn panel(&self, breaker: Option<&str>, force: Option<Force>) -> Option<Panel> {
        let mut breakers = self.tended.breakers();
        if let Some(name) = breaker {
            breakers.retain(|breaker| breaker.name() == name);
            if breakers.is_empty() {
                return None;
            }
        }
        if let Some(force) = force {
            for breaker in &breakers {
                breaker.force(force);
            }
        }
        Some(Panel {
            node: self.client.node().to_owned(),
            path: self.path.to_string(),
            breakers: breakers.iter().map(Breaker::report).collect(),
        })
    }

    /// Tells its breakers of others of their names that opened.
    async fn hear(self: Rc<Self>, mut opened: Subscription) {
        while let Some(message) = opened.next().await {
            let Ok(news) = codec::decode::<News>(&message.payload) else {
                continue;
            };
            let is_own = news.node == self.client.node() && news.path == *self.path;
            let Change { to: State::Open, advised: false, retry_after: Some(time), .. } =
                news.change
            else {
                continue;
            };
            if is_own {
                continue;
            }
            let breakers = self.tended.breakers();
            let same = breakers
                .iter()
                .filter(|breaker| breaker.name() == news.breaker);
            for breaker in same {
                breaker.advise(time);
            }
        }
    }

    /// Tells by which policies the node goes.
    async fn show(self: Rc<Self>, asked: Subscription, lines: Lines) {
        let node = self.client.node().to_owned();
        let tell = |()| [Table { node: node.clone(), policies: lines.table() }];
        survey::answer(self.client.bus(), asked, tell).await;
    }
}

/// Hears the events that make replies old.
struct Aging {
    client: Client,
    lines: Lines,
    again: watch::Receiver<u64>,
    heard: BTreeSet<String>,
    hearing: JoinSet<()>,
}

impl Aging {
    fn new(client: Client, lines: Lines) -> Self {
        let (_, again) = lines.heeded();
        Self { client, lines, again, heard: BTreeSet::new(), hearing: JoinSet::new() }
    }

    /// Begins to hear the domains that are not heard yet.
    async fn listen(&mut self) -> Result<(), SubscribeError> {
        let (domains, again) = self.lines.heeded();
        self.again = again;
        for domain in domains {
            if self.heard.contains(&domain) {
                continue;
            }
            let filter = self.client.namespace().events(&domain);
            let events = self.client.bus().subscribe(&filter, None).await?;
            // What happened before it was heard is not known.
            self.lines.happened(&domain);
            self.heard.insert(domain.clone());
            let following = follow(events, self.lines.clone(), domain);
            self.hearing.spawn_local(following);
        }
        Ok(())
    }

    async fn go_on(mut self) {
        loop {
            tokio::select! {
                changed = self.again.changed() => if changed.is_err() { return },
                Some(_) = self.hearing.join_next() => return,
            }
            if let Err(error) = self.listen().await {
                tracing::error!(%error, "events that make replies old are not heard");
                return;
            }
        }
    }
}

async fn follow(mut events: Subscription, lines: Lines, domain: String) {
    while events.next().await.is_some() {
        lines.happened(&domain);
    }
}
