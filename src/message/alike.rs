//! Whether two payloads say the same.

use super::codec;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Any MessagePack value, in a form in which two can be compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Nil,
    Bool(bool),
    Negative(i64),
    Number(u64),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    /// Sorted.
    Map(Vec<(Self, Self)>),
}

/// Returns whether two payloads are the same value; the order of a map's entries does
/// not count. What is no MessagePack is like its own bytes only.
pub(crate) fn alike(one: &[u8], other: &[u8]) -> bool {
    one == other
        || matches!(
            (codec::decode::<Value>(one), codec::decode::<Value>(other)),
            (Ok(one), Ok(other)) if one == other
        )
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Number))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value.to_bits()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        map.sort_unstable();
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_order_of_entries_does_not_count_and_everything_else_does() {
        // Two entries: `a` is 1, and `b` is the list of -2, nil and 0.5.
        let list = [0x93, 0xfe, 0xc0, 0xca, 0x3f, 0, 0, 0];
        let a_first = [&[0x82, 0xa1, b'a', 1, 0xa1, b'b'][..], &list].concat();
        let b_first = [&[0x82, 0xa1, b'b'][..], &list, &[0xa1, b'a', 1]].concat();
        assert!(alike(&a_first, &b_first));
        let mut other = b_first.clone();
        other.pop();
        other.push(2);
        assert!(!alike(&a_first, &other));
        assert!(!alike(&a_first, b"\xc1"));
        assert!(alike(b"\xc1", b"\xc1"), "the same bytes");
    }

    #[test]
    fn what_is_written_twice_is_alike() {
        let map: BTreeMap<_, _> = [("x", vec![1_u64, u64::MAX]), ("y", vec![])].into();
        let (one, two) = (codec::encode(&map), codec::encode(&map));
        assert!(alike(&one.unwrap(), &two.unwrap()));
    }
}
