//! Charges and refunds.

use callboard::{CallError, Replay, ReplayError};
use schemas::{
    Cents,
    inventory::StockReserved,
    payments::{
        Charge, Declined, NotCharged, PaymentDeclined, PaymentRefunded, PaymentTaken, Refund,
    },
};

const LIMIT: Cents = Cents(1_000);

fn till() -> Replay {
    Replay::of(shop::payments::group(LIMIT))
}

fn reserved(order: &str, total: u64) -> StockReserved {
    StockReserved { order: order.into(), lines: Vec::new(), total: Cents(total) }
}

fn charge(amount: u64) -> Charge {
    Charge { order: "o-1".into(), amount: Cents(amount) }
}

#[tokio::test]
async fn a_reserved_order_is_charged_once_however_often_it_is_heard() -> Result<(), ReplayError> {
    let heard = till()
        .given(reserved("o-1", 1_000))
        .given(reserved("o-1", 1_000))
        .settle()
        .await?;
    let taken = PaymentTaken { order: "o-1".into(), amount: Cents(1_000) };
    assert_eq!(heard.events::<PaymentTaken>(), [taken]);
    Ok(())
}

#[tokio::test]
async fn an_order_over_the_limit_is_declined_and_stays_so() -> Result<(), ReplayError> {
    let heard = till()
        .given(reserved("o-1", 1_001))
        .given(reserved("o-1", 1_001))
        .settle()
        .await?;
    let declined = PaymentDeclined {
        order: "o-1".into(),
        amount: Cents(1_001),
        reason: Declined::OverLimit { limit: LIMIT },
    };
    assert_eq!(heard.events::<PaymentDeclined>(), [declined]);
    assert!(heard.events::<PaymentTaken>().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_till_that_was_rebuilt_does_not_charge_again() -> Result<(), ReplayError> {
    let heard = till()
        .given(PaymentTaken { order: "o-1".into(), amount: Cents(500) })
        .given(reserved("o-1", 500))
        .settle()
        .await?;
    assert!(heard.kinds().is_empty());
    Ok(())
}

#[tokio::test]
async fn stock_held_by_command_is_charged_by_command() -> Result<(), ReplayError> {
    let heard = till().given(reserved("o-1", 0)).settle().await?;
    assert!(heard.kinds().is_empty());
    Ok(())
}

#[tokio::test]
async fn the_same_charge_again_is_the_same_payment_and_another_one_is_declined()
-> Result<(), ReplayError> {
    let mut heard = till()
        .ask(charge(700))
        .ask(charge(700))
        .ask(charge(800))
        .ask(Charge { order: "o-2".into(), amount: Cents(1_001) })
        .settle()
        .await?;
    let before = Declined::AlreadyCharged { amount: Cents(700) };
    let over = Declined::OverLimit { limit: LIMIT };
    assert!(matches!(
        &heard.answers::<Charge>()[..],
        [Ok(first), Ok(again), Err(CallError::Rejected(a)), Err(CallError::Rejected(b))]
            if first == again && *a == before && *b == over
    ));
    assert_eq!(heard.events::<PaymentTaken>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_payment_is_given_back_once_and_only_if_there_was_one() -> Result<(), ReplayError> {
    let refund = || Refund { order: "o-1".into() };
    let mut heard = till()
        .ask(refund())
        .ask(charge(700))
        .ask(refund())
        .ask(refund())
        .given(reserved("o-1", 700))
        .settle()
        .await?;
    let never = NotCharged { order: "o-1".into() };
    assert!(matches!(
        &heard.answers::<Refund>()[..],
        [Err(CallError::Rejected(why)), Ok(first), Ok(again)] if *why == never && first == again
    ));
    assert_eq!(heard.events::<PaymentRefunded>().len(), 1);
    assert_eq!(heard.events::<PaymentTaken>().len(), 1);
    Ok(())
}
