//! A node whose cable is held: it is there, and takes what it is sent, and says nothing.

use crate::{
    ALONE,
    crowd::Crowd,
    porter::{HEARTBEAT, Porter, quick, route, until_known},
    sick::{EACH, EJECT, MODES, PATIENCE, ROUNDS, suffer},
    support::{
        cable::Cable,
        way::{Verdict, Way},
    },
    watcher::Watcher,
};
use callboard::{Bus, Node};
use std::time::Duration;

/// So long that the roster takes it for alive all the time.
const TTL: Duration = Duration::from_mins(1);

#[tokio::test]
async fn one_whose_cable_is_held_is_left_out_and_is_back_when_it_is_let_go() -> Verdict {
    let _alone = ALONE.lock().await;
    let way = Way::nats(true).await?;
    let cable = Cable::before(&way.url().ok_or("a server")?).await?;
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(Porter::new(name).start(quick(&way, name)).await?);
    }
    let far = Node::new("far", Bus::nats(cable.url()).await?)
        .namespace(&way.namespace)
        .heartbeat(HEARTBEAT, TTL);
    nodes.push(Porter::new("far").start(far).await?);
    let caller = quick(&way, "caller").start().await?;
    until_known(&caller, nodes.len()).await;
    let watcher = Watcher::open(&way).await?;
    route(&caller, "least-in-flight", EJECT).await?;
    let crowd = Crowd::new(&caller.client(), &MODES, EACH, PATIENCE)?;
    let mut is_borne = false;
    for _ in 0..ROUNDS {
        let change = (|| cable.cut(), || cable.mend());
        let cost = suffer((&crowd, &watcher, 600), "far", change).await?;
        cost.tell("Held");
        is_borne = cost.is_borne();
        if is_borne {
            break;
        }
    }
    assert!(is_borne, "the others suffer every time");
    for node in nodes.into_iter().rev() {
        node.stop().await?;
    }
    Ok(caller.stop().await?)
}
