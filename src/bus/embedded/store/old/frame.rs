//! How a file of the store is cut into pieces that prove themselves whole.
//!
//! A frame is a magic number, the length of its content, a CRC-32 of it, and
//! the content: one byte that says its kind, then its body.

const MAGIC: [u8; 4] = [0xCB, 0x0A, 0xED, 0x51];
/// How many bytes stand before a frame's content.
pub(super) const HEAD: usize = 12;
/// The largest content; a message takes at most little more than 1 MiB.
const LARGEST: usize = 64 * 1024 * 1024;

/// A frame that proved whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
    /// Its size with its head.
    pub(super) size: usize,
}

impl<'a> Frame<'a> {
    /// Takes apart bytes that were parsed as one frame before.
    pub(super) fn proven(bytes: &'a [u8]) -> Self {
        Self { kind: bytes[HEAD], body: &bytes[HEAD + 1..], size: bytes.len() }
    }
}

/// What some bytes hold at their start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// As far as can be seen a frame of this size, of which some is not there.
    Short {
        size: usize,
    },
    Broken,
}

/// Reads the frame that stands at the start of some bytes.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        let start = bytes.len().min(MAGIC.len());
        let may_be = bytes[..start] == MAGIC[..start];
        return if may_be {
            Parsed::Short { size: HEAD }
        } else {
            Parsed::Broken
        };
    };
    let length = number(&head[4..8]) as usize;
    if head[..4] != MAGIC || !(1..=LARGEST).contains(&length) {
        return Parsed::Broken;
    }
    let Some(content) = rest.get(..length) else {
        return Parsed::Short { size: HEAD + length };
    };
    if crc32fast::hash(content) != number(&head[8..12]) {
        return Parsed::Broken;
    }
    Parsed::Frame(Frame::proven(&bytes[..HEAD + length]))
}

/// Returns where, from a place on, a frame may start.
pub(super) fn next_magic(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)
}

fn number(bytes: &[u8]) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(bytes);
    u32::from_le_bytes(four)
}
