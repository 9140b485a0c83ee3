//! What is made for a saga before its first node starts.

use crate::{
    market::{checkout, orders, placed, purse, shelf},
    support::way::{SOON, Verdict, both_buses},
};
use callboard::{
    Node, Saga,
    saga::{SagaOutcome, Sagas},
};
use std::time::Duration;

#[tokio::test]
async fn what_is_made_for_a_saga_has_the_lease_and_the_limit_that_it_says() -> Verdict {
    both_buses(async |way| {
        let node = |takeover, in_flight| -> Node {
            let saga = Saga::new("checkout", checkout);
            let saga = saga.takeover_after(takeover).in_flight(in_flight);
            let node = way.node("one").group(shelf()).group(purse());
            node.group(orders(saga))
        };
        let own = || node(Duration::from_secs(20), 7);
        assert!(own().apply().await?.is_settled());
        let again = own().plan().await?;
        assert!(again.is_settled(), "{again}");
        let usual = node(Duration::from_secs(8), 4_096).plan().await?;
        // An embedded bus takes what its consumers are opened with.
        let is_told = way.is_embedded() || !usual.is_settled();
        assert!(is_told, "another is told: {usual}");
        let running = own().declare(false).start().await?;
        let sagas = Sagas::open(&running.client(), "checkout").await?;
        sagas.start("good", &placed("good")).await?;
        let outcome = sagas.wait::<String>("good", SOON).await?;
        assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
        Ok(running.stop().await?)
    })
    .await
}
