//! The one list of samples: every message type, every variant.

use crate::kind::Kind;
use schemas::{
    Cents, Line, OrderId, UserId,
    inventory::{
        GetStock, Hold, OutOfStock, Release, Released, Reserve, Stock, StockAdded, StockFreed,
        StockHeld, StockLevel, StockRefused, StockReleased, StockRequested, StockReserved,
        StockShipped, StockSold,
    },
    notifications::{ListNotifications, Notification, NotificationList, NotificationSent},
    orders::{
        Cancellation, GetOrder, ListOrders, ListSales, Order, OrderCancelled, OrderConfirmed,
        OrderList, OrderPlaced, OrderStatus, PlaceOrder, PlaceRejected, Sales, SalesList,
        UnknownOrder,
    },
    payments::{
        Charge, Declined, NotCharged, PaymentDeclined, PaymentRefunded, PaymentTaken, Receipt,
        Refund, Refunded,
    },
    products::{
        AddProduct, AddRejected, Catalogue, GetProduct, ListProducts, Offer, Product, ProductAdded,
        UnknownProduct,
    },
    users::{GetUser, Register, RegisterRejected, UnknownUser, User, UserRegistered},
};

pub(crate) fn all() -> Vec<Kind> {
    [
        users(),
        products(),
        inventory(),
        payments(),
        orders(),
        notifications(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn order() -> OrderId {
    "o-42".into()
}

fn user() -> UserId {
    "ada".into()
}

fn lines() -> Vec<Line> {
    vec![Line::new("tea", 2), Line::new("cup", 300)]
}

const TOTAL: Cents = Cents(2_500);

fn users() -> Vec<Kind> {
    let (name, email) = (|| "Ada".to_owned(), || "ada@example.com".to_owned());
    vec![
        Kind::of([UserRegistered { user: user(), name: name(), email: email() }]),
        Kind::of([Register { name: name(), email: email() }]),
        Kind::of([GetUser { user: user() }]),
        Kind::of([User { user: user(), name: name(), email: email() }]),
        Kind::of([
            RegisterRejected::BadName { name: "é".to_owned() },
            RegisterRejected::BadEmail { email: "nowhere".to_owned() },
            RegisterRejected::NameTaken { name: name() },
        ]),
        Kind::of([UnknownUser { user: user() }]),
    ]
}

fn products() -> Vec<Kind> {
    let name = || "Green tea".to_owned();
    let (product, price) = (|| "tea".into(), Cents(1_250));
    vec![
        Kind::of([ProductAdded { product: product(), name: name(), price }]),
        Kind::of([AddProduct { product: product(), name: name(), price }]),
        Kind::of([GetProduct { product: product() }]),
        Kind::of([Product { product: product(), name: name(), price }]),
        Kind::of([
            ListProducts { after: None },
            ListProducts { after: Some(product()) },
        ]),
        Kind::of([
            Catalogue {
                offers: vec![Offer { product: product(), name: name(), price, available: 300 }],
            },
            Catalogue { offers: vec![] },
        ]),
        Kind::of([
            AddRejected::AlreadyExists { product: product() },
            AddRejected::EmptyName,
            AddRejected::ZeroPrice,
        ]),
        Kind::of([UnknownProduct { product: product() }]),
    ]
}

fn short() -> OutOfStock {
    OutOfStock { product: "cup".into(), wanted: 300, available: 12 }
}

fn inventory() -> Vec<Kind> {
    let (order, lines, product) = (order, lines, || "cup".into());
    vec![
        Kind::of([StockAdded { product: product(), quantity: 70_000 }]),
        Kind::of([StockHeld { product: product(), order: order(), quantity: 300 }]),
        Kind::of([
            StockFreed { product: product(), order: order(), quantity: 300 },
            StockFreed { product: product(), order: order(), quantity: 0 },
        ]),
        Kind::of([StockShipped { product: product(), order: order(), quantity: 300 }]),
        Kind::of([StockRequested { order: order(), lines: lines(), total: TOTAL }]),
        Kind::of([StockReserved { order: order(), lines: lines(), total: TOTAL }]),
        Kind::of([StockRefused { order: order(), reason: short() }]),
        Kind::of([
            StockReleased { order: order(), lines: lines() },
            StockReleased { order: order(), lines: vec![] },
        ]),
        Kind::of([StockSold { order: order(), lines: lines() }]),
        Kind::of([Stock { product: product(), quantity: 70_000 }]),
        Kind::of([Reserve { order: order(), lines: lines() }]),
        Kind::of([Release { order: order() }]),
        Kind::of([GetStock { product: product() }]),
        Kind::of([StockLevel { product: product(), available: 12, reserved: 0 }]),
        Kind::of([Hold { order: order(), lines: lines() }]),
        Kind::of([
            Released { order: order(), lines: lines() },
            Released { order: order(), lines: vec![] },
        ]),
        Kind::of([short()]),
    ]
}

fn declined() -> [Declined; 2] {
    [
        Declined::OverLimit { limit: Cents(100_000) },
        Declined::AlreadyCharged { amount: TOTAL },
    ]
}

fn payments() -> Vec<Kind> {
    let amount = TOTAL;
    vec![
        Kind::of([PaymentTaken { order: order(), amount }]),
        Kind::of(declined().map(|reason| PaymentDeclined { order: order(), amount, reason })),
        Kind::of([PaymentRefunded { order: order(), amount }]),
        Kind::of([
            Charge { order: order(), amount },
            Charge { order: order(), amount: Cents(u64::MAX) },
        ]),
        Kind::of([Refund { order: order() }]),
        Kind::of([Receipt { order: order(), amount }]),
        Kind::of([Refunded { order: order(), amount }]),
        Kind::of(declined()),
        Kind::of([NotCharged { order: order() }]),
    ]
}

fn reasons() -> [Cancellation; 3] {
    let [over_limit, already_charged] = declined().map(Cancellation::PaymentDeclined);
    [
        Cancellation::OutOfStock(short()),
        over_limit,
        already_charged,
    ]
}

fn order_as(status: OrderStatus) -> Order {
    Order { order: order(), user: user(), lines: lines(), total: TOTAL, status }
}

fn orders_by_status() -> [Order; 5] {
    let [short, over_limit, already] = reasons().map(|reason| OrderStatus::Cancelled { reason });
    [
        OrderStatus::Placed,
        OrderStatus::Confirmed,
        short,
        over_limit,
        already,
    ]
    .map(order_as)
}

fn orders() -> Vec<Kind> {
    let total = TOTAL;
    vec![
        Kind::of([OrderPlaced { order: order(), user: user(), lines: lines(), total }]),
        Kind::of([OrderConfirmed { order: order(), user: user(), total }]),
        Kind::of(reasons().map(|reason| OrderCancelled { order: order(), user: user(), reason })),
        Kind::of([PlaceOrder { order: order(), user: user(), lines: lines() }]),
        Kind::of([GetOrder { order: order() }]),
        Kind::of([ListOrders { user: user() }]),
        Kind::of([ListSales { days: 7 }]),
        Kind::of([
            SalesList { days: vec![sales()] },
            SalesList { days: vec![] },
        ]),
        Kind::of(orders_by_status()),
        Kind::of([
            OrderList { orders: orders_by_status().into() },
            OrderList { orders: vec![] },
        ]),
        Kind::of([
            PlaceRejected::UnknownUser { user: user() },
            PlaceRejected::UnknownProduct { product: "tea".into() },
            PlaceRejected::NoLines,
            PlaceRejected::ZeroQuantity { product: "tea".into() },
            PlaceRejected::IdTaken { order: order() },
        ]),
        Kind::of([UnknownOrder { order: order() }]),
    ]
}

fn sales() -> Sales {
    Sales { day: "2026-01-31".to_owned(), orders: 300, total: TOTAL }
}

fn notifications() -> Vec<Kind> {
    let about = || "0198c5b6-6f3e-7c30-8a3e-2f1d5b7c9e01".into();
    let text = || "Order o-42 over 25.00 is confirmed.".to_owned();
    let notification = || Notification { about: about(), order: order(), text: text() };
    vec![
        Kind::of([NotificationSent { about: about(), user: user(), order: order(), text: text() }]),
        Kind::of([ListNotifications { user: user() }]),
        Kind::of([
            NotificationList { notifications: vec![notification()] },
            NotificationList { notifications: vec![] },
        ]),
    ]
}
