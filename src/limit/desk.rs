use super::wire::{self, Filter, Panel};
use crate::{
    actor::{Actor, Birth, Context},
    bus::Subscription,
    call::{Client, Lines, Load, survey},
    error::Failure,
    supervision::Child,
};
use tokio::task::JoinSet;

/// How many limits one message tells: more might not fit.
const PAGE: usize = 400;

/// The limits of a node, as a child of a group.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) load: Load,
    pub(crate) lines: Lines,
}

/// The actor that tells of them.
struct Desk {
    /// It does not end before the bus is closed.
    answering: JoinSet<()>,
}

impl From<Watched> for Child {
    fn from(watched: Watched) -> Self {
        let open = move |birth: Birth| {
            let watched = watched.clone();
            async move { Desk::open(watched, birth).await }
        };
        Actor::born("limits", open, Desk::look)
            .on_stop(Desk::close)
            .into()
    }
}

impl Desk {
    async fn open(watched: Watched, birth: Birth) -> Result<Self, Failure> {
        let Birth { client, poke, .. } = birth;
        let question = wire::question(client.namespace());
        let asked = client.bus().subscribe(&question, None).await?;
        let mut answering = JoinSet::new();
        answering.spawn_local(poke.at_end_of(watched.answer(client, asked)));
        Ok(Self { answering })
    }

    async fn look(&mut self, _: &Context) -> Result<(), Failure> {
        match self.answering.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Failure::crash("nobody tells of the node's limits any more")),
        }
    }

    async fn close(&mut self, _: &Context) -> Result<(), Failure> {
        self.answering.shutdown().await;
        Ok(())
    }
}

impl Watched {
    async fn answer(self, client: Client, asked: Subscription) {
        let tell = |filter: Filter| self.told(client.node(), &filter);
        survey::answer(client.bus(), asked, tell).await;
    }

    /// Returns the limits that are asked for, page by page.
    fn told(&self, node: &str, filter: &Filter) -> Vec<Panel> {
        if !filter.wants_node(node) {
            return Vec::new();
        }
        let mut limits = vec![self.load.standing()];
        limits.extend(self.lines.standings());
        limits.retain(|limit| filter.wants(limit));
        let page = |limits: &[_]| Panel { node: node.to_owned(), limits: limits.to_vec() };
        limits.chunks(PAGE).map(page).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Watched};
    use crate::{
        call::{Lines, Load},
        message::{Subject, codec},
        policy::{By, Policies, Policy, Rate},
    };
    use tokio::time::Instant;

    #[test]
    fn a_thousand_limits_fit_into_the_messages_that_tell_of_them() {
        let accept = Policy::new().accept(Rate::default().by(By::Caller));
        let lines = Lines::new(Policies::new().otherwise(accept));
        for number in 0..1_000 {
            let name = format!("a-domain-of-a-long-name.do-something-with-number-{number}");
            let subject = Subject::new(name.leak());
            let line = lines.accepting(subject).expect("it has a policy");
            line.admit(&"long".repeat(100), Instant::now()).ok();
        }
        let watched = Watched { load: Load::new(1), lines };
        let pages = watched.told("a-node-of-a-long-name", &Filter::default());
        assert_eq!(
            pages.iter().map(|page| page.limits.len()).sum::<usize>(),
            1_001
        );
        for page in pages {
            assert!(codec::encode(&page).is_ok_and(|bytes| bytes.len() < 200_000));
        }
    }
}
