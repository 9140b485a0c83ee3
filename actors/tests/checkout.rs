//! An order that is paid by card, whoever dies on the way.

mod audit;

use audit::play::{audited, open_shop, place, story};
use callboard::{Heard, error::BoxError};
use schemas::{
    orders::{Cancellation, OrderCancelled, Payment},
    payments::Charge,
};
use std::num::NonZeroU32;

/// An order, and how its checkout goes.
#[derive(Clone, Copy, Debug)]
struct Case {
    lines: (&'static str, u32),
    is_late: bool,
}

const GOOD: Case = Case { lines: ("pot", 2), is_late: false };
const DECLINED: Case = Case { lines: ("pot", 5), is_late: false };
const SCARCE: Case = Case { lines: ("cup", 2), is_late: false };
const LATE: Case = Case { lines: ("pot", 2), is_late: true };

async fn play(case: Case, crash_at: u64) -> Result<Heard, BoxError> {
    let slow = NonZeroU32::new(1).filter(|_| case.is_late);
    let order = place("o-1", case.lines, Payment::Card);
    audited(open_shop(slow).crash_at(crash_at).ask(order)).await
}

#[tokio::test]
async fn a_payment_that_is_answered_late_is_asked_for_again_and_taken_once() -> Result<(), BoxError>
{
    let heard = play(LATE, 0).await?;
    assert_eq!(story(&heard), story(&play(GOOD, 0).await?));
    assert_eq!(heard.commands::<Charge>().len(), 2);
    Ok(())
}

#[tokio::test]
async fn what_a_checkout_came_to_is_why_its_order_is_cancelled() -> Result<(), BoxError> {
    let reasons = async |case| {
        let cancelled = play(case, 0).await?.events::<OrderCancelled>();
        let mut reasons = cancelled.into_iter().map(|cancelled| cancelled.reason);
        Ok::<_, BoxError>(reasons.next())
    };
    let declined = reasons(DECLINED).await?;
    assert!(
        matches!(declined, Some(Cancellation::PaymentDeclined(_))),
        "{declined:?}"
    );
    let scarce = reasons(SCARCE).await?;
    assert!(
        matches!(scarce, Some(Cancellation::OutOfStock(_))),
        "{scarce:?}"
    );
    Ok(())
}

#[tokio::test]
async fn wherever_the_runner_of_a_checkout_dies_the_same_happens_once() -> Result<(), BoxError> {
    for case in [GOOD, DECLINED, SCARCE, LATE] {
        let whole = play(case, 0).await?;
        let (places, expected) = (whole.places(), story(&whole));
        assert!(
            places >= 6,
            "{case:?} writes its journal at least three times"
        );
        for place in 1..=places {
            let heard = play(case, place).await?;
            let mut told = story(&heard);
            // Who cannot know whether an attempt before was heard closes the account of a
            // payment that is refused: no money was in it.
            let all = told.len();
            told.retain(|kind| kind != "payments.voided");
            let voided = all - told.len();
            assert!(voided <= usize::from(!expected.iter().any(|kind| kind == "payments.taken")));
            assert_eq!(told, expected, "{case:?}, dead at {place} of {places}");
        }
        eprintln!("{case:?}: {places} places, {expected:?}");
    }
    Ok(())
}
