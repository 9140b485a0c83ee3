use super::{rush::insist, watch::Watch};
use callboard::{Client, error::BoxError, message::Id};
use schemas::{
    Cents, Line, OrderId, ProductId,
    inventory::{GetStock, Stock},
    orders::{Payment, PlaceOrder},
    products::AddProduct,
    users::Register,
};

/// What the shop sells in the demo: id, name, price, and how many there are at least.
pub(super) const RANGE: [(&str, &str, Cents, u32); 3] = [
    ("tea", "Darjeeling, 100 g", Cents(1_250), 50),
    ("teapot", "Teapot of cast iron", Cents(4_800), 5),
    ("piano", "Grand piano", Cents(1_250_000), 1),
];

/// Who buys.
pub(super) const USERS: [&str; 2] = ["Ada", "Grace"];

/// Who orders what. Its orders have ids of their own in every run.
#[derive(Debug)]
pub(super) struct Script {
    run: String,
}

impl Script {
    pub(super) fn new() -> Self {
        let id = Id::new().to_string();
        let (_, run) = id.split_at(id.len() - 6);
        Self { run: run.to_owned() }
    }

    /// Sees to it that users, products and stock are there; they may be already.
    pub(super) async fn prepare(&self, client: &Client, watch: &mut Watch) -> Result<(), BoxError> {
        for name in USERS {
            let email = format!("{}@example.com", name.to_lowercase());
            let register = Register { name: name.to_owned(), email };
            watch.send(client, register).await?;
        }
        for (id, name, price, least) in RANGE {
            let product = ProductId::new(id);
            let add = AddProduct { product: product.clone(), name: name.to_owned(), price };
            watch.send(client, add).await?;
            let there = client.call(GetStock { product: product.clone() }).await?;
            let quantity = least.saturating_sub(there.available);
            if quantity > 0 {
                watch.send(client, Stock { product, quantity }).await?;
            }
        }
        Ok(())
    }

    /// Returns the orders: three that can be filled, one that costs too much,
    /// and one that wants more than there is.
    pub(super) async fn orders(&self, client: &Client) -> Result<Vec<PlaceOrder>, BoxError> {
        let teapot = client.call(GetStock { product: "teapot".into() }).await?;
        let too_many = teapot.available.saturating_add(1);
        Ok(vec![
            self.order(1, "ada", [("tea", 2)]),
            self.order(2, "grace", [("teapot", 1), ("tea", 1)]),
            self.order(3, "ada", [("piano", 1)]),
            self.order(4, "grace", [("teapot", too_many)]),
            self.order(5, "ada", [("tea", 3), ("teapot", 1)]),
        ])
    }

    /// Returns so many orders, after seeing to it that there is stock for them:
    /// every tenth costs too much, and every tenth wants something of which
    /// there is enough for half of them.
    pub(super) async fn many(
        &self,
        client: &Client,
        count: u32,
    ) -> Result<Vec<PlaceOrder>, BoxError> {
        for name in USERS {
            let email = format!("{}@example.com", name.to_lowercase());
            insist(client, Register { name: name.to_owned(), email }).await?;
        }
        let mut scarce = 0;
        for ((id, name, price, _), least) in
            RANGE
                .into_iter()
                .zip([count * 3, count.div_ceil(10), count])
        {
            let product = ProductId::new(id);
            let add = AddProduct { product: product.clone(), name: name.to_owned(), price };
            insist(client, add).await?;
            let there = insist(client, GetStock { product: product.clone() }).await?;
            let quantity = least.saturating_sub(there.available);
            if quantity > 0 {
                insist(client, Stock { product, quantity }).await?;
            }
            if id == "teapot" {
                scarce = there.available.max(least);
            }
        }
        let each = scarce.saturating_mul(2).div_ceil(count.div_ceil(10));
        let orders = (1..=count).map(|number| match number % 10 {
            0 => self.order(number, "ada", [("piano", 1)]),
            5 => self.order(number, "grace", [("tea", 1), ("teapot", each)]),
            _ => self.order(number, "ada", [("tea", 1 + number % 3)]),
        });
        Ok(orders.collect())
    }

    /// Whether an order is of this run.
    pub(super) fn is_ours(&self, order: &OrderId) -> bool {
        order.as_str().starts_with(&format!("demo-{}-", self.run))
    }

    fn order<const N: usize>(
        &self,
        number: u32,
        user: &str,
        lines: [(&str, u32); N],
    ) -> PlaceOrder {
        PlaceOrder {
            order: OrderId::new(format!("demo-{}-{number}", self.run)),
            user: user.into(),
            lines: lines
                .into_iter()
                .map(|(product, quantity)| Line::new(product, quantity))
                .collect(),
            pay: Payment::Card,
        }
    }
}
