//! The hashes of many keys, each the same as that of [`key_hash`], at a fraction of its cost.

use std::sync::LazyLock;

use fearless_simd::Level;

use super::hash::key_hash;
use super::md5_lanes::{LANES, MAX_LANE_KEY_BYTES, first_words};

/// Lanes cost the same however many of them hold a key: about as much as two keys one by one with AVX2, and four with SSE.
const MIN_KEYS_IN_LANES: usize = 4;

/// What this processor can do.
static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

/// Calls `each` with the hash of every key, in order. Allocates nothing.
#[inline]
pub(super) fn for_each_hash<'k>(keys: impl IntoIterator<Item = &'k [u8]>, mut each: impl FnMut(u32)) {
    if cfg!(debug_assertions) {
        // Where nothing is optimised every instruction on lanes is a call: a key costs twenty times as much as alone, and
        // 250 KB of the stack.
        keys.into_iter().for_each(|key| each(key_hash(key)));
    } else {
        for_each_hash_at(*LEVEL, keys, each);
    }
}

/// [`for_each_hash`] with the instructions of `level`.
#[inline]
pub(super) fn for_each_hash_at<'k>(
    level: Level,
    keys: impl IntoIterator<Item = &'k [u8]>,
    mut each: impl FnMut(u32),
) {
    let mut keys = keys.into_iter();
    loop {
        let mut batch: [&[u8]; LANES] = [&[]; LANES];
        let mut filled = 0;
        for (place, key) in batch.iter_mut().zip(&mut keys) {
            *place = key;
            filled += 1;
        }
        let keys = batch.iter().take(filled);
        let in_lanes = keys.clone().filter(|key| key.len() <= MAX_LANE_KEY_BYTES).count();
        if in_lanes < MIN_KEYS_IN_LANES {
            keys.for_each(|key| each(key_hash(key)));
        } else {
            for (key, first_word) in keys.zip(first_words(level, &batch)) {
                each(first_word.map_or_else(|| key_hash(key), u32::swap_bytes));
            }
        }
        // An iterator that has ended is not asked again: it may begin anew.
        if filled < LANES {
            return;
        }
    }
}
