/// Returns a number for two texts: always the same, and even over all numbers.
pub(crate) fn hash(one: &str, other: &str) -> u64 {
    let bytes = one.bytes().chain([0xFF]).chain(other.bytes());
    let mut hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    // FNV-1a alone is uneven in its high bits for texts that differ at their ends.
    for factor in [0xFF51_AFD7_ED55_8CCD, 0xC4CE_B9FE_1A85_EC53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

/// Turns such a number into one above 0 and below 1.
#[expect(clippy::cast_precision_loss, reason = "52 bits are taken of it")]
pub(super) fn share(hash: u64) -> f64 {
    ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}
