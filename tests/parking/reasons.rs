//! What a failure says is cut before it is written down.

use crate::farm::{SHORT, Sown, parked, sow};
use crate::support::way::{Verdict, both_buses};
use callboard::{Actor, Context, Failure, Group, Retry};

#[derive(Debug)]
struct Talker;

impl Talker {
    async fn sown(&mut self, sown: Sown, _: &Context) -> Result<(), Failure> {
        let long = format!("{}\n{}", sown.field, "x".repeat(300_000));
        Err(Failure::retry(long))
    }
}

#[tokio::test]
async fn a_key_is_parked_however_much_its_failure_says() -> Verdict {
    both_buses(async |way| {
        let talker = Actor::new("talker", async || Ok(Talker))
            .on(Talker::sown)
            .retry(Retry::new(2).backoff(SHORT, SHORT));
        let node = way
            .node("n")
            .group(Group::new("barn").child(talker))
            .start()
            .await?;
        sow(way, "a1").await?;
        let found = parked(way, 1).await;
        let reason = &found[0].reason;
        assert!(reason.starts_with("a x"), "{}", &reason[..20]);
        assert!(reason.len() <= 1_024, "{} bytes", reason.len());
        Ok(node.stop().await?)
    })
    .await
}
