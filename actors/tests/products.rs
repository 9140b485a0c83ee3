//! Products as their callers see them.

use callboard::{CallError, Replay, ReplayError};
use schemas::{
    Cents,
    products::{AddProduct, AddRejected, GetProduct, ProductAdded, UnknownProduct},
};

fn add(name: &str, price: u64) -> AddProduct {
    AddProduct { product: "tea".into(), name: name.into(), price: Cents(price) }
}

#[tokio::test]
async fn an_added_product_can_be_looked_up() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::products::group())
        .ask(GetProduct { product: "tea".into() })
        .ask(add("Darjeeling", 1_250))
        .ask(GetProduct { product: "tea".into() })
        .settle()
        .await?;
    let answers = heard.answers::<GetProduct>();
    assert!(matches!(
        &answers[..],
        [Err(CallError::Rejected(UnknownProduct { .. })), Ok(product)]
            if product.price == Cents(1_250)
    ));
    Ok(())
}

#[tokio::test]
async fn the_same_product_again_changes_nothing_and_another_one_is_refused()
-> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::products::group())
        .ask(add("Darjeeling", 1_250))
        .ask(add("Darjeeling", 1_250))
        .ask(add("Darjeeling", 1_300))
        .settle()
        .await?;
    let taken = AddRejected::AlreadyExists { product: "tea".into() };
    let answers = heard.answers::<AddProduct>();
    assert!(matches!(
        &answers[..],
        [Ok(_), Ok(_), Err(CallError::Rejected(why))] if *why == taken
    ));
    assert_eq!(heard.events::<ProductAdded>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn nameless_and_free_products_are_refused() -> Result<(), ReplayError> {
    let mut heard = Replay::of(shop::products::group())
        .ask(add("  ", 1_250))
        .ask(add("Darjeeling", 0))
        .settle()
        .await?;
    let answers = heard.answers::<AddProduct>();
    assert!(matches!(
        &answers[..],
        [
            Err(CallError::Rejected(AddRejected::EmptyName)),
            Err(CallError::Rejected(AddRejected::ZeroPrice)),
        ]
    ));
    Ok(())
}
