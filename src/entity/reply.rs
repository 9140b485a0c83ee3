//! The first reply, kept beside the events it came with.

use crate::message::{Headers, codec, headers};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Serialize, de::DeserializeOwned};

/// How an empty reply is encoded; it takes no header.
const NIL: &[u8] = &[0xc0];

/// Writes a reply for the message that commits it.
pub(super) fn write<R: Serialize>(reply: &R) -> Result<Option<String>, codec::EncodeError> {
    let payload = codec::encode(reply)?;
    Ok((*payload != *NIL).then(|| BASE64_STANDARD.encode(&payload)))
}

/// Reads the reply of the command that committed a message.
pub(super) fn read<R: DeserializeOwned>(headers: &Headers) -> Result<R, String> {
    let kept = headers.get(headers::CB_REPLY);
    let payload = kept.map_or_else(|| Ok(NIL.to_vec()), |text| BASE64_STANDARD.decode(text));
    let payload = payload.map_err(|error| error.to_string())?;
    codec::decode(&payload).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_as_it_was_written_and_an_empty_one_takes_no_header() {
        assert_eq!(write(&()), Ok(None));
        assert_eq!(read(&Headers::new()), Ok(()));
        let mut headers = Headers::new();
        headers.put(
            headers::CB_REPLY,
            write(&"of 3").ok().flatten().unwrap_or_default(),
        );
        assert_eq!(read::<String>(&headers), Ok("of 3".to_owned()));
        assert!(read::<u32>(&headers).is_err());
    }
}
