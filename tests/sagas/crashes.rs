//! A runner that dies anywhere is no matter.

use crate::market::{
    Confirmed, Freed, Held, Outcome, Paid, Refused, Repaid, checkouts, orders, placed, purse, shelf,
};
use callboard::{Heard, Replay};

async fn play(order: &str, crash_at: u64) -> Result<Heard, callboard::ReplayError> {
    Replay::of(shelf())
        .with(purse())
        .with(orders(checkouts()))
        .crash_at(crash_at)
        .given(placed(order))
        .settle()
        .await
}

/// What happened, in the order in which it did.
fn story(heard: &Heard) -> Vec<String> {
    let mut story = Vec::new();
    let counts = [
        ("held", heard.events::<Held>().len()),
        ("freed", heard.events::<Freed>().len()),
        ("paid", heard.events::<Paid>().len()),
        ("repaid", heard.events::<Repaid>().len()),
        ("confirmed", heard.events::<Confirmed>().len()),
    ];
    for (what, count) in counts {
        if count > 0 {
            story.push(format!("{what} {count}"));
        }
    }
    let refused = heard.events::<Refused>().into_iter();
    story.extend(refused.map(|refused| format!("refused: {}", refused.reason)));
    story
}

#[tokio::test]
async fn a_checkout_ends_done_or_undone() -> Outcome {
    let good = play("good", 0).await?;
    assert_eq!(story(&good), ["held 1", "paid 1", "confirmed 1"]);
    let scarce = play("scarce", 0).await?;
    assert_eq!(story(&scarce), ["refused: there is none left"]);
    let declined = play("declined", 0).await?;
    assert_eq!(
        story(&declined),
        ["held 1", "freed 1", "refused: the purse is empty"]
    );
    let late = play("late", 0).await?;
    let undone = [
        "held 1",
        "freed 1",
        "paid 1",
        "repaid 1",
        "refused: it is too late",
    ];
    assert_eq!(story(&late), undone);
    Ok(())
}

#[tokio::test]
async fn wherever_its_runner_dies_the_same_happens_once() -> Outcome {
    for order in ["good", "scarce", "declined", "late"] {
        let whole = play(order, 0).await?;
        let (places, expected) = (whole.places(), story(&whole));
        assert!(places >= 4, "{order} writes its journal at least twice");
        for place in 1..=places {
            let heard = play(order, place).await?;
            assert_eq!(
                story(&heard),
                expected,
                "{order}, dead at place {place} of {places}"
            );
            // What died before it wrote had to write again.
            assert_eq!(heard.places(), places + place % 2);
            assert!(heard.dead_letters().is_empty() && heard.parked().is_empty());
        }
    }
    Ok(())
}
