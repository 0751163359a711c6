//! Formats of 32-weight blocks: an octet is eight of them.

use super::octet::{Octet, Octets};
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::inlined::{self, zip};
use bytemuck::NoUninit;
use std::arch::x86_64::*;

impl Octets for BlockQ4_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        Octet::new(nibble_pairs(b, |b| &b.qs), scales(b))
    }
}

impl Octets for BlockQ4_1 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let (d, m) = scales_and_minimums(b);
        Octet::new(nibble_pairs(b, |b| &b.qs), d).with_minimum(m)
    }
}

impl Octets for BlockQ5_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let mut q = nibble_pairs(b, |b| &b.qs);
        for p in 0..4 {
            add_fifth_bits(&mut q, p, b[p].qh, b[p + 4].qh);
        }
        Octet::new(q, scales(b))
    }
}

impl Octets for BlockQ5_1 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let mut q = nibble_pairs(b, |b| &b.qs);
        for p in 0..4 {
            add_fifth_bits(&mut q, p, b[p].qh, b[p + 4].qh);
        }
        let (d, m) = scales_and_minimums(b);
        Octet::new(q, d).with_minimum(m)
    }
}

impl Octets for BlockQ8_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let mut q = [_mm256_setzero_si256(); 8];
        for p in 0..4 {
            let low: &[[u8; 16]; 2] = bytemuck::cast_ref(&b[p].qs);
            let high: &[[u8; 16]; 2] = bytemuck::cast_ref(&b[p + 4].qs);
            q[2 * p] = load_pair(&low[0], &high[0]);
            q[2 * p + 1] = load_pair(&low[1], &high[1]);
        }
        Octet::new(q, scales(b))
    }
}

impl Octets for BlockIQ4_NL {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let mut q = nibble_pairs(b, |b| &b.qs);
        look_up(&IQ4_VALUES, &mut q);
        Octet::new(q, scales(b))
    }
}

impl Octets for BlockMXFP4 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        /// With the offset.
        const VALUES: [i8; 16] = {
            let mut values = MXFP4_VALUES;
            let mut i = 0;
            while i < values.len() {
                values[i] += BlockMXFP4::OFFSET as i8;
                i += 1;
            }
            values
        };
        let b: &[Self; OCTET] = exactly(blocks);
        let mut q = nibble_pairs(b, |b| &b.qs);
        look_up(&VALUES, &mut q);

        let e = _mm256_and_si256(first_words(b), _mm256_set1_epi32(0xff));
        Octet::new(q, half_e8m0_of(e))
    }
}

/// Halves of E8M0 scales, as [`half_e8m0`].
#[inline]
#[target_feature(enable = "avx2")]
pub fn half_e8m0_of(e: __m256i) -> __m256 {
    let normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(1 << 21), e);
    let is_subnormal = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    let is_nan = _mm256_cmpeq_epi32(e, _mm256_set1_epi32(0xff));
    let d = _mm256_blendv_epi8(normal, subnormal, is_subnormal);
    _mm256_castsi256_ps(_mm256_or_si256(d, is_nan))
}

/// The nibbles of eight blocks, which hold first halves in the low ones and
/// last halves in the high ones.
#[inline]
#[target_feature(enable = "avx2")]
fn nibble_pairs<B>(b: &[B; OCTET], bytes: impl Fn(&B) -> &[u8; 16]) -> [__m256i; 8] {
    let mut q = [_mm256_setzero_si256(); 8];
    for p in 0..4 {
        [q[2 * p], q[2 * p + 1]] = nibbles(load_pair(bytes(&b[p]), bytes(&b[p + 4])));
    }
    q
}

/// Adds the fifth bits of two blocks to pair `p`.
#[inline]
#[target_feature(enable = "avx2")]
fn add_fifth_bits(q: &mut [__m256i; 8], p: usize, low: [u8; 4], high: [u8; 4]) {
    for (half, is_set) in bits_of_two(low, high).into_iter().enumerate() {
        let sixteen = _mm256_and_si256(is_set, _mm256_set1_epi8(16));
        q[2 * p + half] = _mm256_or_si256(q[2 * p + half], sixteen);
    }
}

/// The bits of two groups as bytes of all bits or none, of the first and of the last halves.
#[inline]
#[target_feature(enable = "avx2")]
pub fn bits_of_two(low: [u8; 4], high: [u8; 4]) -> [__m256i; 2] {
    let word = |bytes: [u8; 4]| _mm256_set1_epi32(i32::from_le_bytes(bytes));
    let bits = _mm256_blend_epi32(word(low), word(high), 0b1111_0000);
    // Byte i of a half takes the byte of `bits` with its bit, bit i mod 8.
    let first = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0, 0x0101_0101_0101_0101);
    let last = _mm256_add_epi8(first, _mm256_set1_epi8(2));
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    inlined::map([first, last], |bytes| {
        let bits = _mm256_and_si256(_mm256_shuffle_epi8(bits, bytes), bit);
        _mm256_cmpeq_epi8(bits, bit)
    })
}

/// The first 32 bits of eight blocks.
#[inline]
#[target_feature(enable = "avx2")]
fn first_words<B: NoUninit>(b: &[B; OCTET]) -> __m256i {
    let mut words = [_mm_setzero_si128(); OCTET];
    for (word, block) in zip(words.iter_mut(), b) {
        *word = first_word(block);
    }
    let [a, b, c, d, e, f, g, h] = words;
    let low = _mm_unpacklo_epi64(_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
    let high = _mm_unpacklo_epi64(_mm_unpacklo_epi32(e, f), _mm_unpacklo_epi32(g, h));
    _mm256_set_m128i(high, low)
}

/// The first 32 bits of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn first_word<B: NoUninit>(block: &B) -> __m128i {
    let word = bytemuck::bytes_of(block)
        .first_chunk()
        .expect("at least 4 bytes");
    _mm_cvtsi32_si128(i32::from_le_bytes(*word))
}

/// The scales of eight blocks that begin with one in binary16.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales<B: NoUninit>(b: &[B; OCTET]) -> __m256 {
    // Words, of which the upper half is not used: loading 16 bits would merge
    // with, and wait for, what the register held before.
    let mut words = [_mm_setzero_si128(); OCTET];
    for (word, block) in zip(words.iter_mut(), b) {
        *word = first_word(block);
    }
    let [a, b, c, d, e, f, g, h] = words;
    let low = _mm_unpacklo_epi32(_mm_unpacklo_epi16(a, b), _mm_unpacklo_epi16(c, d));
    let high = _mm_unpacklo_epi32(_mm_unpacklo_epi16(e, f), _mm_unpacklo_epi16(g, h));
    _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high))
}

/// The scales and minimums of eight blocks that begin with one of each in
/// binary16.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales_and_minimums<B: NoUninit>(b: &[B; OCTET]) -> (__m256, __m256) {
    let words = first_words(b);
    let d = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
    let m = _mm256_srli_epi32(words, 16);
    // d0 d1 d2 d3 m0 m1 m2 m3 | d4 ┄ m7
    let halves = _mm256_packus_epi32(d, m);
    let halves = _mm256_permute4x64_epi64(halves, 0b11_01_10_00);
    let m = _mm256_extracti128_si256(halves, 1);
    (
        _mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
        _mm256_cvtph_ps(m),
    )
}
