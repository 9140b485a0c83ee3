use super::Fact;
use callboard::{Context, Event, Failure, message::Key};

/// What happened to one key, in order.
#[derive(Debug, Default)]
pub(crate) struct Life {
    facts: Vec<Fact>,
    last: u64,
}

impl Life {
    /// Reads all that happened to a key; nothing happens to what cannot be a key.
    pub(crate) async fn whole(
        ctx: &Context,
        domain: &'static str,
        key: &str,
    ) -> Result<Self, Failure> {
        let Ok(key) = Key::new(key) else {
            return Ok(Self::default());
        };
        let client = ctx.client();
        let name = client.namespace().event_stream(domain);
        let subject = client.namespace().event(domain, &key);
        let stream = client.events(domain).await?;
        let mut life = Self::default();
        for stored in stream.read(&subject, 1).await?.all().await? {
            life.last = stored.sequence;
            life.facts.extend(Fact::of(stored, &name));
        }
        Ok(life)
    }

    /// Reads only the last thing that happened to a key.
    pub(crate) async fn latest(
        ctx: &Context,
        domain: &'static str,
        key: &str,
    ) -> Result<Self, Failure> {
        let Ok(key) = Key::new(key) else {
            return Ok(Self::default());
        };
        let client = ctx.client();
        let name = client.namespace().event_stream(domain);
        let subject = client.namespace().event(domain, &key);
        let Some(stored) = client.events(domain).await?.last(&subject).await? else {
            return Ok(Self::default());
        };
        Ok(Self {
            last: stored.sequence,
            facts: Fact::of(stored, &name).into_iter().collect(),
        })
    }

    /// Returns the last event of a type.
    pub(crate) fn find<E: Event>(&self) -> Option<E> {
        self.facts.iter().rev().find_map(Fact::read)
    }

    /// Returns where the last event stands: what is decided now must come after it.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }
}
