//! What holds for stock and payments, whatever is asked for in whatever order.

mod audit;

use audit::{Money, Stock, events, only};
use callboard::{
    Bus, Client, Command, Node, NodeError, Running,
    error::BoxError,
    message::{Envelope, Id},
};
use schemas::{
    Cents, Line, OrderId,
    inventory::{GetStock, Release, Reserve, StockRequested},
    orders::OrderConfirmed,
    payments::{Bill, Charge, PaymentBilled, PaymentVoided, Refund, Void},
};
use shop::groups::{Name, Settings};
use std::time::Duration;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const LIMIT: Cents = Cents(500);
const PRODUCTS: [&str; 3] = ["jam", "pot", "tea"];
const STOCKED: u32 = 50;
const ORDERS: u32 = 60;

/// The next of a fixed row of numbers that look random (xorshift).
struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }

    fn order(&mut self) -> OrderId {
        OrderId::new(format!("o-{}", self.below(ORDERS)))
    }

    fn lines(&mut self) -> Vec<Line> {
        let count = 1 + self.below(3);
        let line = |_| {
            let product = PRODUCTS[self.below(3) as usize];
            Line::new(product, 1 + self.below(6))
        };
        (0..count).map(line).collect()
    }
}

async fn start(name: &str, bus: &Bus) -> Result<Running, NodeError> {
    Node::new(name, bus.clone())
        .namespace("shop")
        .group(Name::Inventory.group(&Settings::limit(LIMIT)))
        .group(Name::Payments.group(&Settings::limit(LIMIT)))
        .start()
        .await
}

/// Sends a command under an id that others use for the same command too.
async fn call<C: Command>(client: &Client, what: &str, command: C) {
    let id = Id::from(format!("{what}/{}", command.key()).as_str());
    // Whatever is answered, also nothing by a node that stops: what counts is stored.
    drop(client.call(command).id(id).await);
}

/// Does one thing out of those that can happen to an order.
async fn happen(client: &Client, random: &mut Random) -> Result<(), BoxError> {
    let (order, copy) = (random.order(), random.below(2).to_string());
    match random.below(10) {
        // Each has an id of its own, for each is of another content.
        0..4 => drop(client.call(Reserve { order, lines: random.lines() }).await),
        4..6 => {
            let confirmed = OrderConfirmed { order, user: "ada".into(), total: Cents(1) };
            client.publish(confirmed).await?;
        }
        6 => {
            // All have one id for one content: lines that follow from the order.
            let lines = vec![Line::new("tea", 2), Line::new("pot", 1)];
            call(client, &format!("reserve-{copy}"), Reserve { order, lines }).await;
        }
        7 => call(client, &format!("release-{copy}"), Release { order }).await,
        8 => {
            let amount = Cents(200);
            call(client, &format!("charge-{copy}"), Charge { order, amount }).await;
        }
        _ => match random.below(4) {
            0 => call(client, &format!("void-{copy}"), Void { order }).await,
            1 => {
                let amount = Cents(200);
                call(client, &format!("bill-{copy}"), Bill { order, amount }).await;
            }
            _ => call(client, &format!("refund-{copy}"), Refund { order }).await,
        },
    }
    Ok(())
}

/// Lets many things happen at once, and one of the nodes be replaced meanwhile.
async fn chaos(bus: &Bus, seed: u32) -> Result<[Running; 2], BoxError> {
    let (first, second) = (start("shop-1", bus).await?, start("shop-2", bus).await?);
    for product in PRODUCTS {
        let stock = schemas::inventory::Stock { product: product.into(), quantity: STOCKED };
        call(&first.client(), "stock", stock.clone()).await;
        call(&second.client(), "stock", stock).await;
    }
    let (first_client, second_client) = (first.client(), second.client());
    let mut hands = JoinSet::new();
    for hand in 0..16 {
        let client = if hand % 2 == 0 {
            first_client.clone()
        } else {
            second_client.clone()
        };
        let mut random = Random(seed + hand * 7_919);
        hands.spawn(async move {
            for _ in 0..40 {
                happen(&client, &mut random).await?;
            }
            Ok::<_, BoxError>(())
        });
    }
    for _ in 0..4 {
        hands.join_next().await.ok_or("nobody is at work")???;
    }
    second.stop().await?;
    let third = start("shop-3", bus).await?;
    while let Some(done) = hands.join_next().await {
        done??;
    }
    Ok([first, third])
}

/// Gives back what nobody paid for, and waits until all is quiet.
async fn end(client: &Client) -> Result<Vec<Envelope>, BoxError> {
    let settled = async {
        loop {
            let events = events(client, "inventory").await?;
            let stock = Stock::of(&events)?;
            let wanted: Vec<StockRequested> = only(&events)?;
            let mut claims = wanted.iter().map(|requested| &requested.order);
            if stock.held() == 0 && claims.all(|order| stock.is_settled(order)) {
                return Ok(events);
            }
            for StockRequested { order, .. } in wanted {
                client.call(Release { order }).await?;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_mins(1), settled).await?
}

fn assert_paid_once(events: &[Envelope]) -> Result<(), BoxError> {
    let money = Money::of(events)?;
    let (kept, refunded) = (money.kept(), money.refunded());
    assert!(!kept.is_empty() && !refunded.is_empty());
    let voided = only::<PaymentVoided>(events)?;
    let billed = only::<PaymentBilled>(events)?;
    assert!(!voided.is_empty() && !billed.is_empty());
    assert!(kept.values().all(|amount| *amount <= LIMIT));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sold_or_charged_twice_or_lost_under_any_interleaving() -> Result<(), BoxError> {
    for seed in [0x2545_F491, 0x1234_5678, 0x0BAD_CAFE] {
        let bus = Bus::embedded();
        let nodes = chaos(&bus, seed).await?;
        let client = nodes[0].client();
        let stock = Stock::of(&end(&client).await?)?;
        stock.assert_sound();
        let (reserved, refused, released) = stock.ways();
        let sold = stock.sold().len();
        assert!(
            reserved > 0 && refused > 0 && released > 0 && sold > 0,
            "{reserved} reserved, {refused} refused, {released} released, {sold} sold"
        );
        for product in PRODUCTS {
            let level = client.call(GetStock { product: product.into() }).await?;
            let count = stock.count(product);
            assert_eq!(count.added, u64::from(STOCKED));
            assert_eq!(
                (u64::from(level.available), level.reserved),
                (count.available, 0)
            );
        }
        assert_paid_once(&events(&client, "payments").await?)?;
        for node in nodes {
            node.stop().await?;
        }
    }
    Ok(())
}
