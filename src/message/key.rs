use std::fmt;

/// The longest key token, in bytes, after encoding.
const MAX: usize = 128;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// An entity's key as one subject token.
///
/// `A-Z a-z 0-9 _ -` stand for themselves; every other byte of the key's UTF-8
/// is written `=XX` in upper-case hex. The encoding is injective, so two keys
/// never share a subject, and its result holds no dot, wildcard or white space.
///
/// # Examples
///
/// ```
/// use callboard::message::Key;
///
/// let key = Key::new("o-42/a.b")?;
/// assert_eq!(key.as_str(), "o-42=2Fa=2Eb");
/// assert_eq!(key.decode(), "o-42/a.b");
/// # Ok::<(), callboard::message::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Encodes a key.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError`] if the key is empty, or longer than 128 bytes once
    /// encoded.
    pub fn new(key: &str) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        let mut token = String::with_capacity(key.len());
        for byte in key.bytes() {
            if is_plain(byte) {
                token.push(char::from(byte));
            } else {
                token.push('=');
                token.push(char::from(HEX[usize::from(byte >> 4)]));
                token.push(char::from(HEX[usize::from(byte & 0xF)]));
            }
        }
        if token.len() > MAX {
            return Err(KeyError::TooLong { bytes: token.len() });
        }
        Ok(Self(token))
    }

    /// Takes a token as it stands in a subject.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::NotAToken`] if no key encodes to this token.
    pub fn from_token(token: &str) -> Result<Self, KeyError> {
        let refused = || KeyError::NotAToken { token: token.chars().take(MAX).collect() };
        let key = decode(token).ok_or_else(refused)?;
        match Self::new(&key) {
            Ok(encoded) if encoded.0 == token => Ok(encoded),
            _ => Err(refused()),
        }
    }

    /// Returns the subject token.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key that was encoded.
    #[expect(clippy::missing_panics_doc, reason = "a key is built by encoding")]
    pub fn decode(&self) -> String {
        decode(&self.0).expect("a key is built by encoding")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Why a text cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key is empty.
    #[error("the key is empty; a key names one entity, such as `o-42`")]
    Empty,
    /// The key is too long once encoded.
    #[error("the key takes {bytes} bytes as a subject token; at most {MAX} are allowed")]
    TooLong {
        /// The length it would have.
        bytes: usize,
    },
    /// The token was not made by encoding a key.
    #[error("`{token}` is not an encoded key; escape all but `A-Z a-z 0-9 _ -` as `=XX`")]
    NotAToken {
        /// The token, cut to 128 characters.
        token: String,
    },
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn decode(token: &str) -> Option<String> {
    let mut key = Vec::with_capacity(token.len());
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'=' => nibble(bytes.next()?)? << 4 | nibble(bytes.next()?)?,
            plain if is_plain(plain) => plain,
            _ => return None,
        });
    }
    String::from_utf8(key).ok()
}

fn nibble(digit: u8) -> Option<u8> {
    HEX.iter()
        .position(|&hex| hex == digit)
        .and_then(|at| u8::try_from(at).ok())
}
