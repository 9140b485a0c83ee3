use super::json::{self, JsonError};
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, Read},
};

/// The longest JSON text that is read, in bytes: all that fits a payload, and
/// room for indentation.
const LONGEST: u64 = 4 * 1024 * 1024;

const ARGUMENT: &str = "the JSON argument";

/// Reads the JSON argument, `-` for standard input or `@file`, as MessagePack.
pub(super) fn payload(argument: &str) -> Result<Bytes, InputError> {
    let (name, text) = match argument.strip_prefix('@') {
        _ if argument == "-" => (
            "standard input".to_owned(),
            read("standard input", io::stdin().lock())?,
        ),
        Some(path) => {
            let file = File::open(path)
                .map_err(|reason| InputError::Unreadable { name: path.into(), reason })?;
            (path.to_owned(), read(path, file)?)
        }
        None => (ARGUMENT.to_owned(), argument.to_owned()),
    };
    json::encode(text.trim_start_matches('\u{FEFF}')).map_err(|reason| match reason {
        JsonError::Syntax { .. } if name == ARGUMENT => InputError::Argument(reason),
        reason => InputError::Json { name, reason },
    })
}

/// Reads a file, `-` for standard input.
pub(super) fn text(name: &str) -> Result<String, InputError> {
    if name == "-" {
        return read("standard input", io::stdin().lock());
    }
    let unreadable = |reason| InputError::Unreadable { name: name.into(), reason };
    read(name, File::open(name).map_err(unreadable)?)
}

fn read(name: &str, from: impl Read) -> Result<String, InputError> {
    let mut text = String::new();
    let read = from.take(LONGEST + 1).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > LONGEST => Err(InputError::TooLong { name: name.into() }),
        Ok(_) => Ok(text),
        Err(reason) => Err(InputError::Unreadable { name: name.into(), reason }),
    }
}

/// Why there is no payload to send.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("{ARGUMENT} {0}; quote it for the shell, as in '{{\"order\":\"o-1\"}}'")]
    Argument(JsonError),
    #[error("{name} {reason}")]
    Json { name: String, reason: JsonError },
    #[error("{name} cannot be read: {reason}")]
    Unreadable { name: String, reason: io::Error },
    #[error("{name} is longer than {LONGEST} bytes; send a reference instead")]
    TooLong { name: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_the_argument_or_a_file() {
        assert_eq!(payload("[1]").unwrap(), json::encode("[1]").unwrap());
        let path = std::env::temp_dir().join(format!("callboard-input-{}", std::process::id()));
        std::fs::write(&path, "\u{FEFF}{\"a\": 1}\n").unwrap();
        let read = payload(&format!("@{}", path.display()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap(), json::encode(r#"{"a":1}"#).unwrap());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let missing = payload("@/nowhere/at/all").unwrap_err().to_string();
        assert!(
            missing.starts_with("/nowhere/at/all cannot be read: "),
            "{missing}"
        );
        let broken = payload("{").unwrap_err().to_string();
        assert!(
            broken.starts_with("the JSON argument is not JSON: ") && broken.contains("quote it"),
            "{broken}"
        );
        let path = std::env::temp_dir().join(format!("callboard-broken-{}", std::process::id()));
        std::fs::write(&path, "{").unwrap();
        let broken = payload(&format!("@{}", path.display()));
        std::fs::remove_file(&path).unwrap();
        let broken = broken.unwrap_err().to_string();
        assert!(broken.contains(" is not JSON: "), "{broken}");
        assert!(
            !broken.contains("quote it"),
            "no shell has seen it: {broken}"
        );
        assert!(matches!(
            read("x", io::repeat(b' ')),
            Err(InputError::TooLong { .. })
        ));
    }
}
