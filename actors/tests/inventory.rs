//! Stock, and what of it is held for whom.

use callboard::{CallError, Replay, ReplayError};
use schemas::{
    Cents, Line, OrderId,
    inventory::{
        GetStock, OutOfStock, Release, Reserve, Stock, StockAdded, StockFreed, StockHeld,
        StockLevel, StockRefused, StockReleased, StockRequested, StockReserved, StockShipped,
        StockSold,
    },
    orders::OrderConfirmed,
};

fn tea(quantity: u32) -> Stock {
    Stock { product: "tea".into(), quantity }
}

fn reserve(order: &str, quantity: u32) -> Reserve {
    Reserve { order: order.into(), lines: vec![Line::new("tea", quantity)] }
}

fn release(order: &str) -> Release {
    Release { order: order.into() }
}

fn held(order: &str, quantity: u32) -> StockHeld {
    StockHeld { product: "tea".into(), order: order.into(), quantity }
}

fn confirmed(order: &str) -> OrderConfirmed {
    OrderConfirmed { order: order.into(), user: "ada".into(), total: Cents(100) }
}

fn level(available: u32, reserved: u32) -> StockLevel {
    StockLevel { product: "tea".into(), available, reserved }
}

#[tokio::test]
async fn an_order_is_held_with_all_its_lines() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(reserve("o-1", 3))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    let held = StockReserved { order: "o-1".into(), lines: vec![Line::new("tea", 3)] };
    assert_eq!(heard.events::<StockReserved>(), [held]);
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(2, 3)));
    Ok(())
}

#[tokio::test]
async fn an_order_that_wants_too_much_is_refused_as_a_whole() -> Result<(), ReplayError> {
    let mut order = reserve("o-1", 1);
    order.lines.push(Line::new("jam", 1));
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(order)
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    let reason = OutOfStock { product: "jam".into(), wanted: 1, available: 0 };
    let refused = StockRefused { order: "o-1".into(), reason };
    assert_eq!(heard.events::<StockRefused>(), [refused]);
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(5, 0)));
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_asked_for_twice_is_held_once_also_after_its_release()
-> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(reserve("o-1", 3))
        .ask(reserve("o-1", 3))
        .ask(release("o-1"))
        .ask(release("o-1"))
        .ask(reserve("o-1", 3))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    assert_eq!(heard.events::<StockReserved>().len(), 1);
    assert_eq!(heard.events::<StockReleased>().len(), 1);
    let nothing = OutOfStock { product: "tea".into(), wanted: 3, available: 0 };
    assert!(matches!(
        &heard.answers::<Reserve>()[..],
        [Ok(first), Ok(again), Err(CallError::Rejected(why))] if first == again && *why == nothing
    ));
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(5, 0)));
    Ok(())
}

#[tokio::test]
async fn a_fresh_node_knows_what_the_old_one_held() -> Result<(), ReplayError> {
    let lines = vec![Line::new("tea", 3)];
    let mut heard = Replay::of(shop::inventory::group())
        .given(StockAdded { product: "tea".into(), quantity: 5 })
        .given(held("o-1", 3))
        .given(StockReserved { order: "o-1".into(), lines })
        .ask(reserve("o-1", 3))
        .ask(reserve("o-2", 3))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    assert!(heard.events::<StockReserved>().is_empty());
    let refused = heard.events::<StockRefused>();
    let orders: Vec<&OrderId> = refused.iter().map(|refused| &refused.order).collect();
    assert_eq!(orders, [&OrderId::new("o-2")]);
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(2, 3)));
    Ok(())
}

#[tokio::test]
async fn what_a_clerk_left_half_done_is_brought_to_its_end() -> Result<(), ReplayError> {
    let wanted = |order: &str, lines| StockRequested { order: order.into(), lines };
    let (tea, jam) = (Line::new("tea", 3), Line::new("jam", 1));
    let mut heard = Replay::of(shop::inventory::group())
        .given(StockAdded { product: "tea".into(), quantity: 6 })
        .given(held("o-1", 3))
        .given(held("o-2", 3))
        .given(wanted("o-1", vec![tea.clone()]))
        .given(wanted("o-2", vec![tea, jam]))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    let reserved = heard.events::<StockReserved>();
    assert_eq!(reserved.len(), 1);
    assert_eq!(reserved[0].order.as_str(), "o-1");
    assert_eq!(heard.events::<StockRefused>().len(), 1);
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(3, 3)));
    Ok(())
}

#[tokio::test]
async fn what_is_sold_leaves_the_house_once_and_is_not_released() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(reserve("o-1", 3))
        .given(confirmed("o-1"))
        .given(confirmed("o-1"))
        .ask(release("o-1"))
        .ask(reserve("o-1", 3))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    assert_eq!(heard.events::<StockSold>().len(), 1);
    let shipped = StockShipped { product: "tea".into(), order: "o-1".into(), quantity: 3 };
    assert_eq!(heard.events::<StockShipped>(), [shipped]);
    assert!(heard.events::<StockReleased>().is_empty());
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(2, 0)));
    Ok(())
}

#[tokio::test]
async fn who_comes_late_takes_nothing_for_an_order_that_was_refused() -> Result<(), ReplayError> {
    let mut order = reserve("o-1", 3);
    order.lines.push(Line::new("zest", 1));
    let late = StockRequested { order: "o-1".into(), lines: order.lines.clone() };
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(order)
        .ask(Stock { product: "zest".into(), quantity: 1 })
        .given(late)
        .ask(GetStock { product: "tea".into() })
        .ask(GetStock { product: "zest".into() })
        .settle()
        .await?;
    assert_eq!(heard.events::<StockRefused>().len(), 2);
    let freed = heard.events::<StockFreed>();
    assert_eq!(freed.iter().map(|freed| freed.quantity).sum::<u32>(), 3);
    let levels = heard.answers::<GetStock>();
    assert!(
        matches!(&levels[..], [Ok(tea), Ok(zest)] if *tea == level(5, 0) && zest.available == 1)
    );
    Ok(())
}

#[tokio::test]
async fn a_product_and_an_order_may_have_the_same_id() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(reserve("tea", 3))
        .given(confirmed("tea"))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    assert_eq!(heard.events::<StockSold>().len(), 1);
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(2, 0)));
    assert!(heard.dead_letters().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_order_is_held_once_and_given_back_once() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(reserve("o-1", 2))
        .ask(reserve("o-1", 2))
        .ask(reserve("o-2", 4))
        .ask(release("o-1"))
        .ask(release("o-1"))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    let short = OutOfStock { product: "tea".into(), wanted: 4, available: 3 };
    assert!(matches!(
        &heard.answers::<Reserve>()[..],
        [Ok(first), Ok(again), Err(CallError::Rejected(why))] if first == again && *why == short
    ));
    assert!(matches!(
        &heard.answers::<Release>()[..],
        [Ok(first), Ok(again)] if first.lines.len() == 1 && again.lines.is_empty()
    ));
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(5, 0)));
    Ok(())
}

#[tokio::test]
async fn who_asks_after_an_order_was_given_back_comes_too_late() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::inventory::group())
        .ask(tea(5))
        .ask(release("o-1"))
        .ask(reserve("o-1", 2))
        .ask(GetStock { product: "tea".into() })
        .settle()
        .await?;
    let none = OutOfStock { product: "tea".into(), wanted: 2, available: 0 };
    assert!(matches!(
        &heard.answers::<Reserve>()[..],
        [Err(CallError::Rejected(why))] if *why == none
    ));
    assert!(matches!(&heard.answers::<GetStock>()[..], [Ok(now)] if *now == level(5, 0)));
    Ok(())
}

/// The next of a fixed row of numbers that look random (xorshift).
fn next(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

#[tokio::test]
async fn stock_is_never_negative_under_200_random_orders() -> Result<(), ReplayError> {
    let products = ["tea", "jam", "pot"];
    let mut random = 0x2545_F491;
    let mut replay = Replay::of(shop::inventory::group());
    for product in products {
        replay = replay.ask(Stock { product: product.into(), quantity: 150 });
    }
    for number in 0..200 {
        let lines = (0..=next(&mut random) % 3).map(|_| {
            let product = products[next(&mut random) as usize % 3];
            Line::new(product, 1 + next(&mut random) % 9)
        });
        let order = Reserve { lines: lines.collect(), ..reserve(&format!("o-{number}"), 1) };
        replay = replay.ask(order);
        if next(&mut random).is_multiple_of(4) {
            let order = next(&mut random) % (number + 1);
            replay = replay.ask(release(&format!("o-{order}")));
        }
    }
    for product in products {
        replay = replay.ask(GetStock { product: product.into() });
    }
    let mut heard = replay.settle().await?;

    let held = heard.events::<StockReserved>();
    let released = heard.events::<StockReleased>();
    assert_eq!(held.len() + heard.events::<StockRefused>().len(), 200);
    assert!(held.len() > 20 && held.len() < 180 && released.len() > 10);
    let count = |lines: &[Line], product: &str| -> u32 {
        let own = lines.iter().filter(|line| line.product.as_str() == product);
        own.map(|line| line.quantity).sum()
    };
    for (level, product) in heard.answers::<GetStock>().into_iter().zip(products) {
        let level = level.expect("stock can always be asked for");
        let taken: u32 = held.iter().map(|held| count(&held.lines, product)).sum();
        let back: u32 = released
            .iter()
            .map(|back| count(&back.lines, product))
            .sum();
        assert_eq!(level.reserved, taken - back, "{product}");
        // Counts are unsigned: below zero, this would not add up.
        assert_eq!(level.available + level.reserved, 150, "{product}");
    }
    Ok(())
}
