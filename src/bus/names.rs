//! Which subjects, filters and names are well formed.

use crate::message::Headers;

/// How many bytes of headers and payload one message may have; a NATS
/// server's default.
pub(super) const LARGEST: usize = 1024 * 1024;

/// Whether this can be published on: tokens without wildcard and white space.
pub(super) fn is_subject(text: &str) -> bool {
    let mut previous = b'.';
    for byte in text.bytes() {
        match byte {
            b'.' if previous == b'.' => return false,
            b'*' | b'>' | ..=b' ' | 0x7F => return false,
            0x80.. => return text.split('.').all(is_literal),
            _ => previous = byte,
        }
    }
    previous != b'.'
}

/// Whether this can be subscribed to: tokens, `*` for one, a last `>` for the rest.
pub(super) fn is_filter(text: &str) -> bool {
    let (front, last) = text.rsplit_once('.').unwrap_or(("*", text));
    front
        .split('.')
        .all(|token| token == "*" || is_literal(token))
        && (last == ">" || last == "*" || is_literal(last))
}

/// Whether a filter stands for one subject only.
pub(super) fn is_one(filter: &str) -> bool {
    !filter.contains(['*', '>'])
}

/// Whether this can name a stream or a consumer.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 255 && is_literal(text) && !text.contains(['.', '/', '\\'])
}

/// Whether this can name a queue.
pub(super) fn is_queue(text: &str) -> bool {
    is_literal(text)
}

/// Returns the size of headers and payload as a NATS server counts it.
pub(super) fn size(headers: &Headers, payload: &[u8]) -> usize {
    let block = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + ": \r\n".len());
    let frame = if headers.is_empty() {
        0
    } else {
        "NATS/1.0\r\n\r\n".len()
    };
    frame + block.sum::<usize>() + payload.len()
}

fn is_literal(token: &str) -> bool {
    !token.is_empty()
        && !token.contains(|c: char| c == '*' || c == '>' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_no_empty_token_wildcard_or_white_space() {
        for good in ["a", "a.b", "a-b._c.9", "$SRV.PING", "ä.b"] {
            assert!(is_subject(good), "{good}");
        }
        for bad in [
            "", ".", "a.", ".a", "a..b", "a.*", "a.>", "*", "a b", "a\t.b", "a\0", "ä..b",
        ] {
            assert!(!is_subject(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_filter_has_its_arrow_at_the_end() {
        for good in ["a", "*", ">", "a.*", "*.b", "a.*.c.>", "a.>"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "a.", "a..b", ">.a", "a.>.b", "a b", ".>", "a. "] {
            assert!(!is_filter(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_one_token_without_slashes() {
        assert!(is_name("shop_EVT_orders"));
        for bad in ["", "a.b", "a b", "a*", "a>", "a/b", "a\\b"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
