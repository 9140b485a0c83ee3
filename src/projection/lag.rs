use std::time::{Duration, SystemTime};

/// How far a model is behind its streams, as far as it knows.
///
/// What was stored in this moment is not in it yet: a model learns of news
/// within milliseconds, and within 5 s if word of them got lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// How many messages of its streams wait to be taken in.
    pub messages: u64,
    /// How old what it shows is; zero while nothing waits. A model that cannot
    /// read a stream grows old too.
    pub age: Duration,
}

impl Lag {
    /// Returns whether nothing waits.
    pub const fn is_none(&self) -> bool {
        self.messages == 0 && self.age.is_zero()
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            age: self.age.max(other.age),
        }
    }
}

/// What is known of one stream's end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// The sequence of its last message, as it was seen last.
    pub(super) last: u64,
    /// What the model shows is the world of this time; nothing if it is at the end.
    pub(super) behind_since: Option<SystemTime>,
}

impl End {
    /// Returns how far a position is behind it.
    pub(super) fn lag(self, position: u64, now: SystemTime) -> Lag {
        let age = |since| now.duration_since(since).unwrap_or_default();
        Lag {
            messages: self.last.saturating_sub(position),
            age: self.behind_since.map(age).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Lag};
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_lag_of_several_streams_is_all_messages_and_the_greatest_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let since = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(40));
        let one = End { last: 9, behind_since: since }.lag(4, now);
        let other = End { last: 3, behind_since: None }.lag(3, now);
        let expected = Lag { messages: 5, age: Duration::from_mins(1) };
        assert_eq!(one.and(other), expected);
        assert!(other.is_none() && !one.is_none());
    }
}
