//! What a node refuses before it starts, in words that help.

use crate::{
    farm::{Farm, Sown},
    support::{
        log::Log,
        way::{Verdict, Way, both_buses},
    },
};
use callboard::{
    Actor, Bus, Context, Failure, Group, GroupError, Node, NodeError, bus::StreamConfig,
};

fn farm(name: &'static str) -> Group {
    Farm::new("one", &Log::default()).group(name)
}

#[tokio::test]
async fn a_second_node_of_a_name_is_refused_until_the_first_is_gone() -> Verdict {
    both_buses(async |way| {
        let first = way.node("n").start().await?;
        let text = way
            .node("n")
            .start()
            .await
            .expect_err("the name is taken")
            .to_string();
        for fact in ["`n`", &format!("`{}`", way.namespace), "another name"] {
            assert!(text.contains(fact), "{text}");
        }
        let beside = way.node("m").start().await?;
        let elsewhere = way
            .node("n")
            .namespace(format!("{}x", way.namespace))
            .start()
            .await?;
        first.stop().await?;
        let again = way.node("n").start().await?;
        for node in [beside, elsewhere, again] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stream_that_captures_requests_is_refused_by_its_name() -> Verdict {
    both_buses(async |way| {
        for (number, what) in ["cmd.>", "cmd.farm.who", "sys.*", "inst.>"]
            .iter()
            .enumerate()
        {
            let way = if way.is_embedded() {
                Way::embedded(true)
            } else {
                Way::nats(true).await?
            };
            let name = format!("GREEDY_{}_{number}", way.namespace);
            let subject = format!("{}.{what}", way.namespace);
            way.bus
                .stream(&StreamConfig::new(&name, [subject.clone()]))
                .await?;
            let refused = way.node("n").group(farm("farm")).start().await;
            let text = refused
                .expect_err("its replies would be receipts")
                .to_string();
            for fact in [&*name, &*subject, "narrow its subjects"] {
                assert!(text.contains(fact), "{text}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stream_that_is_there_with_other_settings_is_refused() -> Verdict {
    both_buses(async |way| {
        let mut config = StreamConfig::events(&way.names(), "farm");
        config.partitions = 4;
        way.bus.stream(&config).await?;
        let refused = way.node("n").group(farm("farm")).start().await;
        let text = refused.expect_err("the stream differs").to_string();
        assert!(
            text.contains(&config.name) && text.contains("partition"),
            "{text}"
        );
        Ok(())
    })
    .await
}

/// Returns what a node with these groups says.
async fn said(groups: Vec<Group>) -> String {
    let node = groups
        .into_iter()
        .fold(Node::new("n", Bus::embedded()), Node::group);
    node.start()
        .await
        .expect_err("its table is wrong")
        .to_string()
}

fn idle(name: &'static str) -> Actor<()> {
    Actor::new(name, async || Ok(()))
}

async fn sown((): &mut (), _: Sown, _: &Context) -> Result<(), Failure> {
    Ok(())
}

#[tokio::test]
async fn wrong_names_are_refused_and_a_right_one_is_shown() -> Verdict {
    for name in ["", "Shop", "shop 1", "shop.1", "a\n", "*"] {
        let refused = Node::new(name, Bus::embedded()).start().await;
        assert!(
            matches!(&refused, Err(NodeError::Name { .. })),
            "{refused:?}"
        );
        let text = refused.expect_err("it is no name").to_string();
        assert!(
            text.contains("such as `shop-1`") && !text.contains('\n'),
            "{text}"
        );
        let refused = Node::new("n", Bus::embedded())
            .namespace(name)
            .start()
            .await;
        let text = refused.expect_err("it is no namespace").to_string();
        assert!(text.contains("such as `shop`"), "{text}");
        let text = said(vec![Group::new(name)]).await;
        assert!(text.contains("is not a name"), "{text}");
    }
    for name in ["x_y", "X", "a/b", "a#1"] {
        let text = said(vec![Group::new("g").child(idle(name))]).await;
        assert!(
            text.contains(&format!("`g/{name}` is not a name")),
            "{text}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_contradicts_itself_is_refused() -> Verdict {
    let twice = said(vec![Group::new("g"), Group::new("g")]).await;
    assert!(twice.contains("`g` is there twice"), "{twice}");
    let twice = said(vec![
        Group::new("g").child(idle("a")).child(Group::new("a")),
    ])
    .await;
    assert!(twice.contains("`g/a` is there twice"), "{twice}");
    let two = said(vec![farm("farm"), farm("fair")]).await;
    assert!(
        two.contains("`farm`") && two.contains("`fair`") && two.contains("one group"),
        "{two}"
    );
    let two = said(vec![Group::new("g").child(farm("a")).child(farm("b"))]).await;
    assert!(
        two.contains("`g/a/farmer`") && two.contains("`g/b/farmer`"),
        "{two}"
    );
    let heard = Group::new("g").child(idle("a").on(sown).on(sown));
    assert!(matches!(heard.check(), Err(GroupError::HeardTwice { .. })));
    let heard = said(vec![heard]).await;
    assert!(heard.contains("`g/a` hears `farm.sown` twice"), "{heard}");
    Ok(())
}
