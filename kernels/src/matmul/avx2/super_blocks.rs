//! Formats of 256-weight blocks: an octet is one of them.
//!
//! Groups `p` and `p + 4`, which make a pair, take their bits from bytes that
//! lie half an array apart (or from the same byte), so that a pair is loaded
//! with two loads of 16 bytes.

use super::octet::{Octet, Octets};
use super::vector::*;
use crate::format::*;
use crate::inlined::{self, zip};
use std::arch::x86_64::*;

impl Octets for BlockQ2_K {
    // 0..=3 times 0..=15.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let scales = _mm256_cvtepu8_epi16(load_half(&b.scales));
        let s = _mm256_and_si256(scales, _mm256_set1_epi16(15));
        let minimums = _mm256_srli_epi16(scales, 4);
        let dmin = -widen(b.dmin);
        let first = _mm256_and_si256(minimums, _mm256_set1_epi32(0xffff));
        let last = _mm256_srli_epi32(minimums, 16);
        let m = [
            _mm256_mul_ps(_mm256_set1_ps(dmin), _mm256_cvtepi32_ps(first)),
            _mm256_mul_ps(_mm256_set1_ps(dmin), _mm256_cvtepi32_ps(last)),
        ];
        let d = _mm256_set1_ps(widen(b.d));
        Octet::new(two_bits(&b.qs), d)
            .with_subscales(s)
            .with_minimums(m)
    }
}

impl Octets for BlockQ3_K {
    // −4..=3 times −32..=31: −124..=128.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let mut q = two_bits(&b.qs);
        let bits = bit_pairs(&b.hmask);
        for (half, bits) in bits.into_iter().enumerate() {
            let four = _mm256_set1_epi8(4);
            let third = [
                _mm256_slli_epi16(bits, 2),
                _mm256_slli_epi16(bits, 1),
                bits,
                _mm256_srli_epi16(bits, 1),
            ];
            for (p, third) in third.into_iter().enumerate() {
                let q = &mut q[2 * p + half];
                *q = _mm256_or_si256(*q, _mm256_and_si256(third, four));
            }
        }

        let s = _mm256_sub_epi16(_mm256_cvtepu8_epi16(q3_k_scales(b)), _mm256_set1_epi16(32));
        Octet::new(q, _mm256_set1_ps(widen(b.d))).with_subscales(s)
    }
}

impl Octets for BlockQ4_K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let (d, m) = scales_and_minimums(b.d, b.dmin, &b.scales);
        Octet::new(nibble_groups(&b.qs), d).with_minimum(m)
    }
}

impl Octets for BlockQ5_K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let mut q = nibble_groups(&b.qs);
        let bits = bit_pairs(&b.qh);
        for (half, bits) in bits.into_iter().enumerate() {
            let sixteen = _mm256_set1_epi8(16);
            let fifth = [
                _mm256_slli_epi16(bits, 4),
                _mm256_slli_epi16(bits, 3),
                _mm256_slli_epi16(bits, 2),
                _mm256_slli_epi16(bits, 1),
            ];
            for (p, fifth) in fifth.into_iter().enumerate() {
                let q = &mut q[2 * p + half];
                *q = _mm256_or_si256(*q, _mm256_and_si256(fifth, sixteen));
            }
        }
        let (d, m) = scales_and_minimums(b.d, b.dmin, &b.scales);
        Octet::new(q, d).with_minimum(m)
    }
}

impl Octets for BlockQ6_K {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let (low, high) = (halves(&b.ql), halves(&b.qh));
        let mut q = [_mm256_setzero_si256(); 8];
        for half in 0..2 {
            let [q0, q2] = nibbles(load_pair(&low[half], &low[4 + half]));
            let [q1, q3] = nibbles(load_pair(&low[2 + half], &low[6 + half]));
            let bits = load_pair(&high[half], &high[2 + half]);
            let upper = [
                _mm256_slli_epi16(bits, 4),
                _mm256_slli_epi16(bits, 2),
                bits,
                _mm256_srli_epi16(bits, 2),
            ];
            for (p, (q_low, upper)) in zip([q0, q1, q2, q3], upper).enumerate() {
                let upper = _mm256_and_si256(upper, _mm256_set1_epi8(0x30));
                q[2 * p + half] = _mm256_or_si256(q_low, upper);
            }
        }
        let s = _mm256_cvtepi8_epi16(load_half(bytemuck::cast_ref(&b.scales)));
        Octet::new(q, _mm256_set1_ps(widen(b.d))).with_subscales(s)
    }
}

impl Octets for BlockIQ4_XS {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let bytes = halves(&b.qs);
        let mut q = [_mm256_setzero_si256(); 8];
        for p in 0..4 {
            [q[2 * p], q[2 * p + 1]] = nibbles(load_pair(&bytes[p], &bytes[p + 4]));
        }
        look_up(&IQ4_VALUES, &mut q);

        Octet::new(q, iq4_xs_scales(b))
    }
}

impl Octets for Expanded {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let bytes = halves(bytemuck::cast_slice(&b.q));
        let raise = _mm256_set1_epi8(Self::OFFSET as i8);
        let mut q = [_mm256_setzero_si256(); 8];
        for (i, q) in q.iter_mut().enumerate() {
            *q = _mm256_add_epi8(load_pair(&bytes[i], &bytes[i + 8]), raise);
        }
        let s = _mm256_cvtepi8_epi16(load_half(bytemuck::cast_ref(&b.s)));
        Octet::new(q, _mm256_set1_ps(f32::from_le_bytes(b.d))).with_subscales(s)
    }
}

/// The scales of a block of Q3_K, with 32 added: see `BlockQ3_K::scale`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn q3_k_scales(block: &BlockQ3_K) -> __m128i {
    // Four in each word.
    let [a, b, c] = words(&block.scales);
    let (low, high) = (0x0f0f_0f0f, 0x3030_3030);
    _mm_setr_epi32(
        (a & low | c << 4 & high) as i32,
        (b & low | c << 2 & high) as i32,
        (a >> 4 & low | c & high) as i32,
        (b >> 4 & low | c >> 2 & high) as i32,
    )
}

/// The scales of a block of IQ4_XS: see `BlockIQ4_XS::scale`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn iq4_xs_scales(block: &BlockIQ4_XS) -> __m256 {
    let twos = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    let low = _mm256_set1_epi32(i32::from_le_bytes(block.scales_l));
    let low = _mm256_srlv_epi32(low, _mm256_slli_epi32(twos, 1));
    let low = _mm256_and_si256(low, _mm256_set1_epi32(15));
    let high = _mm256_set1_epi32(i32::from(u16::from_le_bytes(block.scales_h)) << 4);
    let high = _mm256_and_si256(_mm256_srlv_epi32(high, twos), _mm256_set1_epi32(0x30));
    let scales = _mm256_sub_epi32(_mm256_or_si256(low, high), _mm256_set1_epi32(32));
    _mm256_mul_ps(_mm256_set1_ps(widen(block.d)), _mm256_cvtepi32_ps(scales))
}

#[inline]
pub fn one<B>(blocks: &[B]) -> &B {
    let [block] = blocks else {
        panic!("{} blocks are not one", blocks.len())
    };
    block
}

/// Pieces of 16 bytes.
#[inline]
fn halves(bytes: &[u8]) -> &[[u8; 16]] {
    bytes.as_chunks().0
}

/// Three little-endian words.
#[inline]
fn words(bytes: &[u8; 12]) -> [u32; 3] {
    inlined::map(
        bytemuck::cast::<_, [[u8; 4]; 3]>(*bytes),
        u32::from_le_bytes,
    )
}

/// The quants of Q4_K and the low four bits of those of Q5_K: the nibbles of
/// 32 bytes are two groups.
#[inline]
#[target_feature(enable = "avx2")]
fn nibble_groups(bytes: &[u8; 128]) -> [__m256i; 8] {
    let bytes = halves(bytes);
    let mut q = [_mm256_setzero_si256(); 8];
    for p in [0, 2] {
        for half in 0..2 {
            let pair = load_pair(&bytes[p + half], &bytes[p + 4 + half]);
            [q[2 * p + half], q[2 * p + 2 + half]] = nibbles(pair);
        }
    }
    q
}

/// The quants of Q2_K and the low two bits of those of Q3_K: 32 bytes are four
/// groups.
#[inline]
#[target_feature(enable = "avx2")]
pub fn two_bits(bytes: &[u8; 64]) -> [__m256i; 8] {
    let bytes = halves(bytes);
    let mut q = [_mm256_setzero_si256(); 8];
    for half in 0..2 {
        let bits = load_pair(&bytes[half], &bytes[2 + half]);
        let shifted = [
            bits,
            _mm256_srli_epi16(bits, 2),
            _mm256_srli_epi16(bits, 4),
            _mm256_srli_epi16(bits, 6),
        ];
        for (p, shifted) in shifted.into_iter().enumerate() {
            q[2 * p + half] = _mm256_and_si256(shifted, _mm256_set1_epi8(3));
        }
    }
    q
}

/// Bytes whose bit `g` belongs to group `g`, first and last halves, prepared so
/// that bit `p` of both lanes belongs to pair `p`.
#[inline]
#[target_feature(enable = "avx2")]
fn bit_pairs(bytes: &[u8; GROUP]) -> [__m256i; 2] {
    let bytes = halves(bytes);
    let lanes = _mm256_setr_epi64x(0, 0, 4, 4);
    [
        _mm256_srlv_epi64(load_both(&bytes[0]), lanes),
        _mm256_srlv_epi64(load_both(&bytes[1]), lanes),
    ]
}

/// The scales and minimums of Q4_K and Q5_K: see [`scale_min`].
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales_and_minimums(d: [u8; 2], dmin: [u8; 2], scales: &[u8; 12]) -> (__m256, __m256) {
    let [a, b, c] = words(scales);
    let (six, low, high) = (0x3f3f_3f3f, 0x0f0f_0f0f, 0x3030_3030);
    let eight = |first: u32, last: u32| {
        let bytes = _mm_cvtsi64_si128((u64::from(last) << 32 | u64::from(first)) as i64);
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
    };
    let sc = eight(a & six, a >> 2 & high | c & low);
    let mn = eight(b & six, b >> 2 & high | c >> 4 & low);
    (
        _mm256_mul_ps(_mm256_set1_ps(widen(d)), sc),
        _mm256_mul_ps(_mm256_set1_ps(-widen(dmin)), mn),
    )
}

/// A binary16 number.
#[inline]
#[target_feature(enable = "f16c")]
pub fn widen(bytes: [u8; 2]) -> f32 {
    let bits = _mm_cvtsi32_si128(i32::from(u16::from_le_bytes(bytes)));
    _mm_cvtss_f32(_mm_cvtph_ps(bits))
}
