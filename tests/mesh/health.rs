//! A group that cannot work is there, and is not healthy.

use crate::{
    support::way::{Verdict, both_buses, until},
    yard::{Dog, nodes, quick, yard},
};
use callboard::{
    Query,
    roster::{Instance, Status},
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};

const OFTEN: Duration = Duration::from_millis(50);

/// Returns a check whose outcome is told by a number.
fn bowl(mood: &Arc<AtomicU8>) -> impl AsyncFn() -> Result<(), &'static str> + Clone + use<> {
    let mood = Arc::clone(mood);
    async move || match mood.load(SeqCst) {
        0 => Ok(()),
        1 => Err("the bowl is empty"),
        2 => unreachable!("a check that panics"),
        _ => pending().await,
    }
}

#[tokio::test]
async fn a_group_that_fails_its_checks_is_there_and_not_healthy() -> Verdict {
    both_buses(async |way| {
        let mood = Arc::new(AtomicU8::new(1));
        let group = yard().healthy_if("bowl", bowl(&mood));
        let one = quick(way, "one")
            .check_every(OFTEN)
            .group(group)
            .start()
            .await?;
        let two = quick(way, "two").group(yard()).start().await?;
        let roster = two.roster();
        let one_of = || {
            roster
                .of("yard")
                .iter()
                .find(|it| it.node() == "one")
                .cloned()
        };
        let reason = || one_of().and_then(|one: Instance| one.service().reason.clone());
        // It starts sick: nobody calls it for healthy before the first look.
        until("one", async || {
            reason() == Some("bowl: the bowl is empty".to_owned())
        })
        .await;
        assert_eq!(nodes(&roster, "yard"), ["two"]);
        assert_eq!(one_of().map(|one| one.service().status), Some(Status::Sick));
        assert_eq!(roster.find(&Query::of("yard").any_status()).len(), 2);
        assert_eq!(roster.statistics().by_service["yard"].unhealthy, 1);
        mood.store(0, SeqCst);
        until("its recovery", async || {
            nodes(&roster, "yard") == ["one", "two"]
        })
        .await;
        mood.store(2, SeqCst);
        until("its panic", async || {
            reason().is_some_and(|it| it.contains("panicked"))
        })
        .await;
        mood.store(0, SeqCst);
        until("its recovery", async || {
            nodes(&roster, "yard") == ["one", "two"]
        })
        .await;
        mood.store(3, SeqCst);
        until("its silence", async || {
            reason() == Some("bowl: no answer within 5s".to_owned())
        })
        .await;
        one.stop().await?;
        Ok(two.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_group_whose_actor_is_started_again_is_not_healthy_meanwhile() -> Verdict {
    both_buses(async |way| {
        let (fails, dog) = (Arc::new(AtomicU8::new(0)), Dog::limping());
        let group = dog(Arc::clone(&fails));
        let one = quick(way, "one").group(group).start().await?;
        let two = quick(way, "two").start().await?;
        assert_eq!(nodes(&two.roster(), "kennel"), ["one"]);
        fails.store(1, SeqCst);
        until("trouble", async || {
            nodes(&two.roster(), "kennel").is_empty()
        })
        .await;
        fails.store(0, SeqCst);
        until("its recovery", async || {
            nodes(&two.roster(), "kennel") == ["one"]
        })
        .await;
        two.stop().await?;
        Ok(one.stop().await?)
    })
    .await
}
