use super::{news::News, progress::Progress, say};
use callboard::{
    Client, Command,
    bus::{Message, Subscription},
    error::BoxError,
    message::{Envelope, Id, Origin, Reply},
};
use schemas::{OrderId, orders::PlaceOrder};
use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout_at};

/// How long all orders may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints what follows from the demo's commands, and knows what is still open.
#[derive(Debug)]
pub(super) struct Watch {
    events: Subscription,
    started: Instant,
    /// The demo's own commands: their ids are on everything that follows.
    stories: HashSet<Id>,
    heard: HashSet<Id>,
    orders: BTreeMap<OrderId, Progress>,
}

impl Watch {
    pub(super) async fn open(client: &Client) -> Result<Self, BoxError> {
        let all = format!("{}.evt.*.*", client.namespace());
        Ok(Self {
            events: client.bus().subscribe(&all, None).await?,
            started: Instant::now(),
            stories: HashSet::new(),
            heard: HashSet::new(),
            orders: BTreeMap::new(),
        })
    }

    /// Sends a command and follows its story.
    pub(super) async fn send<C: Command>(
        &mut self,
        client: &Client,
        command: C,
    ) -> Result<Reply<C>, BoxError> {
        let id = Id::new();
        self.stories.insert(id.clone());
        let mut call = std::pin::pin!(client.call(command).id(id).into_future());
        loop {
            tokio::select! {
                biased;
                Some(message) = self.events.next() => self.hear(&message)?,
                reply = &mut call => return Ok(reply?),
            }
        }
    }

    /// Places an order and remembers that it must end.
    pub(super) async fn place(
        &mut self,
        client: &Client,
        place: PlaceOrder,
    ) -> Result<(), BoxError> {
        let progress = Progress::of(place.lines.len());
        self.orders.insert(place.order.clone(), progress);
        self.send(client, place).await?;
        Ok(())
    }

    /// Waits until every order has ended and its customer knows.
    pub(super) async fn until_ended(&mut self) -> Result<(), BoxError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.orders.values().all(|order| order.is_over()) {
            let Ok(next) = timeout_at(deadline, self.events.next()).await else {
                return Err(self.overdue().into());
            };
            let message = next.ok_or("the bus was closed before all orders had ended")?;
            self.hear(&message)?;
        }
        Ok(())
    }

    /// Returns the orders that were placed.
    pub(super) fn orders(&self) -> impl Iterator<Item = &OrderId> {
        self.orders.keys()
    }

    fn hear(&mut self, message: &Message) -> Result<(), BoxError> {
        let origin = Origin {
            stream: "",
            sequence: 0,
            subject: &message.subject,
            time: SystemTime::UNIX_EPOCH,
        };
        let Ok(event) = Envelope::read(&message.headers, origin, message.payload.clone()) else {
            return Ok(());
        };
        // What is published twice is stored once, but heard here as it passes.
        if !self.stories.contains(&event.correlation) || !self.heard.insert(event.id.clone()) {
            return Ok(());
        }
        let news = News::of(&event);
        if let Some((order, settled)) = news.settles
            && let Some(progress) = self.orders.get_mut(&order)
        {
            progress.settle(settled);
        }
        let Some(text) = news.text else { return Ok(()) };
        let at = self.started.elapsed().as_secs_f64();
        say(format_args!("  {at:6.3} s  {:<20} {text}", event.kind))
    }

    fn overdue(&self) -> String {
        let late: Vec<_> = self
            .orders
            .iter()
            .filter(|(_, progress)| !progress.is_over())
            .map(|(order, _)| order.as_str())
            .collect();
        format!(
            "after {PATIENCE:?} these orders had not ended: {}; do all six groups run in this namespace?",
            late.join(", ")
        )
    }
}
