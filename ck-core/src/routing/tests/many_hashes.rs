use std::iter::repeat_n;
use std::ops::Range;

use fearless_simd::{Level, Simd};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::hash::key_hash;
use super::super::many_hashes::for_each_hash_at;
use super::super::md5_lanes::{LANES, MAX_LANE_KEY_BYTES, first_words};
use super::super::{partition_for, partitions_for_many};

/// Every level that this processor has, and what the compiler may take for granted: no vectors, on x86-64.
fn levels() -> Vec<Level> {
    let best = Level::new();
    let mut levels = vec![best, Level::baseline()];
    #[cfg(target_arch = "x86_64")]
    levels.extend(best.as_sse4_2().map(|simd| simd.level()));
    levels
}

/// Where there are lanes, and not only keys one by one.
fn levels_with_lanes() -> impl Iterator<Item = Level> {
    levels().into_iter().filter(|level| !level.is_fallback())
}

fn hashes(level: Level, keys: &[Vec<u8>]) -> Vec<u32> {
    let mut hashes = Vec::new();
    for_each_hash_at(level, keys.iter().map(Vec::as_slice), |hash| hashes.push(hash));
    hashes
}

/// Keys of these lengths, no two alike.
fn keys_of(lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let keys = lengths.into_iter().enumerate();
    keys.map(|(i, length)| (0..length).map(|at| (i * 31 + at * 7) as u8).collect())
        .collect()
}

fn assert_same(keys: &[Vec<u8>]) {
    let one_by_one: Vec<u32> = keys.iter().map(|key| key_hash(key)).collect();
    for level in levels() {
        assert_eq!(hashes(level, keys), one_by_one, "{level:?}");
    }
}

#[test]
fn the_md5_test_suite_of_rfc_1321() {
    let suite: [(&str, u32); 7] = [
        ("", 0xd41d_8cd9),
        ("a", 0x0cc1_75b9),
        ("abc", 0x9001_5098),
        ("message digest", 0xf96b_697d),
        ("abcdefghijklmnopqrstuvwxyz", 0xc3fc_d3d7),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            0xd174_ab98,
        ),
        (
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            0x57ed_f4a2,
        ),
    ];
    let keys = suite.map(|(text, _)| text.as_bytes().to_vec());
    for level in levels() {
        assert_eq!(hashes(level, &keys), suite.map(|(_, hash)| hash), "{level:?}");
    }
    for level in levels_with_lanes() {
        let mut lanes: [&[u8]; LANES] = [&[]; LANES];
        for (lane, key) in lanes.iter_mut().zip(&keys) {
            *lane = key;
        }
        let words = first_words(level, &lanes);
        for (word, (text, hash)) in words.into_iter().zip(suite) {
            assert_eq!(word.map(u32::swap_bytes), Some(hash), "{level:?}: {text:?}");
        }
    }
}

#[test]
fn every_vector_has_its_hash() {
    #[derive(serde::Deserialize)]
    struct Vectors {
        keys: Vec<Key>,
    }
    #[derive(serde::Deserialize)]
    struct Key {
        hex: String,
        hash: u32,
    }
    let vectors: Vectors = serde_json::from_str(include_str!("../../../../tests/vectors/keys.json")).unwrap();
    assert!(vectors.keys.len() >= 500);
    let bytes = |key: &Key| {
        let digits = (0..key.hex.len()).step_by(2).map(|at| &key.hex[at..at + 2]);
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    };
    let keys: Vec<Vec<u8>> = vectors.keys.iter().map(bytes).collect();
    let expected: Vec<u32> = vectors.keys.iter().map(|key| key.hash).collect();
    for level in levels() {
        assert_eq!(hashes(level, &keys), expected, "{level:?}");
    }
}

#[test]
fn every_length_in_every_lane() {
    const LENGTHS: Range<usize> = 0..200;
    for shift in 0..LANES {
        assert_same(&keys_of(LENGTHS.cycle().skip(shift).take(LENGTHS.len() + LANES)));
    }
}

#[test]
fn lanes_take_keys_of_up_to_two_blocks() {
    assert_eq!(MAX_LANE_KEY_BYTES, 119);
    for level in levels_with_lanes() {
        for length in 0..300 {
            let keys = keys_of([length; LANES]);
            let lanes: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let words = first_words(level, lanes.as_slice().try_into().unwrap());
            assert_eq!(
                words.iter().all(Option::is_some),
                length <= MAX_LANE_KEY_BYTES,
                "{level:?}: {length}"
            );
        }
    }
}

#[test]
fn long_keys_among_short_ones() {
    for long in [63, 64, 119, 120, 1000, 100_000] {
        for place in 0..LANES {
            let mut lengths = [8; LANES];
            lengths[place] = long;
            assert_same(&keys_of(lengths));
            let mut lengths = [long.min(1000); LANES];
            lengths[place] = 8;
            assert_same(&keys_of(lengths));
        }
    }
}

#[test]
fn numbers_are_written_until_keys_or_room_end() {
    for (keys, room) in [
        (0, 3),
        (3, 0),
        (3, 5),
        (5, 3),
        (16, 16),
        (16, 17),
        (17, 16),
        (40, 33),
    ] {
        let keys = keys_of((0..keys).map(|_| 8));
        let mut taken = 0;
        let mut partitions = vec![u32::MAX; room];
        let counted = keys.iter().map(|key| {
            taken += 1;
            key.as_slice()
        });
        let written = partitions_for_many(counted, 1000, &mut partitions);
        assert_eq!(written, keys.len().min(room));
        assert_eq!(taken, written, "no key is taken for which there is no room");
        let expected = keys.iter().map(|key| partition_for(key, 1000)).take(room);
        let expected: Vec<u32> = expected.chain(repeat_n(u32::MAX, room - written)).collect();
        assert_eq!(partitions, expected);
    }
}

#[test]
fn an_iterator_that_has_ended_is_not_asked_again() {
    let keys = keys_of([8; 3]);
    let mut next = 0;
    let begins_anew = std::iter::from_fn(|| {
        next += 1;
        keys.get((next - 1) % (keys.len() + 1)).map(Vec::as_slice)
    });
    let mut partitions = [0; 10];
    assert_eq!(partitions_for_many(begins_anew, 7, &mut partitions), 3);
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(u32::MAX), 1..100_000u32, any::<u32>()]
}

proptest! {
    #[test]
    fn many_keys_fall_where_each_one_falls(
        keys in vec(vec(any::<u8>(), 0..200), 0..40),
        count in count(),
    ) {
        let one_by_one: Vec<u32> = keys.iter().map(|key| partition_for(key, count)).collect();
        let mut partitions = vec![u32::MAX; keys.len()];
        let written = partitions_for_many(keys.iter().map(Vec::as_slice), count, &mut partitions);
        prop_assert_eq!(written, keys.len());
        prop_assert_eq!(&partitions, &one_by_one);
        let hashes_one_by_one: Vec<u32> = keys.iter().map(|key| key_hash(key)).collect();
        for level in levels() {
            prop_assert_eq!(hashes(level, &keys), hashes_one_by_one.clone(), "{:?}", level);
        }
    }
}
