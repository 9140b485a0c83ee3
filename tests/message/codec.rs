//! Payloads are MessagePack with field names, all of it and nothing more.

use callboard::message::codec::{DecodeError, EncodeError, MAX_PAYLOAD, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) order: String,
    pub(crate) total: u64,
    pub(crate) lines: Vec<Line>,
    pub(crate) status: Status,
    pub(crate) note: Option<String>,
    pub(crate) tags: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) product: String,
    pub(crate) quantity: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Status {
    Open,
    Cancelled { reason: String },
    Moved(String),
    Split(u32, String),
}

pub(crate) fn placed(status: Status) -> Placed {
    let line = |product: &str, quantity| Line { product: product.to_owned(), quantity };
    Placed {
        order: "o-42".to_owned(),
        total: 2_500,
        lines: vec![line("tea", 2), line("cup", 70_000)],
        status,
        note: None,
        tags: BTreeMap::from([("a".to_owned(), -1), ("b".to_owned(), i64::MIN)]),
    }
}

pub(crate) fn all() -> Vec<Placed> {
    let text = || "why".to_owned();
    [
        Status::Open,
        Status::Cancelled { reason: text() },
        Status::Moved(text()),
        Status::Split(7, text()),
    ]
    .map(placed)
    .into()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that `json!` can stand in the call"
)]
fn bytes(value: Value) -> bytes::Bytes {
    encode(&value).expect("a small value")
}

fn malformed<T: std::fmt::Debug>(result: &Result<T, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::Malformed { .. }))
}

#[test]
fn a_value_reads_back() {
    for value in all() {
        let bytes = encode(&value).expect("a small value");
        assert_eq!(decode::<Placed>(&bytes), Ok(value));
    }
}

#[test]
fn structs_are_written_with_their_field_names() {
    let bytes = encode(&Line { product: "tea".to_owned(), quantity: 2 }).expect("a small value");
    assert_eq!(&bytes[..], b"\x82\xa7product\xa3tea\xa8quantity\x02");
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let expected = Line { product: "tea".to_owned(), quantity: 2 };
    let reordered = b"\x82\xa8quantity\x02\xa7product\xa3tea";
    assert_eq!(decode::<Line>(reordered), Ok(expected));
}

#[test]
fn a_struct_without_field_names_is_refused() {
    assert!(malformed(&decode::<Line>(&bytes(json!(["tea", 2])))));
    assert!(malformed(&decode::<Vec<Line>>(&bytes(json!([["tea", 2]])))));
    assert!(malformed(&decode::<Option<Line>>(&bytes(json!([
        "tea", 2
    ])))));
    assert!(malformed(&decode::<Status>(&bytes(
        json!({ "Cancelled": ["why"] })
    ))));
    assert_eq!(decode(&bytes(json!(["tea", 2]))), Ok(("tea".to_owned(), 2)));
}

#[test]
fn unknown_fields_are_ignored() {
    let value = json!({
        "new": [1, { "deep": [null, true, 1.5] }, "x"],
        "product": "tea",
        "newer": null,
        "quantity": 2,
        "newest": { "a": {} },
    });
    let expected = Line { product: "tea".to_owned(), quantity: 2 };
    assert_eq!(decode::<Line>(&bytes(value)), Ok(expected));
}

#[test]
fn a_missing_field_is_named() {
    let Err(DecodeError::Malformed { reason }) =
        decode::<Line>(&bytes(json!({ "product": "tea" })))
    else {
        panic!("a line without a quantity was read");
    };
    assert!(reason.contains("quantity"), "{reason}");
    let unset =
        bytes(json!({ "order": "o", "total": 1, "lines": [], "status": "Open", "tags": {} }));
    assert_eq!(decode::<Placed>(&unset).map(|placed| placed.note), Ok(None));
}

#[test]
fn a_field_given_twice_is_refused() {
    assert!(malformed(&decode::<Line>(
        b"\x83\xa7product\xa1a\xa7product\xa1b\xa8quantity\x02"
    )));
}

#[test]
fn wrong_types_are_refused() {
    for value in [
        json!(null),
        json!(7),
        json!("text"),
        json!([]),
        json!({ "product": 7, "quantity": 2 }),
        json!({ "product": "tea", "quantity": "2" }),
        json!({ "product": "tea", "quantity": -2 }),
        json!({ "product": "tea", "quantity": 2.5 }),
        json!({ "product": "tea", "quantity": 4_294_967_296_u64 }),
        json!({ "product": null, "quantity": 2 }),
        json!({ "product": ["tea"], "quantity": 2 }),
        json!({ "product": "tea", "quantity": { "n": 2 } }),
    ] {
        assert!(malformed(&decode::<Line>(&bytes(value.clone()))), "{value}");
    }
    for value in [
        json!("Closed"),
        json!({ "Moved": 7 }),
        json!({ "Split": [7] }),
        json!(7),
        json!({}),
    ] {
        assert!(
            malformed(&decode::<Status>(&bytes(value.clone()))),
            "{value}"
        );
    }
}

#[test]
fn the_largest_payload_is_256_kib_both_ways() {
    let fits = "a".repeat(MAX_PAYLOAD - 5);
    let bytes = encode(&fits).expect("exactly the limit");
    assert_eq!((bytes.len(), decode(&bytes)), (MAX_PAYLOAD, Ok(fits)));

    let larger = "a".repeat(MAX_PAYLOAD - 4);
    assert_eq!(
        encode(&larger),
        Err(EncodeError::TooLarge { bytes: MAX_PAYLOAD + 1 })
    );
    let larger = vec![0x01; MAX_PAYLOAD + 1];
    assert_eq!(
        decode::<u8>(&larger),
        Err(DecodeError::TooLarge { bytes: MAX_PAYLOAD + 1 })
    );
}
