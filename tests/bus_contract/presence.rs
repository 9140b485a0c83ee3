//! Comparing declarations with what is there.

use crate::scope::{Scope, Verdict};
use callboard::bus::{ConsumerConfig, Presence};

pub(crate) async fn what_is_declared_is_compared_and_not_made(scope: Scope) -> Verdict {
    let mut config = scope.config("ORDERS", &["orders.*"]);
    let consumer = ConsumerConfig::new(scope.name("reader"));
    let both = async |config| -> Result<_, Box<dyn std::error::Error>> {
        Ok((
            scope.bus.compare(config).await?,
            scope.bus.compare_consumer(config, &consumer).await?,
        ))
    };
    for _ in 0..2 {
        assert_eq!(both(&config).await?, (Presence::Missing, Presence::Missing));
    }
    let stream = scope.bus.stream(&config).await?;
    assert_eq!(both(&config).await?, (Presence::Same, Presence::Missing));
    stream.consumer(&consumer).await?;
    assert_eq!(both(&config).await?, (Presence::Same, Presence::Same));
    config.max_messages = Some(71);
    let Presence::Differs { difference } = scope.bus.compare(&config).await? else {
        return Err("it is not the same".into());
    };
    assert!(difference.contains("71"), "{difference}");
    Ok(())
}

pub(crate) async fn a_consumer_of_another_part_differs(scope: Scope) -> Verdict {
    let config = scope.config("ORDERS", &["orders.*"]);
    let mut consumer = ConsumerConfig::new(scope.name("reader"));
    scope.bus.stream(&config).await?.consumer(&consumer).await?;
    consumer.filter = Some(scope.at("orders.o-7"));
    let compared = scope.bus.compare_consumer(&config, &consumer).await?;
    assert!(
        matches!(&compared, Presence::Differs { difference } if difference.contains("o-7")),
        "{compared:?}"
    );
    Ok(())
}
