//! Random ids, times and texts, as far as headers can carry them.

use callboard::message::{Envelope, Id, Key, Request, Trace};
use proptest::{option, prelude::*};
use std::time::{Duration, SystemTime};

pub(crate) fn text() -> impl Strategy<Value = String> {
    "[^\\r\\n]{0,12}"
}

/// What identifies something: an empty one counts as absent.
fn some_text() -> impl Strategy<Value = String> {
    "[^\\r\\n]{1,12}"
}

pub(crate) fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        any::<u128>().prop_map(|bits| {
            let hex = format!("{bits:032x}");
            let parts = [
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..],
            ];
            Id::from(parts.join("-").as_str())
        }),
        some_text().prop_map(|text| Id::from(text.as_str())),
    ]
}

pub(crate) fn trace() -> impl Strategy<Value = Trace> {
    (some_text(), option::of(some_text())).prop_map(|(parent, state)| Trace { parent, state })
}

/// A time within what RFC 3339 can tell, to the nanosecond.
pub(crate) fn time() -> impl Strategy<Value = SystemTime> {
    (0..253_402_300_800_u64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    any::<String>().prop_filter_map("a key", |text| Key::new(&text).ok())
}

prop_compose! {
    pub(crate) fn envelope()(
        id in id(),
        (kind, version, source) in ("[a-z]{1,8}\\.[a-z]{1,8}", 1..4_u32, text()),
        (key, other) in (key(), option::of(text())),
        time in option::of(time()),
        (correlation, causation) in (option::of(id()), option::of(id())),
        trace in option::of(trace()),
        payload in any::<Vec<u8>>(),
    ) -> Envelope {
        Envelope {
            correlation: correlation.unwrap_or_else(|| id.clone()),
            subject: other.unwrap_or_else(|| key.decode()),
            payload: payload.into(),
            id, kind, version, source, key, time, causation, trace,
        }
    }
}

prop_compose! {
    pub(crate) fn request()(
        id in id(),
        (correlation, causation) in (option::of(id()), option::of(id())),
        deadline in option::of(0..=u64::from(u32::MAX) * 1_000),
        caller in text(),
        attempt in 1..5_u32,
        trace in option::of(trace()),
        named in any::<bool>(),
    ) -> Request {
        Request {
            correlation: correlation.unwrap_or_else(|| id.clone()),
            deadline: deadline.map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms)),
            id, named, causation, caller: caller.into(), attempt, trace,
        }
    }
}
