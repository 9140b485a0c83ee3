/// Returns the partition of a key token: FNV-1a (32 bit) modulo the count.
///
/// This is the function of the NATS server's `{{partition(count,1)}}` subject
/// transform, so a reader can tell where the broker files a key.
///
/// # Panics
///
/// Panics if `count` is 0.
pub fn partition(token: &str, count: u32) -> u32 {
    let hash = token.bytes().fold(0x811C_9DC5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % count
}

#[cfg(test)]
mod tests {
    use super::partition;

    #[test]
    fn the_hash_is_fnv_1a() {
        // Published test vectors: http://www.isthe.com/chongo/tech/comp/fnv/
        assert_eq!(partition("a", u32::MAX), 0xE40C_292C);
        assert_eq!(partition("foobar", u32::MAX), 0xBF9C_F968);
    }
}
