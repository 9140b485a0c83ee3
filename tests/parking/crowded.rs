//! A key that fails for long leaves room for the others of its partition.

use crate::{
    farm::{Farm, free, sown},
    support::way::{Verdict, both_buses, until},
};
use callboard::{Group, Retry, bus::partition};
use std::time::Duration;

#[tokio::test]
async fn hundreds_of_events_behind_a_failing_one_leave_room_for_other_keys() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a0");
        let wait = Duration::from_secs(8);
        let patient = farm.farmer().retry(Retry::new(9).backoff(wait, wait));
        let group = Group::new("barn").child(patient);
        let node = way.node("n").group(group).start().await?;
        let client = way.client();
        for n in 0..400 {
            client.publish(sown("a", n)).await?;
        }
        let other = (0..).map(|n| format!("b{n}-"));
        let mut other = other.filter(|key| partition(key, 8) == partition("a", 8));
        let other = other.next().unwrap_or_default();
        client.publish(sown(&other, 1)).await?;
        let name = format!("{other}1");
        until("the other key", async || farm.log.count(&name) == 1).await;
        farm.handled(&[&name]);
        farm.mend();
        let lines = farm.log.of(401).await;
        let expected: Vec<_> = (0..400).map(|n| format!("a{n}")).collect();
        assert_eq!(lines[1..], expected);
        free(way).await;
        client.publish(sown("a", 400)).await?;
        farm.log.of(402).await;
        Ok(node.stop().await?)
    })
    .await
}
