//! The one list of samples: every message type, every variant.

use crate::kind::Kind;
use schemas::{
    Cents, Line, OrderId, UserId,
    fraud::FraudCleared,
    inventory::{
        GetStock, Hold, OutOfStock, Release, Released, Reserve, Stock, StockAdded, StockFreed,
        StockHeld, StockLevel, StockRefused, StockReleased, StockRequested, StockReserved,
        StockShipped, StockSold,
    },
    notifications::{ListNotifications, Notification, NotificationList, NotificationSent},
    orders::{
        Cancellation, GetOrder, ListOrders, ListSales, Order, OrderCancelled, OrderConfirmed,
        OrderList, OrderPlaced, OrderStatus, Payment, PlaceOrder, PlaceRejected, Sales, SalesList,
        UnknownOrder,
    },
    payments::{
        Bill, Billed, Charge, Declined, NotCharged, PaymentBilled, PaymentRefunded, PaymentTaken,
        PaymentVoided, Receipt, Refund, Refunded, Void, Voided,
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
        fraud(),
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
        Kind::of([StockRequested { order: order(), lines: lines() }]),
        Kind::of([StockReserved { order: order(), lines: lines() }]),
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

fn declined() -> [Declined; 4] {
    [
        Declined::OverLimit { limit: Cents(100_000) },
        Declined::AlreadyCharged { amount: TOTAL },
        Declined::OtherAmount { billed: TOTAL },
        Declined::Void,
    ]
}

fn payments() -> Vec<Kind> {
    let amount = TOTAL;
    vec![
        Kind::of([PaymentTaken { order: order(), amount }]),
        Kind::of([PaymentBilled { order: order(), amount }]),
        Kind::of([PaymentVoided { order: order() }]),
        Kind::of([PaymentRefunded { order: order(), amount }]),
        Kind::of([
            Charge { order: order(), amount },
            Charge { order: order(), amount: Cents(u64::MAX) },
        ]),
        Kind::of([Refund { order: order() }]),
        Kind::of([Bill { order: order(), amount }]),
        Kind::of([Void { order: order() }]),
        Kind::of([Receipt { order: order(), amount }]),
        Kind::of([Billed { order: order(), amount }]),
        Kind::of([
            Voided { order: order(), refunded: amount },
            Voided { order: order(), refunded: Cents::ZERO },
        ]),
        Kind::of([Refunded { order: order(), amount }]),
        Kind::of(declined()),
        Kind::of([NotCharged { order: order() }]),
    ]
}

fn reasons() -> Vec<Cancellation> {
    let declined = declined().map(Cancellation::PaymentDeclined);
    let mut reasons = vec![Cancellation::OutOfStock(short())];
    reasons.extend(declined);
    reasons.extend([
        Cancellation::NotCleared,
        Cancellation::Unpaid,
        Cancellation::CalledOff { reason: "the customer changed her mind".to_owned() },
    ]);
    reasons
}

fn order_as(status: OrderStatus, pay: Payment) -> Order {
    Order { order: order(), user: user(), lines: lines(), total: TOTAL, pay, status }
}

fn orders_by_status() -> Vec<Order> {
    let reasons = reasons().into_iter();
    let cancelled = reasons.map(|reason| OrderStatus::Cancelled { reason });
    [OrderStatus::Placed, OrderStatus::Confirmed]
        .into_iter()
        .chain(cancelled)
        .map(|status| order_as(status, Payment::Card))
        .chain([order_as(OrderStatus::Placed, Payment::Invoice)])
        .collect()
}

fn cancelled(reason: Cancellation) -> OrderCancelled {
    OrderCancelled { order: order(), user: user(), reason }
}

fn place(pay: Payment) -> PlaceOrder {
    PlaceOrder { order: order(), user: user(), lines: lines(), pay }
}

fn placed(pay: Payment) -> OrderPlaced {
    OrderPlaced { order: order(), user: user(), lines: lines(), total: TOTAL, pay }
}

fn orders() -> Vec<Kind> {
    let total = TOTAL;
    vec![
        Kind::of([placed(Payment::Card), placed(Payment::Invoice)]),
        Kind::of([OrderConfirmed { order: order(), user: user(), total }]),
        Kind::of(reasons().into_iter().map(cancelled)),
        Kind::of(reasons()),
        Kind::of([place(Payment::Card), place(Payment::Invoice)]),
        Kind::of([GetOrder { order: order() }]),
        Kind::of([ListOrders { user: user() }]),
        Kind::of([ListSales { days: 7 }]),
        Kind::of([
            SalesList { days: vec![sales()] },
            SalesList { days: vec![] },
        ]),
        Kind::of(orders_by_status()),
        Kind::of([
            OrderList { orders: orders_by_status() },
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

fn fraud() -> Vec<Kind> {
    vec![Kind::of([FraudCleared { order: order() }])]
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
