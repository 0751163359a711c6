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
        let [a, b] = two(blocks);
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
        let b = four(blocks);
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
        // Digits n of fives, of groups 0 to 4; of more; and all of fours.
        let mut fives = load(&b.fives);
        let mut more = _mm256_set_m128i(fours(b), load_half(&b.more));
        let mut z = [[_mm256_setzero_si256(); 2]; 5];
        for z in &mut z {
            *z = [digits(fives), digits(more)];
            fives = three_times(fives);
            more = three_times(more);
        }
        // Groups p and p + 4, first and last halves.
        let beside = |a, b| _mm256_permute2x128_si256(a, b, 0x20);
        let both_last = |a, b| _mm256_permute2x128_si256(a, b, 0x31);
        let last_beside_first = |a, b| _mm256_permute2x128_si256(a, b, 0x21);
        let last_of_both = |a, b| _mm256_blend_epi32(last_beside_first(a, a), b, 0xf0);
        let q = [
            beside(z[0][0], z[4][0]),
            both_last(z[0][0], z[4][0]),
            beside(z[1][0], z[0][1]),
            last_beside_first(z[1][0], z[1][1]),
            beside(z[2][0], z[2][1]),
            last_beside_first(z[2][0], z[3][1]),
            beside(z[3][0], z[4][1]),
            last_of_both(z[3][0], z[0][1]),
        ];
        Octet::new(q, _mm256_set1_ps(widen(b.d)))
    }
}

/// The first digits of fractions in 256ths, to the base of three.
#[inline]
#[target_feature(enable = "avx2")]
fn digits(bytes: __m256i) -> __m256i {
    let at_least = |least: u8| {
        let least = _mm256_set1_epi8(least.cast_signed());
        _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, least), bytes)
    };
    let negative = _mm256_add_epi8(at_least(86), at_least(171));
    _mm256_sub_epi8(_mm256_setzero_si256(), negative)
}

/// What is left of such fractions after the first digit.
#[inline]
#[target_feature(enable = "avx2")]
fn three_times(bytes: __m256i) -> __m256i {
    _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes))
}

/// The fractions of TQ1_0's last sixteen weights.
#[inline]
#[target_feature(enable = "avx2")]
fn fours(block: &BlockTQ1_0) -> __m128i {
    let times = |a: __m128i, n| (0..n).fold(a, |sum, _| _mm_add_epi8(sum, a));
    let a = _mm_cvtsi32_si128(i32::from_le_bytes(block.fours));
    let two = _mm_unpacklo_epi32(a, times(a, 2));
    _mm_unpacklo_epi64(two, times(two, 8))
}

impl Octets for BlockTQ2_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        Octet::new(two_bits(&b.qs), _mm256_set1_ps(widen(b.d)))
    }
}

#[inline]
pub fn two<B>(blocks: &[B]) -> &[B; 2] {
    blocks.try_into().expect("two blocks")
}

#[inline]
pub fn four<B>(blocks: &[B]) -> &[B; 4] {
    blocks.try_into().expect("four blocks")
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
