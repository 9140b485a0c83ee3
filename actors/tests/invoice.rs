//! An order that is paid by invoice: it waits for a person, then for its customer.

mod audit;

use audit::play::{audited, open_shop, place, story};
use callboard::{CallError, Heard, Replay, error::BoxError};
use schemas::{
    Cents,
    fraud::FraudCleared,
    orders::{Cancellation, OrderCancelled, OrderConfirmed, Payment},
    payments::{Charge, Declined, PaymentRefunded},
};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);
/// The end of the wait for the customer, but for what the way there took.
const LAST_MOMENT: Duration = Duration::from_secs(15 * 60 - 1);

const TWO: (&str, u32) = ("pot", 2);
const OVER_LIMIT: (&str, u32) = ("pot", 5);
const SCARCE: (&str, u32) = ("cup", 2);

fn placed(lines: (&str, u32)) -> Replay {
    open_shop(None).ask(place("o-1", lines, Payment::Invoice))
}

fn cleared() -> FraudCleared {
    FraudCleared { order: "o-1".into() }
}

fn charge(amount: u64) -> Charge {
    Charge { order: "o-1".into(), amount: Cents(amount) }
}

fn is_confirmed(heard: &Heard) -> bool {
    heard.events::<OrderConfirmed>().len() == 1
}

fn reason(heard: &Heard) -> Option<Cancellation> {
    let mut cancelled = heard.events::<OrderCancelled>().into_iter();
    cancelled.next().map(|cancelled| cancelled.reason)
}

#[tokio::test]
async fn an_order_is_confirmed_once_it_is_cleared_and_paid() -> Result<(), BoxError> {
    let early = placed(TWO).after(5 * HOUR).given(cleared());
    let early = early.after(LAST_MOMENT).ask(charge(5_000)).after(48 * HOUR);
    assert!(is_confirmed(&audited(early).await?));
    // A customer may also pay before the order is cleared.
    let paid_first = placed(TWO).ask(charge(5_000)).after(23 * HOUR);
    let paid_first = paid_first.given(cleared()).after(48 * HOUR);
    assert!(is_confirmed(&audited(paid_first).await?));
    Ok(())
}

#[tokio::test]
async fn an_order_that_nobody_clears_is_cancelled_after_a_day_and_keeps_no_money()
-> Result<(), BoxError> {
    let waiting = placed(TWO).after(23 * HOUR).settle().await?;
    assert_eq!(reason(&waiting), None);
    let late = placed(TWO).after(25 * HOUR).given(cleared());
    let mut late = audited(late.ask(charge(5_000))).await?;
    assert_eq!(reason(&late), Some(Cancellation::NotCleared));
    assert!(matches!(
        &late.answers::<Charge>()[..],
        [Err(CallError::Rejected(Declined::Void))]
    ));
    let paid = audited(placed(TWO).ask(charge(5_000)).after(25 * HOUR)).await?;
    assert_eq!(reason(&paid), Some(Cancellation::NotCleared));
    assert_eq!(paid.events::<PaymentRefunded>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_not_paid_in_a_quarter_of_an_hour_is_cancelled() -> Result<(), BoxError> {
    let waiting = placed(TWO).given(cleared()).after(LAST_MOMENT).settle();
    assert_eq!(reason(&waiting.await?), None);
    let late = placed(TWO).given(cleared()).after(16 * MINUTE);
    let mut late = audited(late.ask(charge(5_000))).await?;
    assert_eq!(reason(&late), Some(Cancellation::Unpaid));
    assert!(matches!(
        &late.answers::<Charge>()[..],
        [Err(CallError::Rejected(Declined::Void))]
    ));
    Ok(())
}

#[tokio::test]
async fn what_is_paid_about_when_the_wait_ends_is_kept_or_refused_never_lost()
-> Result<(), BoxError> {
    let mut ends = [0, 0];
    for early in (0..100).step_by(5) {
        let wait = Duration::from_millis(15 * 60 * 1_000 - early);
        let play = placed(TWO).given(cleared()).after(wait).ask(charge(5_000));
        let heard = audited(play.after(HOUR)).await?;
        ends[usize::from(is_confirmed(&heard))] += 1;
    }
    assert!(ends[0] > 0 && ends[1] > 0, "unpaid and confirmed: {ends:?}");
    Ok(())
}

#[tokio::test]
async fn another_amount_than_the_bill_says_is_no_payment() -> Result<(), BoxError> {
    let less = placed(TWO).ask(charge(1)).given(cleared()).after(HOUR);
    assert_eq!(reason(&audited(less).await?), Some(Cancellation::Unpaid));
    // Before there is a bill, any amount is taken.
    let before = open_shop(None).ask(charge(1));
    let before = before.ask(place("o-1", TWO, Payment::Invoice));
    let before = audited(before.given(cleared()).after(HOUR)).await?;
    assert_eq!(reason(&before), Some(Cancellation::Unpaid));
    assert_eq!(before.events::<PaymentRefunded>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_order_that_cannot_be_billed_or_filled_is_cancelled_at_once_and_takes_no_money()
-> Result<(), BoxError> {
    for (lines, amount) in [(OVER_LIMIT, 1), (SCARCE, 200)] {
        let mut heard = audited(placed(lines).ask(charge(amount))).await?;
        let (reason, charges) = (reason(&heard), heard.answers::<Charge>());
        assert!(
            matches!(
                reason,
                Some(Cancellation::PaymentDeclined(_) | Cancellation::OutOfStock(_))
            ),
            "{reason:?}"
        );
        assert!(
            matches!(&charges[..], [Err(CallError::Rejected(Declined::Void))]),
            "{charges:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_order_by_card_waits_for_nobody() -> Result<(), BoxError> {
    let heard = audited(
        open_shop(None)
            .ask(place("o-1", TWO, Payment::Card))
            .given(cleared()),
    );
    assert!(is_confirmed(&heard.await?));
    Ok(())
}

/// One way that an invoice can go, from the order on.
type Way = fn(Replay) -> Replay;

#[tokio::test]
async fn wherever_the_runner_of_an_invoice_dies_the_same_happens_once() -> Result<(), BoxError> {
    let ways: [(&str, (&str, u32), Way); 5] = [
        ("paid", TWO, |play| {
            play.given(cleared()).after(MINUTE).ask(charge(5_000))
        }),
        ("not cleared", TWO, |play| {
            play.ask(charge(5_000)).after(25 * HOUR)
        }),
        ("unpaid", TWO, |play| play.given(cleared()).after(HOUR)),
        ("over the limit", OVER_LIMIT, |play| play.after(HOUR)),
        ("out of stock", SCARCE, |play| play.after(HOUR)),
    ];
    for (name, lines, way) in ways {
        let play = |crash_at| {
            let order = place("o-1", lines, Payment::Invoice);
            audited(way(open_shop(None).crash_at(crash_at).ask(order)))
        };
        let whole = play(0).await?;
        let (places, expected) = (whole.places(), story(&whole));
        for place in 1..=places {
            let heard = play(place).await?;
            assert_eq!(
                story(&heard),
                expected,
                "{name}, dead at {place} of {places}"
            );
        }
        eprintln!("{name}: {places} places, {expected:?}");
    }
    Ok(())
}
