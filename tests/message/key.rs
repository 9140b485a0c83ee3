//! Keys become one subject token each, and no two the same.

use callboard::message::{Key, KeyError};
use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

const NASTY: [char; 24] = [
    '.',
    '*',
    '>',
    ' ',
    '\n',
    '\t',
    '\r',
    '\0',
    '=',
    '_',
    '-',
    '/',
    ':',
    '%',
    '0',
    '2',
    'E',
    'F',
    'a',
    'Z',
    'é',
    '日',
    '😀',
    '\u{10FFFF}',
];

fn any_key(random: &mut fastrand::Rng) -> String {
    (0..random.usize(1..6))
        .map(|_| {
            if random.u8(..8) == 0 {
                random.char(..)
            } else {
                NASTY[random.usize(..24)]
            }
        })
        .collect()
}

#[test]
fn a_million_keys_read_back_and_share_no_token() {
    let mut random = crate::random();
    let hasher = RandomState::new();
    let (mut keys, mut tokens) = (HashSet::new(), HashSet::new());
    for _ in 0..1_000_000 {
        let text = any_key(&mut random);
        let key = Key::new(&text).expect("a short key");
        assert_eq!(key.decode(), text);
        assert!(
            key.as_str()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b)),
            "{text:?} became {key}"
        );
        keys.insert(hasher.hash_one(&text));
        tokens.insert(hasher.hash_one(key.as_str()));
    }
    assert_eq!(keys.len(), tokens.len());
    assert!(keys.len() > 500_000, "only {} different keys", keys.len());
}

#[test]
fn nasty_keys_are_escaped() -> Result<(), KeyError> {
    for (text, token) in [
        ("o-42", "o-42"),
        ("A_z", "A_z"),
        (".", "=2E"),
        ("*", "=2A"),
        (">", "=3E"),
        (" ", "=20"),
        ("\n", "=0A"),
        ("\0", "=00"),
        ("=", "=3D"),
        ("=2E", "=3D2E"),
        ("é", "=C3=A9"),
        ("a.b", "a=2Eb"),
    ] {
        assert_eq!(Key::new(text)?.as_str(), token);
        assert_eq!(Key::from_token(token)?.decode(), text);
    }
    Ok(())
}

#[test]
fn a_key_is_neither_empty_nor_over_128_bytes() {
    assert_eq!(Key::new(""), Err(KeyError::Empty));
    assert!(Key::new(&"a".repeat(128)).is_ok());
    assert_eq!(
        Key::new(&"a".repeat(129)),
        Err(KeyError::TooLong { bytes: 129 })
    );
    assert_eq!(
        Key::new(&"a".repeat(300)),
        Err(KeyError::TooLong { bytes: 300 })
    );
    assert!(Key::new(&".".repeat(42)).is_ok());
    assert_eq!(
        Key::new(&".".repeat(43)),
        Err(KeyError::TooLong { bytes: 129 })
    );
}

#[test]
fn tokens_that_encode_no_key_are_refused() {
    let long = "a".repeat(129);
    for token in [
        "",
        "=",
        "=2",
        "=2e",
        "=GG",
        "=41",
        "=5F",
        "=2D",
        "=FF",
        "=C3",
        "=C3=28",
        "a.b",
        "a b",
        "*",
        ">",
        "é",
        "a=",
        &long,
        "=2E\n",
        "=ED=A0=80",
    ] {
        assert!(
            matches!(Key::from_token(token), Err(KeyError::NotAToken { .. })),
            "{token:?}"
        );
    }
}

#[test]
fn a_token_is_accepted_exactly_if_a_key_encodes_to_it() {
    let mut random = crate::random();
    let alphabet: Vec<char> = "==22EEAC30azZ_-.é".chars().collect();
    let mut accepted = 0;
    for _ in 0..200_000 {
        let length = random.usize(..8);
        let token: String = (0..length)
            .map(|_| alphabet[random.usize(..alphabet.len())])
            .collect();
        let expected = key_of(&token);
        accepted += u32::from(expected.is_some());
        let found = Key::from_token(&token).ok();
        assert_eq!(found.as_ref().map(Key::decode), expected, "{token:?}");
        assert!(found.is_none_or(|key| key.as_str() == token));
    }
    assert!(accepted > 1_000, "only {accepted} tokens were good");
}

/// The rule told another way: unescape, then see whether escaping gives the same.
fn key_of(token: &str) -> Option<String> {
    let mut parts = token.split('=');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (escape, plain) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(escape, 16).ok()?);
        bytes.extend_from_slice(plain.as_bytes());
    }
    let escaped: String = bytes
        .iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
            _ => format!("={byte:02X}"),
        })
        .collect();
    String::from_utf8(bytes)
        .ok()
        .filter(|_| !token.is_empty() && escaped == token)
}
