use super::{say, script::Script, tally::Tally};
use callboard::{
    CallError, Client, Command,
    error::BoxError,
    message::{Id, Reply},
};
use schemas::{OrderId, orders::PlaceOrder};
use std::{
    io::{Write, stdout},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How many orders are being placed at once.
const HANDS: usize = 32;

/// How long nothing may happen before the rest is given up: longer than it
/// takes until what a killed node held comes again.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often to look what has happened.
const GLANCE: Duration = Duration::from_millis(20);

/// Places many orders at once, waits until all have ended and their customers
/// know, and tells the sums.
pub(crate) async fn rush(client: &Client, count: u32, replicas: usize) -> Result<(), BoxError> {
    say(format_args!("bus        {}", client.bus()))?;
    let script = Script::new();
    let orders = script.many(client, count).await?;
    let ids = orders.iter().map(|place| place.order.clone()).collect();
    let mut tally = Tally::begin(client, replicas, ids).await?;
    let started = Instant::now();
    let mut placing = place(client, &orders);
    let mut gauge = Gauge::new(count as usize)?;
    let mut deadline = started + PATIENCE;
    while tally.missing() > 0 {
        let looked = tally.look().await;
        if matches!(looked, Ok(true)) {
            deadline = Instant::now() + PATIENCE;
            gauge.show(tally.missing())?;
        }
        while let Some(placed) = placing.try_join_next() {
            placed??;
        }
        if Instant::now() >= deadline {
            // A server may be away for a while, but not for so long.
            looked?;
            return Err(overdue(&tally).into());
        }
        sleep(GLANCE).await;
    }
    let took = started.elapsed().as_secs_f64();
    let rate = f64::from(count) / took;
    let Tally { confirmed, declined, out_of_stock, .. } = tally;
    let called_off = match tally.called_off {
        0 => String::new(),
        orders => format!("{orders} called off, "),
    };
    say(format_args!(
        "\n{count} orders ended in {took:.2} s, {rate:.0}/s: {confirmed} confirmed, {called_off}\
         {declined} declined, {out_of_stock} out of stock"
    ))
}

/// Places orders side by side.
fn place(client: &Client, orders: &[PlaceOrder]) -> JoinSet<Result<(), BoxError>> {
    let mut hands = JoinSet::new();
    let share = orders.len().div_ceil(HANDS);
    for orders in orders.chunks(share) {
        let (client, orders) = (client.clone(), orders.to_vec());
        hands.spawn(async move {
            for order in orders {
                insist(&client, order).await?;
            }
            Ok(())
        });
    }
    hands
}

/// Sends a command again, with the same id, for as long as nobody can answer it.
pub(super) async fn insist<C: Command + Clone>(
    client: &Client,
    command: C,
) -> Result<Reply<C>, BoxError> {
    let (id, deadline) = (Id::new(), Instant::now() + PATIENCE);
    loop {
        match client.call(command.clone()).id(id.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(
                CallError::NoResponders { .. }
                | CallError::Timeout { .. }
                | CallError::DeadlinePassed { .. }
                | CallError::Unavailable { .. }
                | CallError::Failed { .. },
            ) if Instant::now() < deadline => sleep(GLANCE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// One line that grows with every tenth of the orders.
struct Gauge {
    count: usize,
    tenths: usize,
}

impl Gauge {
    fn new(count: usize) -> Result<Self, BoxError> {
        write!(stdout().lock(), "ended     ")?;
        stdout().flush()?;
        Ok(Self { count, tenths: 0 })
    }

    fn show(&mut self, missing: usize) -> Result<(), BoxError> {
        let tenths = (self.count - missing) * 10 / self.count;
        let mut out = stdout().lock();
        while self.tenths < tenths {
            self.tenths += 1;
            write!(out, " {}0 %", self.tenths)?;
        }
        Ok(out.flush()?)
    }
}

fn overdue(tally: &Tally) -> String {
    let some: Vec<_> = tally
        .missing_orders()
        .take(5)
        .map(OrderId::as_str)
        .collect();
    format!(
        "nothing happened for {PATIENCE:?}, and {} orders have not ended, such as {}; do all six groups run in \
         this namespace?",
        tally.missing(),
        some.join(", ")
    )
}
