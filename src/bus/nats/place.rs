use std::time::{Duration, SystemTime};

/// What a delivery's reply subject says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How often it was delivered.
    pub(super) attempt: u32,
    /// Its place in the stream.
    pub(super) sequence: u64,
    /// Its place among the consumer's deliveries.
    pub(super) turn: u64,
    /// When it was stored.
    pub(super) time: SystemTime,
    /// How many wait behind it.
    pub(super) pending: u64,
}

impl Place {
    pub(super) fn of(message: &async_nats::Message) -> Option<Self> {
        Self::parse(message.reply.as_deref()?)
    }

    /// Reads `$JS.ACK.{stream}.{consumer}` and five numbers, or the same with
    /// domain and account before the stream and more behind the numbers.
    fn parse(reply: &str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let dots = rest.bytes().filter(|byte| *byte == b'.').count();
        let names = if dots >= 8 { 4 } else { 2 };
        let mut numbers = rest.split('.').skip(names);
        let mut number = || numbers.next()?.parse::<u64>().ok();
        let attempt = number()?;
        Some(Self {
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            sequence: number()?,
            turn: number()?,
            time: SystemTime::UNIX_EPOCH + Duration::from_nanos(number()?),
            pending: number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Place;
    use std::time::{Duration, SystemTime};

    #[test]
    fn both_forms_of_a_reply_subject_are_read() {
        let expected = Place {
            attempt: 2,
            sequence: 30,
            turn: 4,
            time: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500),
            pending: 6,
        };
        for reply in [
            "$JS.ACK.S.c.2.30.4.1500.6",
            "$JS.ACK._.hash.S.c.2.30.4.1500.6",
            "$JS.ACK.hub.hash.S.c.2.30.4.1500.6.token",
        ] {
            assert_eq!(Place::parse(reply), Some(expected), "{reply}");
        }
        for odd in ["", "$JS.ACK.S.c", "$JS.ACK.S.c.x.1.1.1.1", "_INBOX.a.b"] {
            assert_eq!(Place::parse(odd), None, "{odd}");
        }
    }
}
