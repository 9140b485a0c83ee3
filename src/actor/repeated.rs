use std::time::Duration;
use tokio::time::Instant;

/// How long a reason that stays the same is not told again.
const REPEAT_INTERVAL: Duration = Duration::from_mins(1);

/// A filter for what fails again and again: it lets each reason through once a minute.
#[derive(Debug, Default)]
pub(super) struct Repeated(Option<(String, Instant)>);

impl Repeated {
    /// Returns whether a reason is another one than before, or was told a minute ago.
    pub(super) fn is_due(&mut self, reason: &str, now: Instant) -> bool {
        if let Some((last, told)) = &self.0
            && last == reason
            && now < *told + REPEAT_INTERVAL
        {
            return false;
        }
        self.0 = Some((reason.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_reason_is_told_once_a_minute_and_another_one_at_once() {
        let (mut repeated, start) = (Repeated::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(repeated.is_due("no stream", at(0)));
        assert!(!repeated.is_due("no stream", at(59)));
        assert!(repeated.is_due("no server", at(59)));
        assert!(repeated.is_due("no stream", at(59)));
        assert!(repeated.is_due("no stream", at(119)));
    }
}
