//! Whether two payloads say the same: the one rule for what is asked again and for
//! what is run again.
//!
//! The order of a map's entries does not count, nor does that of a list's items: a
//! `HashMap` and a `HashSet` are written in another order each time, and a payload
//! does not say which of its lists was a set. So two lists are the same if each has
//! the same items, each as often; whoever wants an order to count says it in a
//! field, such as a position. Everything else counts.

use super::codec;
use serde::{
    Serialize,
    de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// Any MessagePack value, in a form in which two can be compared and told.
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
    Map(Vec<(Self, Self)>),
}

/// Returns whether two payloads are the same value, but for the order of lists and
/// maps. What is no MessagePack is like its own bytes only.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let sorted = |payload: &[u8]| codec::decode::<Value>(payload).map(Value::sorted);
    one == other || matches!((sorted(one), sorted(other)), (Ok(one), Ok(other)) if one == other)
}

/// Returns whether a payload that was stored says the same as one of now, both of a
/// type: what the type has gained since counts as it is by default, and what it has
/// lost does not count. Returns nothing if the stored one is not of the type any more.
pub(crate) fn alike_as<T: Serialize + DeserializeOwned>(stored: &[u8], now: &[u8]) -> Option<bool> {
    if alike(stored, now) {
        return Some(true);
    }
    let read = codec::decode::<T>(stored).ok()?;
    let again = codec::encode(&read).ok()?;
    Some(alike(&again, now))
}

/// Writes a payload for a person; nothing if it is no MessagePack.
pub(crate) fn told(payload: &[u8]) -> Option<String> {
    let value = codec::decode::<Value>(payload).ok()?;
    Some(value.to_string())
}

impl Value {
    /// Sorts its lists and maps, through and through.
    fn sorted(self) -> Self {
        match self {
            Self::List(list) => {
                let mut list: Vec<_> = list.into_iter().map(Self::sorted).collect();
                list.sort_unstable();
                Self::List(list)
            }
            Self::Map(map) => {
                let entries = map.into_iter();
                let entries = entries.map(|(key, value)| (key.sorted(), value.sorted()));
                let mut map: Vec<_> = entries.collect();
                map.sort_unstable();
                Self::Map(map)
            }
            plain => plain,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Negative(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Float(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::List(list) => {
                f.write_str("[")?;
                for (at, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(map) => {
                f.write_str("{")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// Reads a value of any type.
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

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
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
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};

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
        let text = told(&a_first).unwrap();
        assert_eq!(text, r#"{"a": 1, "b": [-2, null, 0.5]}"#);
    }

    #[test]
    fn what_is_written_twice_is_alike() {
        let map: BTreeMap<_, _> = [("x", vec![1_u64, u64::MAX]), ("y", vec![])].into();
        let (one, two) = (codec::encode(&map), codec::encode(&map));
        assert!(alike(&one.unwrap(), &two.unwrap()));
    }

    #[test]
    fn lists_of_the_same_items_are_alike_in_whatever_order_and_of_others_are_not() {
        let list = |items: &[&[u8]]| codec::encode(&items).unwrap();
        let one = list(&[&[1, 2], &[3], &[3]]);
        assert!(alike(&one, &list(&[&[3], &[2, 1], &[3]])));
        assert!(!alike(&one, &list(&[&[3], &[2, 1]])), "one less");
        assert!(
            !alike(&one, &list(&[&[1, 3], &[2], &[3]])),
            "in other lists"
        );
        assert!(
            !alike(&one, &list(&[&[1, 2], &[1, 2], &[3]])),
            "each as often"
        );
        let set = || codec::encode(&(0..50_u8).collect::<HashSet<_>>()).unwrap();
        assert!((0..10).all(|_| alike(&set(), &set())));
    }

    #[test]
    fn what_is_not_of_the_type_any_more_is_neither_the_same_nor_another() {
        let number = codec::encode(&7_u8).unwrap();
        let text = codec::encode("7").unwrap();
        assert_eq!(alike_as::<String>(&number, &text), None);
        assert_eq!(alike_as::<String>(&text, &text), Some(true));
        assert_eq!(alike_as::<u8>(&number, &text), Some(false));
    }
}
