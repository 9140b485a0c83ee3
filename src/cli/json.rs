//! JSON as people write it to MessagePack and back.
//!
//! Integers stay exact and fields keep their order. What JSON cannot say is
//! written as text: bytes as Base64, NaN and the infinities by name, an
//! extension as its type and bytes, a key that is no text as its JSON.

use super::out::is_invisible;
use crate::message::codec::{self, DecodeError, EncodeError};
use bytes::Bytes;
use rmpv::Value;
use serde::{
    Serialize, Serializer,
    de::IgnoredAny,
    ser::{SerializeMap, SerializeSeq},
};
use std::fmt::Write;

/// Encodes a JSON text as MessagePack.
pub(super) fn encode(text: &str) -> Result<Bytes, JsonError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| JsonError::Syntax { reason: error.to_string() })?;
    if let Some(number) = inexact(text) {
        return Err(JsonError::Inexact { number: number.to_owned() });
    }
    let bytes = codec::encode(&value)?;
    codec::decode::<IgnoredAny>(&bytes)?;
    Ok(bytes)
}

/// Decodes any MessagePack.
pub(super) fn decode(bytes: &[u8]) -> Result<Json, DecodeError> {
    codec::decode(bytes).map(Json)
}

/// Writes compact JSON that is safe on a terminal.
pub(super) fn text(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("texts are its only keys, so it is JSON");
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || is_invisible(c) {
            write!(text, "\\u{:04x}", u32::from(c)).expect("a string takes all");
        } else {
            text.push(c);
        }
    }
    text
}

/// Writes bytes as Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) as usize & 63;
            text.push(if at > three.len() {
                '='
            } else {
                char::from(DIGITS[digit])
            });
        }
    }
    text
}

/// Finds an integer that a JSON reader would round, outside of texts.
fn inexact(json: &str) -> Option<&str> {
    let number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    json.split('"')
        .scan((false, false), |(inside, escaped), part| {
            let outside = (!*inside).then_some(part);
            // A quote after an odd run of backslashes does not end the text.
            let slashes = part.bytes().rev().take_while(|b| *b == b'\\').count();
            *escaped = *inside && slashes % 2 == 1;
            *inside = if *escaped { true } else { !*inside };
            Some(outside)
        })
        .flatten()
        .flat_map(|outside| outside.split(move |c| !number(c)))
        .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
        .filter(|word| !word.contains(['.', 'e', 'E']))
        .find(|word| word.parse::<u64>().is_err() && word.parse::<i64>().is_err())
}

/// Any MessagePack, to be written as JSON.
#[derive(Debug)]
pub(super) struct Json(Value);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Shown(&self.0).serialize(to)
    }
}

struct Shown<'a>(&'a Value);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Nil => to.serialize_unit(),
            Value::Boolean(flag) => to.serialize_bool(*flag),
            Value::Integer(_) => self.0.serialize(to),
            Value::F32(number) if number.is_finite() => to.serialize_f32(*number),
            Value::F64(number) if number.is_finite() => to.serialize_f64(*number),
            Value::F32(number) => to.collect_str(number),
            Value::F64(number) => to.collect_str(number),
            Value::String(text) => match text.as_str() {
                Some(text) => to.serialize_str(text),
                None => to.serialize_str(&base64(text.as_bytes())),
            },
            Value::Binary(bytes) => to.serialize_str(&base64(bytes)),
            Value::Ext(kind, bytes) => {
                let mut map = to.serialize_map(Some(2))?;
                map.serialize_entry("ext", kind)?;
                map.serialize_entry("data", &base64(bytes))?;
                map.end()
            }
            Value::Array(items) => {
                let mut array = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    array.serialize_element(&Self(item))?;
                }
                array.end()
            }
            Value::Map(entries) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&key_text(key), &Shown(value))?;
                }
                map.end()
            }
        }
    }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::String(name) if name.is_str() => name.as_str().unwrap_or_default().to_owned(),
        Value::Binary(bytes) => base64(bytes),
        other => text(&Shown(other)),
    }
}

/// Why a text cannot be sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    #[error("is not JSON: {reason}")]
    Syntax { reason: String },
    #[error("holds {number}, which does not fit 64 bits; write it as a text")]
    Inexact { number: String },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(json: &str) -> String {
        text(&decode(&encode(json).unwrap()).unwrap())
    }

    fn shown(value: &Value) -> String {
        text(&decode(&codec::encode(value).unwrap()).unwrap())
    }

    #[test]
    fn json_survives_the_wire_unchanged() {
        for json in [
            "null",
            "-5",
            "18446744073709551615",
            "-9223372036854775808",
            "1.5",
            r#"{"z":1,"a":[true,null,"x\"y\n"],"m":{}}"#,
            r#""99999999999999999999 \" 99999999999999999999""#,
        ] {
            assert_eq!(there_and_back(json), json);
        }
    }

    #[test]
    fn a_payload_is_what_the_library_would_send() {
        #[derive(Serialize)]
        struct Placed {
            order: &'static str,
            total: u64,
        }
        let typed = codec::encode(&Placed { order: "o-1", total: 2500 }).unwrap();
        assert_eq!(encode(r#"{"order":"o-1","total":2500}"#).unwrap(), typed);
    }

    #[test]
    fn integers_that_would_be_rounded_are_refused() {
        for json in [
            "18446744073709551616",
            r#"{"a":"\"","b":-9223372036854775809}"#,
        ] {
            assert!(
                matches!(encode(json), Err(JsonError::Inexact { .. })),
                "{json}"
            );
        }
        assert_eq!(there_and_back("1e20"), "1e+20");
    }

    #[test]
    fn what_json_cannot_say_is_written_as_text() {
        assert_eq!(shown(&Value::F64(f64::NAN)), r#""NaN""#);
        assert_eq!(shown(&Value::F32(f32::NEG_INFINITY)), r#""-inf""#);
        assert_eq!(shown(&Value::F32(0.1)), "0.1");
        assert_eq!(shown(&Value::Binary(b"abcd".to_vec())), r#""YWJjZA==""#);
        assert_eq!(shown(&Value::Ext(5, vec![1])), r#"{"ext":5,"data":"AQ=="}"#);
        let keys = [
            Value::from(7),
            Value::Nil,
            Value::Array(vec![Value::from(1)]),
        ];
        let map = Value::Map(keys.map(|key| (key, Value::from(0))).into());
        assert_eq!(shown(&map), r#"{"7":0,"null":0,"[1]":0}"#);
        assert_eq!(shown(&Value::from("\u{9b}2J")), r#""\u009b2J""#);
    }

    #[test]
    fn bad_payloads_and_bad_json_are_refused() {
        assert!(matches!(
            encode("{order: 1}"),
            Err(JsonError::Syntax { .. })
        ));
        assert!(matches!(encode(""), Err(JsonError::Syntax { .. })));
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert_eq!(encode(&deep), Err(JsonError::Decode(DecodeError::TooDeep)));
        let large = format!("\"{}\"", "x".repeat(codec::MAX_PAYLOAD));
        assert!(matches!(encode(&large), Err(JsonError::Encode(_))));
        assert!(decode(&[0xDD, 0xFF, 0xFF, 0xFF, 0xFF]).is_err());
        assert!(decode(&[0x01, 0x02]).is_err());
        assert!(decode(&[]).is_err());
    }

    #[test]
    fn base64_pads() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (bytes, expected) in cases {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }
}
