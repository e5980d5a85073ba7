//! The integer hash that breaks ties. It is the same on every platform and never changes, because plans are compared across
//! versions.

/// The finaliser of SplitMix64: every input bit reaches every output bit.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A hash of two small numbers.
pub(super) const fn pair(a: u64, b: u64) -> u64 {
    mix(mix(a.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_add(b.wrapping_mul(0xd6e8_feb8_6659_fd93)))
}

/// A place in `0..len` to start a cyclic scan at; 0 when `len` is 0.
pub(super) fn scan_start(a: usize, b: usize, len: usize) -> usize {
    if len == 0 {
        0
    } else {
        (pair(a as u64, b as u64) % len as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_change() {
        assert_eq!(pair(0, 0), GOLDEN_HASHES[0]);
        assert_eq!(pair(1, 2), GOLDEN_HASHES[1]);
        assert_eq!(pair(2, 1), GOLDEN_HASHES[2]);
    }

    // Computed by another program.
    const GOLDEN_HASHES: [u64; 3] = [
        0x4821_8226_ff3c_d4bf,
        0x9130_6053_5674_8961,
        0x0d41_2a9b_93a2_d5a8,
    ];

    #[test]
    fn starts_are_spread_evenly() {
        let mut hits = [0u32; 10];
        (0..10_000).for_each(|i| hits[scan_start(i, 7, 10)] += 1);
        assert!(hits.iter().all(|&h| (900..1100).contains(&h)), "{hits:?}");
        assert_eq!(scan_start(1, 2, 0), 0);
    }
}
