//! The first reply, kept beside the events it came with.

use crate::message::{Headers, batch, codec, headers};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// How an empty reply is encoded; it takes no header.
const NIL: &[u8] = &[0xc0];

/// Up to which size a reply is kept in a header, in bytes: headers have little room.
const LARGEST: usize = 8 * 1024;

/// Where the reply of a command is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nowhere: it is empty.
    Nowhere,
    /// In a header, as this text.
    Header(String),
    /// Among the events, for it is large.
    Payload(Bytes),
}

/// Writes a reply for the message that commits it.
pub(super) fn write<R: Serialize>(reply: &R) -> Result<Kept, codec::EncodeError> {
    let payload = codec::encode(reply)?;
    Ok(match payload.len() {
        _ if *payload == *NIL => Kept::Nowhere,
        ..=LARGEST => Kept::Header(BASE64_STANDARD.encode(&payload)),
        _ => Kept::Payload(payload),
    })
}

/// Reads the reply of the command that committed a message.
pub(super) fn read<R: DeserializeOwned>(headers: &Headers, payload: &[u8]) -> Result<R, String> {
    let reply = match headers.get(headers::CB_REPLY) {
        Some(text) => BASE64_STANDARD
            .decode(text)
            .map_err(|error| error.to_string())?
            .into(),
        None => batch::reply(headers, payload).unwrap_or(Bytes::from_static(NIL)),
    };
    codec::decode(&reply).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_as_it_was_written_and_an_empty_one_takes_no_header() {
        assert_eq!(write(&()), Ok(Kept::Nowhere));
        assert_eq!(read(&Headers::new(), &[]), Ok(()));
        let mut headers = Headers::new();
        let Ok(Kept::Header(text)) = write(&"of 3") else {
            unreachable!("it is small")
        };
        headers.put(headers::CB_REPLY, text);
        assert_eq!(read::<String>(&headers, &[]), Ok("of 3".to_owned()));
        assert!(read::<u32>(&headers, &[]).is_err());
        assert!(matches!(write(&"x".repeat(LARGEST)), Ok(Kept::Payload(_))));
    }
}
