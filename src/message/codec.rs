//! Types to bytes and back: MessagePack with field names.
//!
//! Positional MessagePack decodes *successfully and wrongly* after fields are
//! reordered, hence names, always. Decoding is bounded in depth and size and
//! must consume every byte. This is the only file that names `rmp_serde`.

use super::guard::{Guard, TOO_DEEP};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// The media type of every payload.
pub const MEDIA_TYPE: &str = "application/msgpack";

/// The deepest nesting a payload may have.
pub const MAX_DEPTH: usize = 32;

/// The largest payload, in bytes: 256 KiB.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// Encodes a value with its field names.
///
/// # Errors
///
/// Returns [`EncodeError`] if the value cannot be serialised, or takes more
/// than [`MAX_PAYLOAD`] bytes.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, EncodeError> {
    let bytes = encode_large(value)?;
    if bytes.len() > MAX_PAYLOAD {
        return Err(EncodeError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Encodes a value of any size, for whoever sends it in parts.
pub(crate) fn encode_large<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, EncodeError> {
    match rmp_serde::to_vec_named(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(EncodeError::Serialize { reason: error.to_string() }),
    }
}

/// Decodes a value, all of it and nothing more.
///
/// Fields that the type does not know are ignored, so messages can grow. A
/// struct written as a list, without its names, is refused.
///
/// # Errors
///
/// Returns [`DecodeError`] if the bytes are not MessagePack of this type, nest
/// deeper than [`MAX_DEPTH`], exceed [`MAX_PAYLOAD`], or go on after the value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX_PAYLOAD {
        return Err(DecodeError::TooLarge { bytes: bytes.len() });
    }
    decode_large(bytes)
}

/// Decodes a value of any size, for whoever put it together from parts.
pub(crate) fn decode_large<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut rest = bytes;
    let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
    let guarded = Guard::new(&mut deserializer, MAX_DEPTH);
    let value = T::deserialize(guarded).map_err(DecodeError::of)?;
    match rest.len() {
        0 => Ok(value),
        trailing => Err(DecodeError::Trailing { bytes: trailing }),
    }
}

/// Why a value could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The type cannot be written as MessagePack.
    #[error("cannot be written as MessagePack: {reason}")]
    Serialize {
        /// What serde said.
        reason: String,
    },
    /// The payload would be too large.
    #[error(
        "takes {bytes} bytes; at most {MAX_PAYLOAD} are allowed: store it elsewhere and send a reference"
    )]
    TooLarge {
        /// The size it would have.
        bytes: usize,
    },
}

/// Why bytes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not MessagePack, end too early, or are of another shape.
    #[error("is not MessagePack of the expected shape: {reason}")]
    Malformed {
        /// What serde said.
        reason: String,
    },
    /// The value nests too deep.
    #[error("nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The payload is too large.
    #[error("takes {bytes} bytes; at most {MAX_PAYLOAD} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The payload goes on after the value.
    #[error("goes on for {bytes} bytes after the value")]
    Trailing {
        /// How many bytes are left over.
        bytes: usize,
    },
}

impl DecodeError {
    fn of(error: rmp_serde::decode::Error) -> Self {
        match error {
            rmp_serde::decode::Error::Syntax(reason) if reason == TOO_DEEP => Self::TooDeep,
            error => Self::Malformed { reason: error.to_string() },
        }
    }
}
