//! Header blocks as bytes: which of them the client can read, and what is made of the others.
//!
//! The client ends its connection over a header block that it cannot read, and panics over some.
//! What is accepted here is what it accepts, and never more.

use super::headers::inbound;
use crate::message::{
    Headers,
    headers::{CB_RAW_HEADERS, CB_UNREADABLE},
};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::{BufMut, Bytes, BytesMut};

/// How the first line of every header block begins.
const VERSION: &str = "NATS/1.0";

/// Why a header block cannot be read.
pub(super) type Fault = &'static str;

/// Reads a header block as the client does.
pub(super) fn parse(block: &[u8]) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    let mut lines = lines(block)?.peekable();
    while let Some(line) = lines.next() {
        let Some((name, value)) = name_of(line)? else {
            continue;
        };
        let mut value = value.trim_start().to_owned();
        while let Some(folded) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(folded);
        }
        value.truncate(value.trim_end().len());
        let name: HeaderName = name.parse().map_err(|_| BAD_NAME)?;
        headers.append(name, HeaderValue::from(value));
    }
    Ok(headers)
}

/// Reads what a stream keeps, or says in headers and payload that it cannot be read; that is
/// told, too.
pub(super) fn read(block: &[u8], payload: Bytes, tell: impl FnOnce(Fault)) -> (Headers, Bytes) {
    if block.is_empty() {
        return (Headers::new(), payload);
    }
    match parse(block) {
        Ok(headers) => (inbound(&headers), payload),
        Err(fault) => {
            tell(fault);
            let mut headers = Headers::with_capacity(2);
            headers.put(CB_UNREADABLE, fault);
            headers.put(CB_RAW_HEADERS, block.len().to_string());
            let mut raw = BytesMut::with_capacity(block.len() + payload.len());
            raw.put_slice(block);
            raw.put_slice(&payload);
            (headers, raw.freeze())
        }
    }
}

/// Returns the header block that stands before a message that cannot be read. The message's
/// own block, so long, goes to the front of its payload.
pub(super) fn notice(fault: Fault, length: usize, pin: Option<&str>) -> String {
    let pin = pin.map(|pin| format!("{PIN}{pin}\r\n")).unwrap_or_default();
    format!("{VERSION}\r\n{CB_UNREADABLE}: {fault}\r\n{CB_RAW_HEADERS}: {length}\r\n{pin}\r\n")
}

/// Takes out of a block what the server wrote at its end, the pin of a consumer.
///
/// The server writes over the last two bytes, whatever they are: where lines end without a
/// carriage return, the pin is a part of the last value.
pub(super) fn without_pin(block: &[u8]) -> (Vec<u8>, Option<&str>) {
    let at = block
        .windows(PIN.len())
        .rposition(|bytes| bytes == PIN.as_bytes());
    let found = at.and_then(|at| {
        let pin = block[at + PIN.len()..].strip_suffix(b"\r\n\r\n")?;
        let is_pin = pin.iter().all(u8::is_ascii_alphanumeric);
        Some((at, str::from_utf8(pin).ok().filter(|_| is_pin)?))
    });
    let Some((at, pin)) = found else {
        return (block.to_vec(), None);
    };
    let mut own = block[..at].to_vec();
    own.extend_from_slice(if own.ends_with(b"\n") {
        b"\r\n"
    } else {
        b"\n\n"
    });
    (own, Some(pin))
}

/// Takes the pin out of the value that the server wrote it behind.
pub(super) fn split_pin(headers: &mut HeaderMap) -> Option<String> {
    let split = headers.iter().find_map(|(name, values)| {
        let (value, pin) = values.last()?.as_str().split_once(PIN)?;
        Some((name.clone(), value.to_owned(), pin.to_owned()))
    });
    let (name, value, pin) = split?;
    headers.insert(name, HeaderValue::from(value));
    Some(pin)
}

/// How the server writes the pin of a consumer.
const PIN: &str = "Nats-Pin-Id: ";
const BAD_NAME: Fault = "a header has a name that is none";

/// Returns the lines behind the first, which says the version.
fn lines(block: &[u8]) -> Result<std::str::Lines<'_>, Fault> {
    let text = str::from_utf8(block).map_err(|_| "its headers are not UTF-8")?;
    let bare = text
        .bytes()
        .zip(text.bytes().skip(1).chain([0]))
        .any(|(byte, next)| byte == b'\r' && next != b'\n');
    if bare {
        return Err("its headers hold a bare carriage return");
    }
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    let status = version
        .strip_prefix(VERSION)
        .ok_or("its headers do not begin with `NATS/1.0`")?
        .trim();
    let status = status
        .split_once(' ')
        .map_or(status, |(status, _)| status.trim());
    let is_status = |text: &str| {
        text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0')
    };
    if !status.is_empty() && !is_status(status) {
        return Err("its headers begin with a status that is no number");
    }
    Ok(lines)
}

/// Splits a line; an empty one, and one that goes on with the line before, has no name.
fn name_of(line: &str) -> Result<Option<(&str, &str)>, Fault> {
    if line.is_empty() {
        return Ok(None);
    }
    let (name, value) = line.split_once(':').ok_or("a header line has no colon")?;
    if name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some((name, value)));
    }
    Err(BAD_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_reads_is_read_alike() {
        let folded = parse(b"NATS/1.0 100 Idle\r\na: b\r\n  c \r\n: empty\nd:\r\n\r\n");
        let folded = folded.expect("it is sound");
        let value = |name: &str| folded.get(name).map(HeaderValue::as_str);
        assert_eq!((value("a"), value("d")), (Some("b  c"), Some("")));
        for sound in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0\na: \0\n\n",
        ] {
            assert!(parse(sound.as_bytes()).is_ok(), "{sound:?}");
        }
    }

    #[test]
    fn each_block_that_breaks_the_client_has_a_fault() {
        for (block, words) in [
            (&b"NATS/1.0\r\na: b\rc\r\n\r\n"[..], "bare carriage return"),
            (b"NATS/1.0\r\na: \xFF\r\n\r\n", "not UTF-8"),
            (b"NATS/1.0\r\nno colon\r\n\r\n", "no colon"),
            (b"NATS/1.0\r\na: b\nc\r\n\r\n", "no colon"),
            (b"NATS/1.0\r\na b: c\r\n\r\n", "name"),
            (b"NATS/1.0\r\n\xC3\xA9: c\r\n\r\n", "name"),
            (b"NATS/2.0\r\na: b\r\n\r\n", "NATS/1.0"),
            (b"NATS/1.0 abc\r\n\r\n", "no number"),
            (b"NATS/1.0 099\r\n\r\n", "no number"),
            (b"\r\n", "NATS/1.0"),
        ] {
            let fault = parse(block).expect_err("it breaks the client");
            assert!(fault.contains(words), "{fault}");
            assert!(parse(notice(fault, block.len(), Some("p")).as_bytes()).is_ok());
        }
    }

    #[test]
    fn the_pin_that_the_server_wrote_is_taken_out_again() {
        for own in [
            &b"NATS/1.0\r\nx: \xFF\r\n\r\n"[..],
            b"NATS/1.0\nx: \xFF\n\n",
        ] {
            let written = [&own[..own.len() - 2], b"Nats-Pin-Id: aB3\r\n\r\n"].concat();
            assert_eq!(without_pin(&written), (own.to_vec(), Some("aB3")));
            assert_eq!(without_pin(own), (own.to_vec(), None));
        }
        let mut headers = parse(b"NATS/1.0\nx: yNats-Pin-Id: aB3\r\n\r\n").expect("it is sound");
        assert_eq!(split_pin(&mut headers).as_deref(), Some("aB3"));
        assert_eq!(headers.get("x").map(HeaderValue::as_str), Some("y"));
        assert_eq!(split_pin(&mut headers), None);
    }

    #[test]
    fn the_raw_bytes_of_what_cannot_be_read_are_kept() {
        let block = b"NATS/1.0\r\na: \xFF\r\n\r\n";
        let mut told = None;
        let body = Bytes::from_static(b"body");
        let (headers, payload) = read(block, body, |fault| told = Some(fault));
        assert_eq!(told, headers.get(CB_UNREADABLE));
        assert!(headers.get(CB_UNREADABLE).is_some());
        assert_eq!(headers.get(CB_RAW_HEADERS), Some("18"));
        assert_eq!(&payload[..], b"NATS/1.0\r\na: \xFF\r\n\r\nbody");
    }
}
