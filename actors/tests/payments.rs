//! Charges, bills and refunds.

use callboard::{CallError, Replay, ReplayError, message::Id};
use schemas::{
    Cents,
    payments::{
        Bill, Charge, Declined, NotCharged, PaymentRefunded, PaymentTaken, PaymentVoided, Refund,
        Void,
    },
};
use std::num::NonZeroU32;

const LIMIT: Cents = Cents(1_000);

fn till() -> Replay {
    Replay::of(shop::payments::group(LIMIT, None))
}

fn charge(amount: u64) -> Charge {
    Charge { order: "o-1".into(), amount: Cents(amount) }
}

fn bill(amount: u64) -> Bill {
    Bill { order: "o-1".into(), amount: Cents(amount) }
}

fn void() -> Void {
    Void { order: "o-1".into() }
}

#[tokio::test]
async fn a_till_that_was_rebuilt_does_not_charge_again() -> Result<(), ReplayError> {
    let mut heard = till()
        .given(PaymentTaken { order: "o-1".into(), amount: Cents(500) })
        .ask(charge(500))
        .settle()
        .await?;
    assert!(matches!(&heard.answers::<Charge>()[..], [Ok(_)]));
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
        .ask(charge(700))
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

#[tokio::test]
async fn a_bill_is_paid_with_its_amount_and_no_other() -> Result<(), ReplayError> {
    let mut heard = till()
        .ask(bill(700))
        .ask(charge(699))
        .ask(charge(700))
        .settle()
        .await?;
    let other = Declined::OtherAmount { billed: Cents(700) };
    assert!(matches!(
        &heard.answers::<Charge>()[..],
        [Err(CallError::Rejected(why)), Ok(_)] if *why == other
    ));
    Ok(())
}

#[tokio::test]
async fn what_is_void_takes_no_money_and_keeps_none() -> Result<(), ReplayError> {
    let unpaid = till().ask(bill(700)).ask(void()).ask(charge(700)).settle();
    let mut unpaid = unpaid.await?;
    assert!(matches!(
        &unpaid.answers::<Charge>()[..],
        [Err(CallError::Rejected(Declined::Void))]
    ));
    assert_eq!(unpaid.events::<PaymentVoided>().len(), 1);
    let paid = till().ask(bill(700)).ask(charge(700)).ask(void()).settle();
    let mut paid = paid.await?;
    let voids = paid.answers::<Void>();
    assert!(matches!(&voids[..], [Ok(voided)] if voided.refunded == Cents(700)));
    assert_eq!(paid.events::<PaymentRefunded>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_late_answer_is_the_same_payment_for_who_asks_again() -> Result<(), ReplayError> {
    let slow = shop::payments::group(LIMIT, NonZeroU32::new(2));
    let id = || Id::from("the charge");
    let other = Charge { order: "o-2".into(), amount: Cents(1) };
    let mut heard = Replay::of(slow)
        .ask(other)
        .ask_as(id(), charge(700))
        .ask_as(id(), charge(700))
        .settle()
        .await?;
    let answers = heard.answers::<Charge>();
    assert!(matches!(&answers[..], [Ok(_), Ok(late), Ok(again)] if late == again));
    assert_eq!(heard.kinds(), ["payments.taken"; 2]);
    Ok(())
}
