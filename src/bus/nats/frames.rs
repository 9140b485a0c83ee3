//! The server's side of the protocol, as far as it must be known to look at headers.

use super::block::{self, Fault};
use bytes::{BufMut, BytesMut};
use std::io;

/// What was found while bytes were passed on.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) subject: String,
    pub(super) fault: Fault,
}

/// How long a line of the protocol may be; `INFO` of a large cluster is the longest.
const LONGEST_LINE: usize = 1024 * 1024;
/// How large one message may be; a server takes 64 MiB at most.
const LARGEST: usize = 128 * 1024 * 1024;

/// Moves whole operations from one buffer to the other. A message that the client cannot read
/// is replaced by one that says so and has its header block in front of its payload.
pub(super) fn pass(
    from: &mut BytesMut,
    to: &mut BytesMut,
    found: &mut impl FnMut(Unreadable),
) -> io::Result<()> {
    while let Some(end) = line_end(from)? {
        let is_message = from.starts_with(b"MSG ");
        if !is_message && !from.starts_with(b"HMSG ") {
            to.put(from.split_to(end + 2));
            continue;
        }
        let Some(sizes) = sizes(&from[..end], is_message)? else {
            return Err(odd("a message without its sizes"));
        };
        let whole = end + 2 + sizes.1 + 2;
        if from.len() < whole {
            from.reserve(whole - from.len());
            return Ok(());
        }
        let message = from.split_to(whole);
        match judge(&message, end, sizes.0) {
            None => to.put(message),
            Some(fault) => {
                let subject = rewrite(&message, end, sizes, fault, to);
                found(Unreadable { subject, fault });
            }
        }
    }
    Ok(())
}

/// Returns where the first line ends, before its `\r\n`.
fn line_end(from: &BytesMut) -> io::Result<Option<usize>> {
    let end = from.windows(2).position(|pair| pair == b"\r\n");
    if end.is_none() && from.len() > LONGEST_LINE {
        return Err(odd("a line without end"));
    }
    Ok(end)
}

/// Reads how long the header block is, and all of the message.
fn sizes(line: &[u8], is_plain: bool) -> io::Result<Option<(usize, usize)>> {
    let mut words = line
        .rsplit(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let mut number = || str::from_utf8(words.next()?).ok()?.parse::<usize>().ok();
    let Some(total) = number() else {
        return Ok(None);
    };
    let head = if is_plain { Some(0) } else { number() };
    let Some(head) = head.filter(|head| *head <= total) else {
        return Ok(None);
    };
    if total > LARGEST {
        return Err(odd("a message without measure"));
    }
    Ok(Some((head, total)))
}

/// Returns why the client could not read a message, if so.
fn judge(message: &[u8], end: usize, head: usize) -> Option<Fault> {
    let line = &message[..end];
    let is_text = line.is_ascii()
        || str::from_utf8(line).is_ok_and(|line| {
            !line.contains(|c: char| !c.is_ascii() && (c.is_whitespace() || c.is_control()))
        });
    if !is_text {
        return Some("its subject is not text, or has white space in it");
    }
    if !message.starts_with(b"HMSG ") {
        return None;
    }
    block::parse(&message[end + 2..][..head]).err()
}

/// Writes a message that the client can read instead, and returns its subject.
fn rewrite(
    message: &[u8],
    end: usize,
    (head, total): (usize, usize),
    fault: Fault,
    to: &mut BytesMut,
) -> String {
    let line = String::from_utf8_lossy(&message[..end]);
    // Only blanks part the words: other white space is part of a subject.
    let mut words: Vec<String> = line
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.replace(
                |c: char| !c.is_ascii() && (c.is_whitespace() || c.is_control()),
                "\u{FFFD}",
            )
        })
        .collect();
    let numbers = if message.starts_with(b"MSG ") { 1 } else { 2 };
    words.truncate(words.len() - numbers);
    words.remove(0);
    let (head, payload) = message[end + 2..][..total].split_at(head);
    let (head, pin) = block::without_pin(head);
    let notice = block::notice(fault, head.len(), pin);
    let (notice_len, all) = (notice.len(), notice.len() + head.len() + payload.len());
    to.put_slice(format!("HMSG {} {notice_len} {all}\r\n{notice}", words.join(" ")).as_bytes());
    to.put_slice(&head);
    to.put_slice(payload);
    to.put_slice(b"\r\n");
    words.swap_remove(0)
}

/// Returns the server's greeting without its wish for TLS, which was fulfilled.
pub(super) fn without_tls(info: &[u8]) -> io::Result<Vec<u8>> {
    let mut info: serde_json::Value = serde_json::from_slice(info)?;
    if let Some(fields) = info.as_object_mut() {
        for name in ["tls_required", "tls_available", "tls_verify"] {
            fields.remove(name);
        }
    }
    Ok(format!("INFO {info}\r\n").into_bytes())
}

pub(super) fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(chunks: &[&[u8]]) -> (Vec<u8>, Vec<String>) {
        let (mut from, mut to, mut found) = (BytesMut::new(), BytesMut::new(), Vec::new());
        for chunk in chunks {
            from.put_slice(chunk);
            let moved = pass(&mut from, &mut to, &mut |one| {
                found.push(format!("{}: {}", one.subject, one.fault));
            });
            moved.expect("the protocol is kept");
        }
        assert!(from.is_empty(), "{from:?}");
        (to.to_vec(), found)
    }

    const SOUND: &[u8] = b"INFO {}\r\nPING\r\n+OK\r\nMSG a 1 5\r\na\r\nbc\r\n\
        HMSG a.b 2 r.s 18 20\r\nNATS/1.0\r\nx: y\r\n\r\nhi\r\n-ERR 'no'\r\n";

    #[test]
    fn what_the_client_can_read_is_passed_on_as_it_is() {
        assert_eq!(passed(&[SOUND]), (SOUND.to_vec(), vec![]));
        let bytes: Vec<&[u8]> = SOUND.chunks(1).collect();
        assert_eq!(passed(&bytes), (SOUND.to_vec(), vec![]));
    }

    #[test]
    fn what_it_cannot_read_is_replaced_with_its_bytes_kept() {
        let bad = b"HMSG a.b 2 r.s 18 20\r\nNATS/1.0\r\nx: \xFF\r\n\r\nhi\r\nPING\r\n";
        let (to, found) = passed(&[bad]);
        assert_eq!(found, ["a.b: its headers are not UTF-8"]);
        let text = String::from_utf8_lossy(&to);
        assert!(text.starts_with("HMSG a.b 2 r.s "), "{text}");
        assert!(text.contains("cb-raw-headers: 18\r\n"), "{text}");
        assert!(
            to.ends_with(b"\r\n\r\nNATS/1.0\r\nx: \xFF\r\n\r\nhi\r\nPING\r\n"),
            "{text}"
        );
        assert_eq!(passed(&[&to]).1, Vec::<String>::new(), "it can be read now");
    }

    #[test]
    fn a_subject_that_is_no_text_becomes_one() {
        for bad in [
            &b"MSG a.\xFF 1 2\r\nhi\r\n"[..],
            "MSG a.\u{2003}b 1 2\r\nhi\r\n".as_bytes(),
            "HMSG a.\u{A0} 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n".as_bytes(),
        ] {
            let (to, found) = passed(&[bad]);
            let text = String::from_utf8(to).expect("all of it is text");
            assert!(text.starts_with("HMSG a.\u{FFFD}"), "{text}");
            assert!(text.contains(" 1 ") && text.ends_with("hi\r\n"), "{text}");
            assert_eq!(found.len(), 1);
        }
    }

    #[test]
    fn what_is_no_protocol_is_refused() {
        for bad in [
            &b"MSG a\r\n"[..],
            b"HMSG a 1 9 3\r\n",
            b"MSG a 1 99999999999\r\n",
        ] {
            let (mut from, mut to) = (BytesMut::from(bad), BytesMut::new());
            assert!(pass(&mut from, &mut to, &mut |_| {}).is_err());
        }
    }
}
