//! Formats of 256-weight blocks: an octet is one of them.
//!
//! The bits of a group lie in 32 consecutive bytes, those of its second half 16
//! bytes behind those of its first.

use super::blocks_of_32::nibbles_of_quarters;
use super::octet::{Octet, Octets, PerLane, Words, add_bits, bits, look_up, per_lane, split};
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::matmul::avx2::super_blocks::{iq4_xs_scales, one, q3_k_scales, widen};
use crate::matmul::avx2::vector::load_f32 as load_eight_f32;
use std::arch::asm;
use std::arch::x86_64::*;

/// 32 bytes for two groups, one in each nibble.
const OF_TWO: Words = Words::new([0, 0, 8, 8, 16, 16, 24, 24], 4);
const NIBBLE_OF_TWO: PerLane<u32> = per_lane([0, 4, 0, 4, 0, 4, 0, 4], [0; 2]);
/// 32 bytes for four groups, two bits each.
const OF_FOUR: Words = Words::new([0, 0, 0, 0, 8, 8, 8, 8], 4);
/// 32 bytes for all groups, bit `g` for group `g`.
const OF_EIGHT: Words = Words::new([0; OCTET], 4);

/// How far a lane is to be rotated so that the bits of its group, the first of
/// which is bit `of_group[g]` of each byte, come to bit `to`.
const fn rotation(of_group: [u32; OCTET], to: u32) -> PerLane<u32> {
    let mut turns = [0; OCTET];
    let mut g = 0;
    while g < OCTET {
        turns[g] = (32 + to - of_group[g]) % 32;
        g += 1;
    }
    per_lane(turns, [0; 2])
}

const EACH: [u32; OCTET] = [0, 1, 2, 3, 4, 5, 6, 7];

impl Octets for BlockQ2_K {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let q = two_bits(&b.qs);
        let scales = _mm512_cvtepu8_epi32(by_half(load_sixteen(&b.scales)));
        let s = _mm512_and_si512(scales, _mm512_set1_epi32(15));
        let minimums = _mm512_cvtepi32_ps(_mm512_srli_epi32(scales, 4));
        let dmin = _mm512_castsi512_ps(_mm512_xor_si512(
            _mm512_castps_si512(_mm512_set1_ps(widen(b.dmin))),
            _mm512_set1_epi32(i32::MIN),
        ));
        Octet::new(q, _mm256_set1_ps(widen(b.d)))
            .with_subscales(s)
            .with_minimums(split(_mm512_mul_ps(dmin, minimums)))
    }
}

impl Octets for BlockQ3_K {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        const THIRD: PerLane<u32> = rotation(EACH, 2);
        let b = one(blocks);
        let q = two_bits(&b.qs);
        let q = add_bits(q, OF_EIGHT.of(load_32(&b.hmask)), &THIRD, 4);

        let s = _mm512_cvtepu8_epi32(by_half(q3_k_scales(b)));
        let s = _mm512_sub_epi32(s, _mm512_set1_epi32(32));
        Octet::new(q, _mm256_set1_ps(widen(b.d))).with_subscales(s)
    }
}

/// Upper nibbles stay where they are: shifts share a port with multiplications.
/// Groups that have them have 16 times the quants and a sixteenth of the scale, which
/// is exact, sums of `32 · 240 · 127` included: four more bits, the most that scales of
/// activations have, still leave them below 2²⁴.
impl Octets for BlockQ4_K {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        const LOW: u32 = 0x0f0f_0f0f;
        const UPPER: u32 = 0xf0f0_f0f0;
        const NIBBLES: PerLane<u32> =
            per_lane([LOW, UPPER, LOW, UPPER, LOW, UPPER, LOW, UPPER], [0; 2]);
        const LESS: f32 = 1.0 / 16.0;
        const FACTORS: [f32; OCTET] = [1.0, LESS, 1.0, LESS, 1.0, LESS, 1.0, LESS];
        let b = one(blocks);
        let [d, m] = scales_and_minimums(header(b));
        let [low, high] = load_128(&b.qs);
        let mut q = OF_TWO.of_pair(low, high);
        for q in &mut q {
            *q = _mm512_and_si512(*q, load_u32(&NIBBLES));
        }
        let d = _mm256_mul_ps(d, load_eight_f32(&FACTORS));
        Octet::new(q, d).with_minimum(m)
    }
}

impl Octets for BlockQ5_K {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        const FIFTH: PerLane<u32> = rotation(EACH, 4);
        let b = one(blocks);
        let [low, high] = load_128(&b.qs);
        let q = bits(OF_TWO.of_pair(low, high), &NIBBLE_OF_TWO, 15);
        let q = add_bits(q, OF_EIGHT.of(load_32(&b.qh)), &FIFTH, 16);
        let [d, m] = scales_and_minimums(header(b));
        Octet::new(q, d).with_minimum(m)
    }
}

impl Octets for BlockQ6_K {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        /// 64 bytes for four groups: the nibbles of 32 belong to groups 0 and
        /// 2, of the others to 1 and 3.
        const LOW: Words = Words::new([0, 8, 0, 8, 16, 24, 16, 24], 4);
        const NIBBLE: PerLane<u32> = per_lane([0, 0, 4, 4, 0, 0, 4, 4], [0; 2]);
        const UPPER: PerLane<u32> = rotation([0, 2, 4, 6, 0, 2, 4, 6], 4);
        let b = one(blocks);
        let [low, high] = load_128(&b.ql);
        let q = bits(LOW.of_pair(low, high), &NIBBLE, 15);
        let q = add_bits(q, OF_FOUR.of(load(&b.qh)), &UPPER, 0x30);
        let scales: &[u8; 16] = bytemuck::cast_ref(&b.scales);
        let s = _mm512_cvtepi8_epi32(by_half(load_sixteen(scales)));
        Octet::new(q, _mm256_set1_ps(widen(b.d))).with_subscales(s)
    }
}

impl Octets for BlockIQ4_XS {
    const BY_WORDS: bool = true;

    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let [low, high] = load_128(&b.qs);
        let q = nibbles_of_quarters(low, high);
        let q = look_up(&IQ4_VALUES, Self::RAISED_BY as u8, q);

        Octet::new(q, iq4_xs_scales(b))
    }
}

/// The quants of Q2_K and TQ2_0 and the low two bits of those of Q3_K.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn two_bits(bytes: &[u8; 64]) -> [__m512i; 4] {
    const PAIR: PerLane<u32> = per_lane([0, 2, 4, 6, 0, 2, 4, 6], [0; 2]);
    bits(OF_FOUR.of(load(bytes)), &PAIR, 3)
}

/// The first 16 bytes of a block.
#[inline]
fn header<B: bytemuck::Pod>(block: &B) -> &[u8; 16] {
    let header = bytemuck::bytes_of(block).first_chunk();
    header.expect("a header of 16 bytes")
}

/// Loads 128 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_128(bytes: &[u8; 128]) -> [__m512i; 2] {
    let [low, high] = bytemuck::cast_ref::<_, [[u8; 64]; 2]>(bytes);
    [load(low), load(high)]
}

/// Loads 32 bytes into the lower half.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_32(bytes: &[u8; 32]) -> __m512i {
    _mm512_castsi256_si512(crate::matmul::avx2::vector::load(bytes))
}

/// Loads 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_sixteen(bytes: &[u8; 16]) -> __m128i {
    crate::matmul::avx2::vector::load_half(bytes)
}

/// From the order of the halves to that of the lanes. (Of bytes, which are a quarter
/// of the work of lanes.)
#[inline]
#[target_feature(enable = "avx512f")]
pub fn by_half(halves: __m128i) -> __m128i {
    const LANES: [u8; 16] = [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15];
    _mm_shuffle_epi8(halves, load_sixteen(&LANES))
}

/// The scales and minimums of Q4_K and Q5_K, from the first 16 bytes of a
/// block: see [`scale_min`].
///
/// The six-bit numbers are taken apart four at a time in general registers, which
/// have nothing else to do (and kept there: the compiler would find vectors for them).
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
fn scales_and_minimums(header: &[u8; 16]) -> [__m256; 2] {
    let [factors, scales, minimums, rest]: [u32; 4] = bytemuck::pod_read_unaligned(header);
    // Groups 4 to 7 have their upper two bits where the others leave two unused.
    let first = |six: u32| u64::from(six & 0x3f3f_3f3f);
    let last = |low: u32, six: u32| u64::from((low & 0x0f0f_0f0f) | (six >> 2 & 0x3030_3030)) << 32;
    let mut scales = first(scales) | last(rest, scales);
    let mut minimums = first(minimums) | last(rest >> 4, minimums);
    // SAFETY: a comment, which changes nothing.
    unsafe {
        asm!(
            "/* {scales} {minimums} */",
            scales = inout(reg) scales,
            minimums = inout(reg) minimums,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    // d and −dmin.
    let sign = _mm_setr_ps(0.0, -0.0, 0.0, 0.0);
    let factors = _mm_xor_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(factors as i32)), sign);
    let d = _mm256_broadcastss_ps(factors);
    let dmin = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(factors), _mm256_set1_epi32(1));
    let floats =
        |eight: u64| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(eight as i64)));
    [
        _mm256_mul_ps(d, floats(scales)),
        _mm256_mul_ps(dmin, floats(minimums)),
    ]
}
