#[cfg(feature = "nats")]
use super::nats;
use super::{Message, embedded};

/// A live subscription; dropping it ends it.
///
/// It holds up to 65,536 messages that were not taken yet, and on the embedded bus up to
/// 64 MiB of them. What comes on top is dropped and counted in
/// [`DROPPED_TOTAL`](crate::telemetry::DROPPED_TOTAL): what must not be lost belongs in a
/// stream.
#[derive(Debug)]
pub struct Subscription(Kind);

#[derive(Debug)]
enum Kind {
    Embedded(embedded::Subscription),
    #[cfg(feature = "nats")]
    Nats(nats::Subscription),
}

impl Subscription {
    pub(super) const fn embedded(subscription: embedded::Subscription) -> Self {
        Self(Kind::Embedded(subscription))
    }

    #[cfg(feature = "nats")]
    pub(super) const fn nats(subscription: nats::Subscription) -> Self {
        Self(Kind::Nats(subscription))
    }

    /// Asks for nothing more: [`next`](Self::next) returns what was on its way,
    /// then nothing.
    ///
    /// Over NATS that takes 25 ms of silence or, where messages keep coming, a few
    /// more of them: the server is told after how many it ends. If the connection
    /// was lost since the subscription was made it is told to end at once, and what
    /// it sends until it hears that is lost.
    pub fn drain(&mut self) {
        match &mut self.0 {
            Kind::Embedded(subscription) => subscription.drain(),
            #[cfg(feature = "nats")]
            Kind::Nats(subscription) => subscription.drain(),
        }
    }

    /// Waits for the next message; nothing comes after the bus was closed.
    ///
    /// # Cancel safety
    ///
    /// Safe: no message is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Message> {
        match &mut self.0 {
            Kind::Embedded(subscription) => subscription.next().await,
            #[cfg(feature = "nats")]
            Kind::Nats(subscription) => subscription.next().await,
        }
    }
}
