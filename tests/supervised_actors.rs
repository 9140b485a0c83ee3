//! What a group of actors promises its callers, over the bus and without it.

use callboard::{
    Actor, Answer, Bus, CallError, Command, Context, Event, Failure, Group, Infallible, Node,
    Subject,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Serialize, Deserialize)]
struct Add {
    amount: i64,
}

impl Command for Add {
    const SUBJECT: Subject = Subject::new("sums.add");
    type Outcome = Result<i64, Infallible>;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Added {
    sum: i64,
}

impl Event for Added {
    const SUBJECT: Subject = Subject::new("sums.added");

    fn key(&self) -> Cow<'_, str> {
        "the-sum".into()
    }
}

struct Sum(i64);

impl Sum {
    async fn open() -> Result<Self, Failure> {
        Ok(Self(0))
    }

    async fn add(&mut self, add: Add, ctx: &Context) -> Answer<Add> {
        assert!(add.amount != 13, "unlucky");
        self.0 += add.amount;
        ctx.publish(Added { sum: self.0 }).await?;
        Ok(self.0)
    }
}

fn sums() -> Group {
    Group::new("sums").child(Actor::new("sum", Sum::open).answer(Sum::add))
}

#[tokio::test]
async fn a_panic_is_a_500_for_its_caller_and_a_fresh_start_for_the_actor()
-> Result<(), Box<dyn std::error::Error>> {
    for prefer_local in [true, false] {
        let node = Node::new("n", Bus::embedded())
            .group(sums())
            .prefer_local(prefer_local)
            .start()
            .await?;
        let client = node.client();
        assert_eq!(client.call(Add { amount: 2 }).await?, 2);
        let crash = client.call(Add { amount: 13 }).await;
        assert!(
            matches!(crash, Err(CallError::Failed { ref reason, .. }) if reason.contains("unlucky")),
            "{crash:?}"
        );
        assert_eq!(
            client.call(Add { amount: 3 }).await?,
            3,
            "the state is built anew"
        );
        assert_eq!(node.tree().groups[0].children[0].restarts, 1);
        node.stop().await?;
    }
    Ok(())
}
