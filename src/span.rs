//! Durations in files as people write them: `250ms`, `3s`, `1m 30s`.

use serde::{
    Deserializer, Serializer,
    de::{Error, Visitor},
};
use std::{fmt, time::Duration};

pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*span))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_str(Written)
}

/// Reads what somebody wrote, and says what would be right.
struct Written;

impl Visitor<'_> for Written {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"3s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        humantime::parse_duration(text).map_err(|error| {
            E::custom(format!(
                "`{text}` is not a duration ({error}); write `250ms`, `3s` or `1m 30s`"
            ))
        })
    }
}

/// The longest span that clocks are sure to reckon with.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// Returns what is wrong with a span of this name, and what would be right.
pub(crate) fn fault(name: &str, span: Duration) -> Option<String> {
    if span.is_zero() {
        return Some(format!("`{name}` is zero; give it a time such as `10s`"));
    }
    too_long(name, span)
}

/// Returns what is wrong with a span that may be zero.
pub(crate) fn too_long(name: &str, span: Duration) -> Option<String> {
    (span > LONGEST).then(|| format!("`{name}` is longer than a year; make it shorter"))
}

/// The same for a duration that may be left out.
pub(crate) mod maybe {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let span = Option::<Span>::deserialize(from)?;
        Ok(span.map(|Span(span)| span))
    }

    #[derive(Deserialize)]
    struct Span(#[serde(with = "super")] Duration);
}
