//! The mapping from key to partition: a published contract.
//!
//! Smart clients compute it themselves from `hash_config` in `GET /cluster`, in any language, and
//! applications store data by its results. It never changes; the files in `tests/vectors/` prove that.

/// The number of the partition that `key` belongs to among `partition_count`: the first four bytes of
/// the key's MD5, read as a big-endian unsigned number, modulo the count.
///
/// The key is any sequence of bytes, of any length; text is hashed as its UTF-8 bytes. A count of 0,
/// which no cluster has, gives 0.
///
/// ```
/// assert_eq!(clusterkit::routing::partition_for(b"user:1", 64), 16);
/// ```
#[inline]
pub fn partition_for(key: &[u8], partition_count: u32) -> u32 {
    key_hash(key).checked_rem(partition_count).unwrap_or(0)
}

/// The 32 bits of a key that choose its partition. Unsigned from end to end: a signed hash makes the
/// modulo negative for half of all keys.
#[inline]
fn key_hash(key: &[u8]) -> u32 {
    let [a, b, c, d, ..] = md5::compute(key).0;
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_first_four_bytes_of_the_md5_big_endian() {
        // RFC 1321, A.5.
        assert_eq!(key_hash(b""), 0xd41d_8cd9);
        assert_eq!(key_hash(b"a"), 0x0cc1_75b9);
        assert_eq!(key_hash(b"message digest"), 0xf96b_697d);
    }

    #[test]
    fn a_count_of_zero_is_no_panic() {
        assert_eq!(partition_for(b"key", 0), 0);
    }

    #[test]
    fn the_hash_has_no_sign() {
        // d41d8cd9 is negative as an i32: -736_260_903 % 1000 is -903.
        assert_eq!(partition_for(b"", 1000), 0xd41d_8cd9 % 1000);
        for i in 0..10_000u32 {
            assert!(partition_for(&i.to_le_bytes(), 7) < 7);
        }
    }
}
