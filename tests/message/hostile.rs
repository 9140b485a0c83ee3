//! Bytes from anywhere: nothing panics, overflows the stack or takes memory.

use crate::codec::{Placed, Status, all, placed};
use callboard::message::codec::{DecodeError, MAX_PAYLOAD, decode, encode};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use std::{collections::HashMap, fmt, thread};

/// A type that nests by enum variants alone.
#[derive(Debug, PartialEq, Deserialize)]
enum Chain {
    End,
    Next(Box<Self>),
    Named { next: Box<Self> },
    Pair(Box<Self>, u8),
}

/// A type that nests by fields.
#[derive(Debug, PartialEq, Deserialize)]
struct Node {
    next: Option<Box<Self>>,
}

/// Says how much room it was told to make.
#[derive(Debug)]
struct Room;

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Room {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or map")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format!(
            "room for {:?}",
            items.size_hint()
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format!(
            "room for {:?}",
            entries.size_hint()
        )))
    }
}

fn nested(open: &[u8], levels: usize, end: &[u8]) -> Vec<u8> {
    [open.repeat(levels).as_slice(), end].concat()
}

/// Decodes on a stack of 2 MiB, as a thread of a runtime has.
fn decode_on_a_small_stack<T>(bytes: Vec<u8>) -> Option<DecodeError>
where
    T: DeserializeOwned,
{
    thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || decode::<T>(&bytes).err())
        .expect("a thread")
        .join()
        .expect("no panic")
}

fn decode_all(bytes: &[u8]) {
    drop(decode::<Placed>(bytes));
    drop(decode::<Value>(bytes));
    drop(decode::<Chain>(bytes));
    drop(decode::<Node>(bytes));
    drop(decode::<Option<Vec<String>>>(bytes));
    drop(decode::<HashMap<String, (u8, i64, f64, char, bool)>>(bytes));
}

#[test]
fn thirty_two_levels_are_read_and_no_more() {
    assert!(decode::<Value>(&nested(b"\x91", 32, b"\x01")).is_ok());
    assert!(decode::<Value>(&nested(b"\x81\xa1a", 32, b"\x01")).is_ok());
    assert!(decode::<Chain>(&nested(b"\x81\xa4Next", 32, b"\xa3End")).is_ok());
    assert!(decode::<Chain>(&nested(b"\x81\xa5Named\x81\xa4next", 16, b"\xa3End")).is_ok());
    assert!(decode::<Node>(&nested(b"\x81\xa4next", 32, b"\xc0")).is_ok());
}

#[test]
fn a_depth_bomb_is_refused_before_the_stack_overflows() {
    for levels in [33, 10_000, MAX_PAYLOAD] {
        let bomb = |open: &[u8], end: &[u8]| {
            nested(
                open,
                levels.min((MAX_PAYLOAD - end.len()) / open.len()),
                end,
            )
        };
        for found in [
            decode_on_a_small_stack::<Value>(bomb(b"\x91", b"\x01")),
            decode_on_a_small_stack::<Value>(bomb(b"\x81\xa1a", b"\x01")),
            decode_on_a_small_stack::<IgnoredAny>(bomb(b"\x91", b"\x01")),
            decode_on_a_small_stack::<IgnoredAny>(bomb(b"\xdd\0\0\0\x01", b"\x01")),
            decode_on_a_small_stack::<Node>(bomb(b"\x81\xa4next", b"\xc0")),
            decode_on_a_small_stack::<Node>(bomb(b"\x81\xa1?", b"\xc0")),
            decode_on_a_small_stack::<Chain>(bomb(b"\x81\xa4Next", b"\xa3End")),
            decode_on_a_small_stack::<Chain>(bomb(b"\x91\xa4Next", b"\xa3End")),
            decode_on_a_small_stack::<Chain>(bomb(b"\x81\xa5Named\x81\xa4next", b"\xa3End")),
            decode_on_a_small_stack::<Chain>(bomb(b"\x81\xa4Pair\x92", b"\xa3End")),
            decode_on_a_small_stack::<Vec<Chain>>(bomb(b"\x91\xa4Next", b"\xa3End")),
        ] {
            assert_ne!(found, None, "{levels} levels were read");
        }
        assert_eq!(
            decode_on_a_small_stack::<Chain>(bomb(b"\x81\xa4Next", b"\xa3End")),
            Some(DecodeError::TooDeep)
        );
        assert_eq!(
            decode_on_a_small_stack::<Value>(bomb(b"\x91", b"\x01")),
            Some(DecodeError::TooDeep)
        );
    }
}

#[test]
fn a_huge_length_makes_no_room() {
    for prefix in [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"] {
        let Err(DecodeError::Malformed { reason }) = decode::<Room>(prefix) else {
            panic!("a list without entries was read");
        };
        assert_eq!(reason, "room for Some(256)");
    }
}

#[test]
fn a_huge_length_without_content_fails_at_once() {
    let array: &[u8] = b"\xdd\xff\xff\xff\xff";
    let map: &[u8] = b"\xdf\xff\xff\xff\xff";
    for prefix in [
        array,
        map,
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
    ] {
        for tail in [&b""[..], b"\x01", b"\x01\x02\x03", b"\xa1a\x01"] {
            let bytes = [prefix, tail].concat();
            assert!(decode::<Value>(&bytes).is_err());
            assert!(decode::<IgnoredAny>(&bytes).is_err());
            assert!(decode::<String>(&bytes).is_err());
            assert!(decode::<Vec<()>>(&bytes).is_err());
            assert!(decode::<Vec<[u64; 32]>>(&bytes).is_err());
            assert!(decode::<Vec<u8>>(&bytes).is_err());
            assert!(decode::<HashMap<u8, [u64; 32]>>(&bytes).is_err());
            assert!(decode::<Placed>(&bytes).is_err());
        }
    }
}

#[test]
fn a_value_cut_at_any_byte_is_refused() {
    for value in all() {
        let bytes = encode(&value).expect("a small value");
        for end in 0..bytes.len() {
            let cut = decode::<Placed>(&bytes[..end]);
            assert!(
                matches!(cut, Err(DecodeError::Malformed { .. })),
                "{end}: {cut:?}"
            );
        }
    }
}

#[test]
fn bytes_after_the_value_are_refused() {
    let bytes = encode(&placed(Status::Open)).expect("a small value");
    for tail in [&b"\0"[..], b"\xc0\xc0", b"\xc1", b"\x91\x91\x91"] {
        let longer = [&bytes, tail].concat();
        let refused = Err(DecodeError::Trailing { bytes: tail.len() });
        assert_eq!(decode::<Placed>(&longer), refused);
    }
}

#[test]
fn what_is_no_message_pack_is_refused() {
    for bytes in [
        &b""[..],
        b"\xc1",
        b"{\"product\":\"tea\"}",
        b"\xa2\xff\xff",
        b"\x92\x01",
    ] {
        assert!(decode::<Placed>(bytes).is_err());
        assert!(decode::<Value>(bytes).is_err());
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = crate::random();
    let mut bytes = [0; 48];
    for _ in 0..100_000 {
        let length = random.usize(..=bytes.len());
        random.fill(&mut bytes[..length]);
        decode_all(&bytes[..length]);
    }
}

#[test]
fn damaged_values_never_panic() {
    let mut random = crate::random();
    let sound: Vec<_> = all()
        .iter()
        .map(|value| encode(value).expect("a small value"))
        .collect();
    for _ in 0..20_000 {
        let mut bytes = sound[random.usize(..sound.len())].to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        decode_all(&bytes);
    }
}
