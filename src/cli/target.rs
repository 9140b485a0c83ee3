//! What the arguments name: types, subjects, durations.

use crate::message::{Id, Subject, is_name};
use std::time::Duration;

/// The longest time that can be waited.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Where something is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// As an event of this type.
    Event(Subject),
    /// As a plain message on this subject.
    Plain(String),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tokens = text.split('.').count();
        if tokens < 3 {
            return kind(text).map(Self::Event);
        }
        if text.split('.').all(is_literal) {
            return Ok(Self::Plain(text.to_owned()));
        }
        Err("a subject has no empty token, wildcard or white space, as in `shop.note.hello`".into())
    }
}

/// Reads the type of an event or command.
pub(super) fn kind(text: &str) -> Result<Subject, String> {
    match text.split_once('.') {
        // One run names one type; that it lives as long as the process is no loss.
        Some((domain, name)) if is_name(domain) && is_name(name) => {
            Ok(Subject::new(String::leak(text.to_owned())))
        }
        _ => Err(
            "a type is two lowercase tokens of `a-z 0-9 - _` joined by a dot, as in `orders.placed`"
                .into(),
        ),
    }
}

/// Reads the id of an event or command: any text that a header can hold.
pub(super) fn id(text: &str) -> Result<Id, &'static str> {
    if text.is_empty() {
        return Err("the id is empty; leave `--id` out for a new one");
    }
    if text.contains(char::is_control) {
        return Err("an id has no line break or other control character");
    }
    Ok(Id::from(text))
}

/// Reads how long to wait, such as `5s` or `300ms`.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(wait) if wait > Duration::ZERO && wait <= LONGEST_WAIT => Ok(wait),
        Ok(_) => Err("wait longer than nothing and at most 24h".into()),
        Err(error) => Err(format!("{error}; write `5s` or `300ms`")),
    }
}

fn is_literal(token: &str) -> bool {
    let bad = |c: char| matches!(c, '*' | '>') || c.is_whitespace() || c.is_control();
    !token.is_empty() && !token.contains(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_text_that_a_header_can_hold() {
        assert_eq!(id("import 17"), Ok(Id::from("import 17")));
        for bad in ["", "a\r\nb", "a\0"] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn two_tokens_are_a_type_and_more_are_a_subject() {
        let target = |text: &str| text.parse::<Target>();
        assert_eq!(
            target("orders.placed"),
            Ok(Target::Event(Subject::new("orders.placed")))
        );
        assert_eq!(
            target("shop.note.Hello"),
            Ok(Target::Plain("shop.note.Hello".into()))
        );
        for bad in [
            "",
            "orders",
            "Orders.placed",
            "orders.*",
            "a..b",
            "a.b.*",
            "a.b.>",
            "a.b. c",
        ] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn waits_have_units_and_an_end() {
        assert_eq!(wait("300ms"), Ok(Duration::from_millis(300)));
        for bad in ["5", "0s", "25h", "-1s", "soon"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }
}
