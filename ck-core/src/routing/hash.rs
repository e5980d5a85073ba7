//! The mapping from key to partition: a published contract.
//!
//! Smart clients compute it themselves from `hash_config` in `GET /cluster`, in any language, and
//! applications store data by its results. It never changes; the files in `tests/vectors/` prove that.

use super::many_hashes::for_each_hash;

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
    partition_of(key_hash(key), partition_count)
}

/// Writes the number of the partition of each key to `partitions`, in order: the same numbers as
/// [`partition_for`], for less than a quarter of the time where the processor has AVX2. Ends with the keys or
/// with `partitions`, whichever is shorter, and returns how many numbers it has written.
///
/// Sixteen keys of up to 119 bytes are hashed at once; longer keys are hashed one by one. Allocates nothing.
///
/// ```
/// use clusterkit::routing::partitions_for_many;
///
/// let keys = ["user:1", "user:2", "user:3"];
/// let mut partitions = [0; 3];
/// assert_eq!(partitions_for_many(keys.map(str::as_bytes), 64, &mut partitions), 3);
/// assert_eq!(partitions, [16, 2, 41]);
/// ```
pub fn partitions_for_many<'k>(
    keys: impl IntoIterator<Item = &'k [u8]>,
    partition_count: u32,
    partitions: &mut [u32],
) -> usize {
    let keys = keys.into_iter().take(partitions.len());
    let mut places = partitions.iter_mut();
    let mut written = 0;
    for_each_partition(keys, partition_count, |number| {
        if let Some(place) = places.next() {
            *place = number;
            written += 1;
        }
    });
    written
}

/// Calls `each` with the number of the partition of every key, in order.
#[inline]
pub(super) fn for_each_partition<'k>(
    keys: impl IntoIterator<Item = &'k [u8]>,
    partition_count: u32,
    mut each: impl FnMut(u32),
) {
    for_each_hash(keys, |hash| each(partition_of(hash, partition_count)));
}

#[inline]
fn partition_of(hash: u32, partition_count: u32) -> u32 {
    hash.checked_rem(partition_count).unwrap_or(0)
}

/// The 32 bits of a key that choose its partition. Unsigned from end to end: a signed hash makes the
/// modulo negative for half of all keys.
#[inline]
pub(super) fn key_hash(key: &[u8]) -> u32 {
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
