//! Reading what a newer program wrote: fields that a type does not know are passed over,
//! also where the type refuses them in what people write.

use super::codec;
use serde::{
    de::{
        DeserializeOwned, Deserializer, Error, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Value;

/// Decodes a value, and passes over fields that its type, or one within it, does not know.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let said: Value = codec::decode(bytes).map_err(|error| error.to_string())?;
    read(said).map_err(|error| format!("is not of the expected shape: {error}"))
}

/// Reads a value that was read as any already.
pub(crate) fn read<T: DeserializeOwned>(said: Value) -> Result<T, serde_json::Error> {
    T::deserialize(Known(said))
}

/// Reads a field so, for serde's `deserialize_with`.
pub(crate) fn field<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<T, D::Error> {
    let said = serde::Deserialize::deserialize(from)?;
    read(said).map_err(D::Error::custom)
}

/// A value of which structs see the fields that they know.
struct Known(Value);

impl IntoDeserializer<'_, serde_json::Error> for Known {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Known {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(items) => {
                let items = items.into_iter().map(Known);
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Value::Object(entries) => {
                let entries = entries.into_iter().map(|(name, value)| (name, Self(value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let Value::Object(mut entries) = self.0 else {
            return Err(Error::custom("fields with names are expected"));
        };
        entries.retain(|name, _| fields.contains(&&**name));
        Self(Value::Object(entries)).deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::message::codec;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: BTreeMap<String, Inner>,
        list: Option<Vec<Inner>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        number: f64,
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over_at_any_depth() {
        let inner = json!({ "number": 1, "more": [1, { "x": null }] });
        let said = json!({ "inner": { "a": inner }, "list": [inner], "more": {} });
        let read = decode::<Outer>(&codec::encode(&said).expect("it is short"));
        let inner = || Inner { number: 1.0 };
        let outer = Outer { inner: [("a".to_owned(), inner())].into(), list: Some(vec![inner()]) };
        assert_eq!(read, Ok(outer));
        for wrong in [
            json!([]),
            json!({ "inner": { "a": [1] } }),
            json!({ "list": 3 }),
        ] {
            let bytes = codec::encode(&wrong).expect("it is short");
            assert!(decode::<Outer>(&bytes).is_err(), "{wrong}");
        }
    }
}
