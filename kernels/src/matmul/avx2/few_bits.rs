//! Formats of one and two bits, and of three values.

use super::blocks_of_32::bits_of_two;
use super::octet::{Octet, Octets};
use super::super_blocks::{one, two_bits, widen};
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::inlined::{self, zip};
use std::arch::x86_64::*;

impl Octets for BlockQ1_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let [a, b]: &[Self; 2] = exactly(blocks);
        let mut q = [_mm256_setzero_si256(); 8];
        for (q, (a, b)) in zip(q.as_chunks_mut::<2>().0.iter_mut(), zip(a.qs, b.qs)) {
            *q = inlined::map(bits_of_two(a, b), |is_set| {
                _mm256_and_si256(is_set, _mm256_set1_epi8(2))
            });
        }
        Octet::new(q, scales_of_blocks([a.d, b.d]))
    }
}

impl Octets for BlockQ2_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; 4] = exactly(blocks);
        let mut q = [_mm256_setzero_si256(); 8];
        for (i, q) in q.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            // Both groups of a block and those of the one two further on: two pairs.
            let bytes = load_pair(
                bytemuck::cast_ref(&b[i].qs),
                bytemuck::cast_ref(&b[i + 2].qs),
            );
            let mask = _mm256_set1_epi8(3);
            let [first, second, third, fourth] = [
                _mm256_and_si256(bytes, mask),
                _mm256_and_si256(_mm256_srli_epi16(bytes, 2), mask),
                _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask),
                _mm256_and_si256(_mm256_srli_epi16(bytes, 6), mask),
            ];
            let low = _mm256_unpacklo_epi8(first, second);
            let high = _mm256_unpacklo_epi8(third, fourth);
            q[0] = _mm256_unpacklo_epi16(low, high);
            q[1] = _mm256_unpackhi_epi16(low, high);
            let low = _mm256_unpackhi_epi8(first, second);
            let high = _mm256_unpackhi_epi8(third, fourth);
            q[2] = _mm256_unpacklo_epi16(low, high);
            q[3] = _mm256_unpackhi_epi16(low, high);
        }
        Octet::new(q, scales_of_blocks(inlined::map(b.each_ref(), |b| b.d)))
    }
}

impl Octets for BlockTQ1_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        // Groups 0 to 4; and those from 5 on, the last half of which is of fours.
        let fives = by_digit(load(&b.fives));
        let more = by_digit(_mm256_castsi128_si256(load_half(&b.more)));
        let beside = |low, high| _mm256_permute2x128_si256(low, high, 0x20);
        let last = [
            fives[4],
            beside(more[0], more[1]),
            beside(more[2], more[3]),
            beside(more[4], fours(b)),
        ];
        let mut q = [_mm256_setzero_si256(); 8];
        for (q, (low, high)) in zip(q.as_chunks_mut::<2>().0.iter_mut(), zip(fives, last)) {
            let (low, high) = (digits(low), digits(high));
            q[0] = beside(low, high);
            q[1] = _mm256_permute2x128_si256(low, high, 0x31);
        }
        Octet::new(q, _mm256_set1_ps(widen(b.d)))
    }
}

/// The first digits of fractions in 256ths, to the base of three.
#[inline]
#[target_feature(enable = "avx2")]
fn digits(bytes: __m256i) -> __m256i {
    // Compared as signed numbers, after the top bit is turned over.
    let turned = _mm256_xor_si256(bytes, _mm256_set1_epi8(i8::MIN));
    let above = |most: i16| _mm256_cmpgt_epi8(turned, _mm256_set1_epi8((most - 128) as i8));
    let negative = _mm256_add_epi8(above(85), above(170));
    _mm256_sub_epi8(_mm256_setzero_si256(), negative)
}

/// Fractions whose first digits are those of others, one after the other.
#[inline]
#[target_feature(enable = "avx2")]
fn by_digit(bytes: __m256i) -> [__m256i; 5] {
    let mut fractions = [bytes; 5];
    for n in 1..fractions.len() {
        fractions[n] = three_times(fractions[n - 1]);
    }
    fractions
}

/// What is left of fractions after the first digit, times three.
#[inline]
#[target_feature(enable = "avx2")]
fn three_times(bytes: __m256i) -> __m256i {
    _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes))
}

/// The fractions of the last sixteen weights, in the lower half.
#[inline]
#[target_feature(enable = "avx2")]
fn fours(block: &BlockTQ1_0) -> __m256i {
    let a = _mm256_set1_epi32(i32::from_le_bytes(block.fours));
    let b = three_times(a);
    let two = _mm256_unpacklo_epi32(a, b);
    _mm256_unpacklo_epi64(two, three_times(three_times(two)))
}

impl Octets for BlockTQ2_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        Octet::new(two_bits(&b.qs), _mm256_set1_ps(widen(b.d)))
    }
}

/// The scales of all groups of so many blocks.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn scales_of_blocks<const N: usize>(d: [[u8; 2]; N]) -> __m256 {
    const { assert!(N <= 4 && OCTET.is_multiple_of(N)) }
    let mut bits = 0;
    for (block, d) in d.into_iter().enumerate() {
        bits |= u64::from(u16::from_le_bytes(d)) << (16 * block);
    }
    let d = _mm_cvtph_ps(_mm_cvtsi64_si128(bits.cast_signed()));
    let block_of = _mm256_srl_epi32(
        _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
        _mm_cvtsi32_si128((OCTET / N).ilog2() as i32),
    );
    _mm256_permutevar8x32_ps(_mm256_castps128_ps256(d), block_of)
}
