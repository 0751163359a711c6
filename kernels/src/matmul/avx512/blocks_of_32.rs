//! Formats of 32-weight blocks: an octet is eight of them.
//!
//! Sixteen bytes of a block hold the nibbles of a group, those of its first
//! half low, those of its last half high: word order suits them.

use super::octet::{Octet, Octets, PerLane, Words, look_up, nibbles_of, per_lane};
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::inlined::{self, zip};
use crate::matmul::avx2::blocks_of_32::half_e8m0_of;
use std::arch::x86_64::*;

/// Words of group `g`, whose 16 bytes are a quarter of a vector: the first in the
/// lower lanes, the second in the upper ones.
const QUARTERS: Words = Words::new([0, 4, 8, 12, 16, 20, 24, 28], 1);

/// The nibbles of eight groups of 16 bytes, in word order.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn nibbles_of_quarters(low: __m512i, high: __m512i) -> [__m512i; 4] {
    nibbles_of(QUARTERS.even_of_pair(low, high))
}

impl Octets for BlockQ4_0 {
    const BY_WORDS: bool = true;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let bytes = bytemuck::cast_slice(exactly::<_, OCTET>(blocks));
        Octet::new(nibbles_of_18_bytes(bytes), scales_of_18_bytes(bytes))
    }
}

impl Octets for BlockQ4_1 {
    const BY_WORDS: bool = true;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let (d, m) = scales_and_minimums(headers(bytemuck::cast_ref::<_, [[u8; 20]; 8]>(b)));
        Octet::new(nibbles(b, |b| &b.qs), d).with_minimum(m)
    }
}

impl Octets for BlockQ5_0 {
    const BY_WORDS: bool = true;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let headers = headers(bytemuck::cast_ref::<_, [[u8; 22]; 8]>(b));
        let fifth = _mm512_srli_epi64(headers, 16);
        let q = add_fifth_bits(nibbles(b, |b| &b.qs), fifth, 0);
        let d = _mm512_cvtepi64_epi16(headers);
        Octet::new(q, _mm256_cvtph_ps(d))
    }
}

impl Octets for BlockQ5_1 {
    const BY_WORDS: bool = true;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let headers = headers(bytemuck::cast_ref::<_, [[u8; 24]; 8]>(b));
        let q = add_fifth_bits(nibbles(b, |b| &b.qs), headers, 1);
        let (d, m) = scales_and_minimums(headers);
        Octet::new(q, d).with_minimum(m)
    }
}

impl Octets for BlockQ8_0 {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let mut two = [_mm512_setzero_si512(); 4];
        for (two, b) in zip(two.iter_mut(), b.as_chunks::<2>().0) {
            let raise = _mm512_set1_epi8(i8::MIN);
            let pair = load_pair(bytemuck::cast_ref(&b[0].qs), bytemuck::cast_ref(&b[1].qs));
            *two = _mm512_xor_si512(pair, raise);
        }
        Octet::new(
            steps_of_bytes(two),
            scales_of_34_bytes(bytemuck::cast_slice(b)),
        )
    }
}

/// The steps of eight groups of bytes, two of which are in each vector.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn steps_of_bytes(two: [__m512i; 4]) -> [__m512i; 4] {
    /// From two vectors of two groups: steps 0 and 1 of both halves of the
    /// four groups, `[half][step][group]`; two words on, steps 2 and 3.
    const FOUR_GROUPS: PerLane<u32> = [0, 8, 16, 24, 1, 9, 17, 25, 4, 12, 20, 28, 5, 13, 21, 29];
    /// From two such: the first of their steps, of eight groups; four words
    /// on, the second.
    const EIGHT_GROUPS: PerLane<u32> = [0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27];
    let mut q = two;
    for i in 0..2 {
        let words = _mm512_set1_epi32(2 * i as i32);
        let words = _mm512_add_epi32(load_u32(&FOUR_GROUPS), words);
        let low = _mm512_permutex2var_epi32(two[0], words, two[1]);
        let high = _mm512_permutex2var_epi32(two[2], words, two[3]);
        for j in 0..2 {
            let words = _mm512_set1_epi32(4 * j as i32);
            let words = _mm512_add_epi32(load_u32(&EIGHT_GROUPS), words);
            q[2 * i + j] = _mm512_permutex2var_epi32(low, words, high);
        }
    }
    q
}

impl Octets for BlockIQ4_NL {
    const BY_WORDS: bool = true;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let bytes = bytemuck::cast_slice(exactly::<_, OCTET>(blocks));
        let q = look_up(
            &IQ4_VALUES,
            Self::RAISED_BY as u8,
            nibbles_of_18_bytes(bytes),
        );
        Octet::new(q, scales_of_18_bytes(bytes))
    }
}

impl Octets for BlockMXFP4 {
    const BY_WORDS: bool = true;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let q = look_up(&MXFP4_VALUES, Self::RAISED_BY as u8, nibbles(b, |b| &b.qs));

        let e = u64::from_le_bytes(inlined::from_fn(|i| b[i].e));
        let e = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(e as i64));
        Octet::new(q, half_e8m0_of(e))
    }
}

/// The nibbles of eight blocks.
#[inline]
#[target_feature(enable = "avx512f")]
fn nibbles<B>(b: &[B; OCTET], bytes: impl Fn(&B) -> &[u8; 16]) -> [__m512i; 4] {
    let low = load_quarters([bytes(&b[0]), bytes(&b[1]), bytes(&b[2]), bytes(&b[3])]);
    let high = load_quarters([bytes(&b[4]), bytes(&b[5]), bytes(&b[6]), bytes(&b[7])]);
    nibbles_of_quarters(low, high)
}

/// Adds the fifth bits, 32 of a group in word `word` of the eighth of `bits`
/// that belongs to it.
#[inline]
#[target_feature(enable = "avx512bw")]
fn add_fifth_bits(q: [__m512i; 4], bits: __m512i, word: u32) -> [__m512i; 4] {
    const WORDS: PerLane<u32> = per_lane([0, 2, 4, 6, 8, 10, 12, 14], [0; 2]);
    /// The bits that the four bytes of a lane test: of its byte the lower four,
    /// or the upper four.
    const TESTED: PerLane<u32> = {
        let mut tested = [0x0804_0201; 16];
        let mut lane = OCTET;
        while lane < tested.len() {
            tested[lane] <<= 4;
            lane += 1;
        }
        tested
    };
    let words = _mm512_add_epi32(load_u32(&WORDS), _mm512_set1_epi32(word as i32));
    let bits = _mm512_permutexvar_epi32(words, bits);
    let mut sum = q;
    for (i, sum) in sum.iter_mut().enumerate() {
        // Bytes 0 and 1 belong to the first half of the group.
        let byte = 0x0c08_0400 + 0x0101_0101 * [0, 2, 1, 3][i];
        let bytes = _mm512_shuffle_epi8(bits, each_quarter(byte));
        let is_set = _mm512_test_epi8_mask(bytes, load_u32(&TESTED));
        *sum = _mm512_mask_add_epi8(*sum, is_set, *sum, _mm512_set1_epi8(16));
    }
    sum
}

/// Four times the same byte of each of a quarter's four lanes; `bytes` has
/// which, the first lane's lowest.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn each_quarter(bytes: i32) -> __m512i {
    let [a, b, c, d] = inlined::map(bytes.to_le_bytes(), |byte| 0x0101_0101 * i32::from(byte));
    _mm512_broadcast_i32x4(_mm_setr_epi32(a, b, c, d))
}

/// The first eight bytes of eight blocks.
#[inline]
#[target_feature(enable = "avx512f")]
fn headers<const N: usize>(b: &[[u8; N]; OCTET]) -> __m512i {
    let word = |b: &[u8; N]| i64::from_le_bytes(*b.first_chunk().expect("more than a header"));
    let [a, b, c, d, e, f, g, h] = b;
    let pair = |a, b| {
        let (a, b) = (_mm_cvtsi64_si128(word(a)), _mm_cvtsi64_si128(word(b)));
        _mm_unpacklo_epi64(a, b)
    };
    let low = _mm256_set_m128i(pair(c, d), pair(a, b));
    let high = _mm256_set_m128i(pair(g, h), pair(e, f));
    _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)
}

/// Scales and minimums, in binary16 the first four bytes of each header.
#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn scales_and_minimums(headers: __m512i) -> (__m256, __m256) {
    (
        _mm256_cvtph_ps(_mm512_cvtepi64_epi16(headers)),
        _mm256_cvtph_ps(_mm512_cvtepi64_epi16(_mm512_srli_epi64(headers, 16))),
    )
}

/// The nibbles of eight blocks of 18 bytes that begin with a scale in binary16.
///
/// The first two words of all are in 64 bytes from the first block's beginning on and
/// 64 from the fifth's, the last two in as many 8 bytes further on.
#[inline]
#[target_feature(enable = "avx512bw")]
fn nibbles_of_18_bytes(blocks: &[u8]) -> [__m512i; 4] {
    /// Words of 16 bits: a group's first two in the lower lanes, then two more.
    const PLACES: [u16; 32] = {
        let mut places = [0; 32];
        let mut word = 0;
        while word < 32 {
            let (lane, group) = (word / 2, word / 2 % OCTET);
            let of_lane = if lane < OCTET { 1 } else { 3 };
            places[word] = (32 * (group / 4) + 9 * (group % 4) + of_lane + word % 2) as u16;
            word += 1;
        }
        places
    };
    let two_words = |at| {
        let (low, high) = (chunk(blocks, at), chunk(blocks, at + 72));
        _mm512_permutex2var_epi16(load(low), load_u16(&PLACES), load(high))
    };
    nibbles_of([two_words(0), two_words(8)])
}

/// The scales of eight blocks of 18 bytes that begin with one in binary16.
#[inline]
#[target_feature(enable = "avx512bw,f16c")]
fn scales_of_18_bytes(blocks: &[u8]) -> __m256 {
    const PLACES: [u16; 32] = places([0, 9, 18, 27, 32, 41, 50, 59]);
    let (low, high) = (chunk(blocks, 0), chunk(blocks, 72));
    let d = _mm512_permutex2var_epi16(load(low), load_u16(&PLACES), load(high));
    _mm256_cvtph_ps(_mm512_castsi512_si128(d))
}

/// The scales of eight blocks of 34 bytes that begin with one in binary16.
#[inline]
#[target_feature(enable = "avx512bw,f16c")]
fn scales_of_34_bytes(blocks: &[u8]) -> __m256 {
    // Scales 0 and 1, 2 and 3, ┄ are 34 bytes apart in stretches of 64.
    const PLACES: [u16; 32] = places([0, 17, 32, 49, 0, 17, 32, 49]);
    let places = load_u16(&PLACES);
    let four = |at: usize| {
        let (low, high) = (chunk(blocks, at), chunk(blocks, at + 68));
        let d = _mm512_permutex2var_epi16(load(low), places, load(high));
        _mm512_castsi512_si128(d)
    };
    _mm256_cvtph_ps(_mm_unpacklo_epi64(four(0), four(136)))
}

/// Words of 16 bits that eight lanes take, and the rest, which nobody wants.
const fn places(of_group: [u16; OCTET]) -> [u16; 32] {
    let mut places = [0; 32];
    let mut g = 0;
    while g < OCTET {
        places[g] = of_group[g];
        g += 1;
    }
    places
}

/// 64 bytes from `at` on.
#[inline]
fn chunk(bytes: &[u8], at: usize) -> &[u8; 64] {
    bytes[at..].first_chunk().expect("64 bytes")
}

/// Loads four times 16 bytes side by side.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_quarters([a, b, c, d]: [&[u8; 16]; 4]) -> __m512i {
    use crate::matmul::avx2::vector::{load_half, load_pair};
    let low = _mm512_castsi256_si512(load_pair(a, b));
    let low = _mm512_inserti32x4(low, load_half(c), 2);
    _mm512_inserti32x4(low, load_half(d), 3)
}
