//! The first word of the MD5 (RFC 1321) of sixteen keys at once, each key in a lane of the processor's vectors.
//!
//! In one MD5 every step waits for the step before, and most of the processor stands idle. In sixteen that go side by side
//! no lane waits for another.

use fearless_simd::{Level, Simd, SimdBase, SimdFrom, u32x16};

/// How many keys are hashed at once. They fill two vectors of AVX2, so that there is work for the processor while a step
/// of the one waits.
pub(super) const LANES: usize = 16;

const BLOCK_BYTES: usize = 64;
const BLOCK_WORDS: usize = BLOCK_BYTES / 4;
/// The word in which the length of the key begins, in the key's last block.
const LENGTH_WORD: usize = 14;
/// What follows the key at least: the byte that marks its end, and its length, a number of eight bytes.
const PADDING_BYTES: usize = 9;
/// A key with more blocks is not hashed here. Every lane goes through as many blocks as the longest key has: with a longer
/// key among short ones that would cost more than to hash the longer one alone.
const MAX_LANE_BLOCKS: usize = 2;
/// The length of the longest key that is hashed here.
pub(super) const MAX_LANE_KEY_BYTES: usize = MAX_LANE_BLOCKS * BLOCK_BYTES - PADDING_BYTES;

/// One block of all keys: for each of its words, the word of every lane.
type Block = [[u32; LANES]; BLOCK_WORDS];
/// The registers A, B, C and D of every lane.
type Registers<S> = [Lanes<S>; 4];
type Lanes<S> = u32x16<S>;

const INITIAL_REGISTERS: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// One of the four rounds of sixteen steps.
trait Round {
    /// Step `i` adds word `FIRST_WORD + i * WORD_STRIDE` of the block, modulo the number of words ...
    const FIRST_WORD: usize;
    const WORD_STRIDE: usize;
    /// ... and `ADDENDS[i]`. Those of the four rounds are the table T of RFC 1321.
    const ADDENDS: [u32; BLOCK_WORDS];
    /// By how many bits the steps rotate, four in turn.
    const SHIFTS: [u32; 4];

    /// What a step makes of the three registers that it does not change: F, G, H or I of RFC 1321.
    fn mix<S: Simd>(x: Lanes<S>, y: Lanes<S>, z: Lanes<S>) -> Lanes<S>;
}

struct FirstRound;

impl Round for FirstRound {
    const FIRST_WORD: usize = 0;
    const WORD_STRIDE: usize = 1;
    const ADDENDS: [u32; BLOCK_WORDS] = [
        0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
        0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    ];
    const SHIFTS: [u32; 4] = [7, 12, 17, 22];

    #[inline(always)]
    fn mix<S: Simd>(x: Lanes<S>, y: Lanes<S>, z: Lanes<S>) -> Lanes<S> {
        z ^ (x & (y ^ z))
    }
}

struct SecondRound;

impl Round for SecondRound {
    const FIRST_WORD: usize = 1;
    const WORD_STRIDE: usize = 5;
    const ADDENDS: [u32; BLOCK_WORDS] = [
        0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
        0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    ];
    const SHIFTS: [u32; 4] = [5, 9, 14, 20];

    #[inline(always)]
    fn mix<S: Simd>(x: Lanes<S>, y: Lanes<S>, z: Lanes<S>) -> Lanes<S> {
        // RFC 1321 has an OR. The two sides have no bit in common, and a sum can be added one side at a time.
        (x & z) + (y & !z)
    }
}

struct ThirdRound;

impl Round for ThirdRound {
    const FIRST_WORD: usize = 5;
    const WORD_STRIDE: usize = 3;
    const ADDENDS: [u32; BLOCK_WORDS] = [
        0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
        0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    ];
    const SHIFTS: [u32; 4] = [4, 11, 16, 23];

    #[inline(always)]
    fn mix<S: Simd>(x: Lanes<S>, y: Lanes<S>, z: Lanes<S>) -> Lanes<S> {
        x ^ (y ^ z)
    }
}

struct FourthRound;

impl Round for FourthRound {
    const FIRST_WORD: usize = 0;
    const WORD_STRIDE: usize = 7;
    const ADDENDS: [u32; BLOCK_WORDS] = [
        0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
        0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
    ];
    const SHIFTS: [u32; 4] = [6, 10, 15, 21];

    #[inline(always)]
    fn mix<S: Simd>(x: Lanes<S>, y: Lanes<S>, z: Lanes<S>) -> Lanes<S> {
        y ^ (x | !z)
    }
}

/// The first word of the MD5 of each of these keys, its first byte the lowest. `None` for a key that is longer than
/// [`MAX_LANE_KEY_BYTES`], and for every key where `level` has no vectors, as on x86 before 2009: what the library has in
/// their place is much more code, and half as fast as SSE.
pub(super) fn first_words(level: Level, keys: &[&[u8]; LANES]) -> [Option<u32>; LANES] {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = level.as_avx2() {
            return simd.vectorize(
                #[inline(always)]
                || first_words_in_lanes(simd, keys),
            );
        }
        if let Some(simd) = level.as_sse4_2() {
            return simd.vectorize(
                #[inline(always)]
                || first_words_in_lanes(simd, keys),
            );
        }
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(simd) = level.as_neon() {
        return simd.vectorize(
            #[inline(always)]
            || first_words_in_lanes(simd, keys),
        );
    }
    [None; LANES]
}

// Only code that is inlined gets the instructions of `S`: this, and all that it calls.
#[inline(always)]
fn first_words_in_lanes<S: Simd>(simd: S, keys: &[&[u8]; LANES]) -> [Option<u32>; LANES] {
    let block_counts = keys.map(block_count);
    let in_lanes = block_counts.iter().filter(|count| **count <= MAX_LANE_BLOCKS);
    let most_blocks = in_lanes.copied().max().unwrap_or(0);
    let mut first_words = [None; LANES];
    let mut registers = INITIAL_REGISTERS.map(|word| Lanes::splat(simd, word));
    for index in 0..most_blocks {
        registers = compress(simd, &padded_block(keys, index), registers);
        let [a, ..] = registers;
        let lanes: [u32; LANES] = a.into();
        for ((first_word, lane), count) in first_words.iter_mut().zip(lanes).zip(block_counts) {
            if count == index + 1 {
                *first_word = Some(lane);
            }
        }
    }
    first_words
}

/// The number of blocks that the key and its padding fill.
#[inline(always)]
fn block_count(key: &[u8]) -> usize {
    (key.len() + PADDING_BYTES).div_ceil(BLOCK_BYTES)
}

/// Block `index` of every key, with the padding. In the lane of a key that has no such block is anything.
#[inline(always)]
fn padded_block(keys: &[&[u8]; LANES], index: usize) -> Block {
    let mut block = [[0; LANES]; BLOCK_WORDS];
    for (lane, key) in keys.iter().enumerate() {
        let bytes = key.get(index * BLOCK_BYTES..).unwrap_or_default();
        let (words, _) = bytes.as_chunks::<4>();
        for (at, word) in block.iter_mut().zip(words) {
            at[lane] = u32::from_le_bytes(*word);
        }
        // The key ends in this block, if there is a word left for it.
        if let Some(at) = block.get_mut(words.len())
            && key.len() >= index * BLOCK_BYTES
        {
            at[lane] = last_word(key);
        }
        if block_count(key) == index + 1 {
            block[LENGTH_WORD][lane] = 8 * key.len() as u32;
        }
    }
    block
}

/// The bytes of a key that fill no word, and the mark of its end.
#[inline(always)]
fn last_word(key: &[u8]) -> u32 {
    let bits = 8 * (key.len() as u32 % 4);
    // No loop: with keys of many lengths the processor would guess its end wrong.
    let rest = match key.last_chunk::<4>() {
        Some(chunk) => u64::from(u32::from_le_bytes(*chunk)) >> (32 - bits),
        None => key
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    rest as u32 | 0x80 << bits
}

/// The registers after one more block.
#[inline(always)]
fn compress<S: Simd>(simd: S, block: &Block, before: Registers<S>) -> Registers<S> {
    let after = run_round::<FirstRound, S>(simd, block, before);
    let after = run_round::<SecondRound, S>(simd, block, after);
    let after = run_round::<ThirdRound, S>(simd, block, after);
    let after = run_round::<FourthRound, S>(simd, block, after);
    let ([a, b, c, d], [a0, b0, c0, d0]) = (after, before);
    [a + a0, b + b0, c + c0, d + d0]
}

/// The registers after sixteen steps. Each changes one, and after four the first is due again.
#[inline(always)]
fn run_round<R: Round, S: Simd>(
    simd: S,
    block: &Block,
    [mut a, mut b, mut c, mut d]: Registers<S>,
) -> Registers<S> {
    let [s0, s1, s2, s3] = R::SHIFTS;
    for step in (0..BLOCK_WORDS).step_by(4) {
        a = b + rotated(a + input::<R, S>(simd, block, step) + R::mix(b, c, d), s0);
        d = a + rotated(d + input::<R, S>(simd, block, step + 1) + R::mix(a, b, c), s1);
        c = d + rotated(c + input::<R, S>(simd, block, step + 2) + R::mix(d, a, b), s2);
        b = c + rotated(b + input::<R, S>(simd, block, step + 3) + R::mix(c, d, a), s3);
    }
    [a, b, c, d]
}

/// What a step adds: a word of the block and a constant.
#[inline(always)]
fn input<R: Round, S: Simd>(simd: S, block: &Block, step: usize) -> Lanes<S> {
    let word = (R::FIRST_WORD + step * R::WORD_STRIDE) % BLOCK_WORDS;
    Lanes::simd_from(simd, block[word]) + Lanes::splat(simd, R::ADDENDS[step % BLOCK_WORDS])
}

#[inline(always)]
fn rotated<S: Simd>(words: Lanes<S>, bits: u32) -> Lanes<S> {
    (words << bits) | (words >> (u32::BITS - bits))
}
