use super::Fact;
use callboard::{Context, Failure};

/// What a domain's events add up to.
pub(crate) trait Fold: Default {
    /// Whose events these are.
    const DOMAIN: &'static str;

    /// Takes in the next event.
    fn apply(&mut self, fact: &Fact);
}

/// A fold that is as new as the stream whenever it is looked at.
#[derive(Debug, Default)]
pub(crate) struct View<S> {
    state: S,
    seen: u64,
}

impl<S: Fold> View<S> {
    /// Takes in what happened since the last look, and returns what it adds up to.
    pub(crate) async fn now(&mut self, ctx: &Context) -> Result<&S, Failure> {
        let client = ctx.client();
        let stream = client.events(S::DOMAIN).await?;
        if stream.info().await?.last_sequence <= self.seen {
            return Ok(&self.state);
        }
        let name = client.namespace().event_stream(S::DOMAIN);
        let filter = client.namespace().events(S::DOMAIN);
        let mut news = stream.read(&filter, self.seen + 1).await?;
        while let Some(stored) = news.next().await? {
            self.seen = stored.sequence;
            if let Some(fact) = Fact::of(stored, &name) {
                self.state.apply(&fact);
            }
        }
        Ok(&self.state)
    }
}
