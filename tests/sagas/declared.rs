//! What is made for a saga before its first node starts.

use crate::{
    market::{checkout, orders, placed, purse, shelf},
    support::way::{SOON, Verdict, both_buses},
};
use callboard::{
    Saga,
    bus::{Message, StreamConfig},
    saga::{SagaOutcome, Sagas},
};
use std::time::Duration;

#[tokio::test]
async fn what_is_made_for_a_saga_has_the_lease_and_the_limit_that_it_says() -> Verdict {
    both_buses(async |way| {
        let own = || {
            let saga = Saga::new("checkout", checkout).in_flight(7);
            let saga = saga.takeover_after(Duration::from_secs(20));
            let node = way.node("one").group(shelf()).group(purse());
            node.group(orders(saga))
        };
        assert!(own().apply().await?.is_settled());
        let again = own().plan().await?;
        assert!(again.is_settled(), "{again}");
        if !way.is_embedded() {
            let stream = StreamConfig::errands(&way.names(), "checkout").name;
            let ask = Message::new(format!("$JS.API.CONSUMER.INFO.{stream}.runners"), "");
            let made = way.bus.request(ask, SOON).await?;
            let made: serde_json::Value = serde_json::from_slice(&made.payload)?;
            let config = &made["config"];
            assert_eq!(config["ack_wait"], 20_000_000_000_u64, "{made}");
            assert_eq!(config["max_ack_pending"], 7, "{made}");
        }
        let running = own().declare(false).start().await?;
        let sagas = Sagas::open(&running.client(), "checkout").await?;
        sagas.start("good", &placed("good")).await?;
        let outcome = sagas.wait::<String>("good", SOON).await?;
        assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
        Ok(running.stop().await?)
    })
    .await
}
