//! Formats with a scale for every block of 32.

use super::octet::{Octet, Octets};
use super::vector::{load_pair, nibbles};
use crate::activation::OCTET;
use crate::format::*;
use std::arch::x86_64::*;

impl Octets for BlockQ4_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = blocks.try_into().expect("eight blocks");
        let mut q = [_mm256_setzero_si256(); 8];
        for p in 0..4 {
            let bytes = load_pair(&b[p].qs, &b[p + 4].qs);
            [q[2 * p], q[2 * p + 1]] = nibbles(bytes);
        }
        Octet::new(q, scales(b))
    }
}

impl Octets for BlockQ8_0 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = blocks.try_into().expect("eight blocks");
        let mut q = [_mm256_setzero_si256(); 8];
        for p in 0..4 {
            let (low, high): (&[[u8; 16]; 2], &[[u8; 16]; 2]) = (
                bytemuck::cast_ref(&b[p].qs),
                bytemuck::cast_ref(&b[p + 4].qs),
            );
            q[2 * p] = load_pair(&low[0], &high[0]);
            q[2 * p + 1] = load_pair(&low[1], &high[1]);
        }
        Octet::new(q, scales(b))
    }
}

/// The scales of eight blocks that begin with a binary16 number.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales<B: Block + bytemuck::NoUninit>(b: &[B; OCTET]) -> __m256 {
    // Loads of 32 bits, of which the upper half is not used: a load of 16
    // would merge with, and wait for, what the register held before.
    let mut d = [_mm_setzero_si128(); OCTET];
    for (d, block) in d.iter_mut().zip(b) {
        let bytes = bytemuck::bytes_of(block)
            .first_chunk()
            .expect("larger than a scale");
        *d = _mm_cvtsi32_si128(i32::from_le_bytes(*bytes));
    }
    let pair = |i: usize| _mm_unpacklo_epi16(d[i], d[i + 1]);
    let low = _mm_unpacklo_epi32(pair(0), pair(2));
    let high = _mm_unpacklo_epi32(pair(4), pair(6));
    _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high))
}

impl Octets for BlockQ4_1 {}
impl Octets for BlockQ5_0 {}
impl Octets for BlockQ5_1 {}
impl Octets for BlockIQ4_NL {}
impl Octets for BlockMXFP4 {}
impl Octets for BlockQ2_K {}
impl Octets for BlockQ3_K {}
impl Octets for BlockQ4_K {}
impl Octets for BlockQ5_K {}
impl Octets for BlockQ6_K {}
impl Octets for BlockIQ4_XS {}
