//! Whether what a step says now is what its journal has.

use super::{
    page::Act,
    trip::{Stop, Trip},
};
use crate::message::codec;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor},
};
use std::fmt::{self, Write as _};

/// How much of a command is told, in characters.
const TOLD: usize = 300;

impl Trip {
    /// Parks the saga if its code comes to a step with another command, or event,
    /// than its journal has.
    pub(super) async fn compare<T>(&self, step: &str, was: &Act, now: &Act)
    where
        T: Serialize + DeserializeOwned,
    {
        let Some((was, now)) = difference::<T>(was, now) else {
            return;
        };
        let reason = format!(
            "its code comes to its step `{step}` with {now} now, and its journal has {was}; \
             run it with the code that it began with, or compensate it"
        );
        match self.halt(Stop::Parked(reason)).await {}
    }
}

/// Returns both as text if they differ.
fn difference<T: Serialize + DeserializeOwned>(was: &Act, now: &Act) -> Option<(String, String)> {
    let ((one, old), (other, new)) = (said(was)?, said(now)?);
    let tell = |subject: &str, payload: &[u8]| {
        let text = codec::decode::<Value>(payload).map(|value| value.text());
        let text: String = text.unwrap_or_default().chars().take(TOLD).collect();
        format!("`{subject}` {text}")
    };
    let is_same = one == other && (old == new || is_same::<T>(old, new));
    (!is_same).then(|| (tell(one, old), tell(other, new)))
}

/// Returns what an act says, and under which subject.
fn said(act: &Act) -> Option<(&str, &[u8])> {
    match act {
        Act::Call(order) | Act::Send(order) => Some((&order.subject, &order.payload)),
        Act::Publish { subject, payload } => Some((subject, payload)),
        Act::Sleep { .. } | Act::Wait { .. } => None,
    }
}

/// Whether two payloads of a type mean the same: what the type leaves out does not
/// count, nor does any order.
///
/// One that cannot be read is left to whoever reads it.
fn is_same<T: Serialize + DeserializeOwned>(was: &[u8], now: &[u8]) -> bool {
    let Ok(known) = codec::decode::<T>(was) else {
        return true;
    };
    let Ok(known) = codec::encode(&known) else {
        return true;
    };
    let sorted = |payload: &[u8]| codec::decode::<Value>(payload).map(Value::sorted);
    match (sorted(&known), sorted(now)) {
        (Ok(was), Ok(now)) => was.text() == now.text(),
        _ => true,
    }
}

/// A payload of any type.
enum Value {
    /// What is written as it is told.
    Plain(String),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Value {
    /// Sorts its lists and maps, through and through.
    fn sorted(self) -> Self {
        match self {
            Self::Plain(_) => self,
            Self::List(list) => {
                let mut list: Vec<_> = list.into_iter().map(Self::sorted).collect();
                list.sort_by_cached_key(Self::text);
                Self::List(list)
            }
            Self::Map(map) => {
                let map = map.into_iter();
                let mut map: Vec<_> = map.map(|(key, value)| (key, value.sorted())).collect();
                map.sort_by_cached_key(|(key, _)| key.text());
                Self::Map(map)
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Plain(plain) => text.push_str(plain),
            Self::List(list) => {
                text.push('[');
                for (at, value) in list.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { ", " });
                    value.write(text);
                }
                text.push(']');
            }
            Self::Map(map) => {
                text.push('{');
                for (at, (key, value)) in map.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { ", " });
                    key.write(text);
                    text.push_str(": ");
                    value.write(text);
                }
                text.push('}');
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

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Plain(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Plain(format!("{value:?}")))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        let mut text = "0x".to_owned();
        for byte in value {
            // A string takes all that is written.
            write!(text, "{byte:02x}").ok();
        }
        Ok(Value::Plain(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Plain("null".to_owned()))
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        Value::deserialize(value)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        Value::deserialize(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
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
    use super::{difference, is_same};
    use crate::{
        message::codec,
        saga::page::{Act, Order},
    };
    use serde::{Deserialize, Serialize};
    use std::{
        collections::{HashMap, HashSet},
        error::Error,
    };

    #[derive(Serialize, Deserialize)]
    struct Tagged {
        order: String,
        tags: HashMap<String, u64>,
        seen: HashSet<u8>,
        #[serde(default)]
        note: Option<String>,
    }

    fn tagged(order: &str) -> Tagged {
        Tagged {
            order: order.into(),
            tags: (0..20).map(|n| (format!("tag-{n}"), n)).collect(),
            seen: (0..20).collect(),
            note: None,
        }
    }

    #[derive(Serialize)]
    struct Older<'a> {
        seen: Vec<u8>,
        was: &'a str,
        tags: HashMap<String, u64>,
        order: &'a str,
    }

    #[test]
    fn no_order_and_no_field_that_came_or_went_makes_another_command() -> Result<(), Box<dyn Error>>
    {
        let now = codec::encode(&tagged("o-1"))?;
        for _ in 0..10 {
            assert!(is_same::<Tagged>(&codec::encode(&tagged("o-1"))?, &now));
        }
        let tags = tagged("").tags;
        let older = Older { seen: (0..20).rev().collect(), was: "gone", tags, order: "o-1" };
        assert!(is_same::<Tagged>(&codec::encode(&older)?, &now));
        assert!(!is_same::<Tagged>(&codec::encode(&tagged("o-2"))?, &now));
        Ok(())
    }

    #[test]
    fn both_are_told_and_no_more_of_them_than_a_person_reads() -> Result<(), Box<dyn Error>> {
        let call = |subject: &str, payload: &str| -> Result<_, codec::EncodeError> {
            let (subject, payload) = (subject.to_owned(), codec::encode(payload)?);
            Ok(Act::Call(Order { subject, key: String::new(), payload }))
        };
        let (one, other) = (call("till.pay", "7")?, call("till.pay", &"8".repeat(900))?);
        let (was, now) = difference::<String>(&one, &other).ok_or("they differ")?;
        assert_eq!(was, "`till.pay` \"7\"");
        assert!(now.len() < 400, "{now}");
        assert!(difference::<String>(&one, &call("till.take", "7")?).is_some());
        assert!(difference::<String>(&one, &one).is_none());
        Ok(())
    }
}
