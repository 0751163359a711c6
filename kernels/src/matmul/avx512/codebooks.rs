//! Octets of codebook formats, looked up as [`avx2::codebooks`](crate::matmul::avx2) says.

use super::blocks_of_32::steps_of_bytes;
use super::octet::{Octet, Octets};
use super::super_blocks::by_half;
use crate::format::{
    BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS,
};
use crate::matmul::avx2::super_blocks::one;
use crate::matmul::avx2::{Found, Vectors};
use std::arch::x86_64::*;

/// Looks a block up.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c,avx2,fma")]
fn octet_of<B: Vectors + Octets>(blocks: &[B]) -> Octet {
    let block = one(blocks);
    let mut found = Found::nothing();
    let (d, subscales) = found.read(block);
    let raise = _mm512_set1_epi8(B::RAISED_BY as i8);
    let mut two = [raise; 4];
    for (pair, two) in two.iter_mut().enumerate() {
        // SAFETY: this function has AVX2.
        let [a, b] = unsafe { [found.group::<B>(2 * pair), found.group::<B>(2 * pair + 1)] };
        let values = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
        let signs = found.signs_of_two(pair);
        let raised = _mm512_add_epi8(values, raise);
        *two = match B::SHIFTED {
            true => {
                let up = _mm512_add_epi8(raised, _mm512_set1_epi8(1));
                _mm512_mask_sub_epi8(up, signs, up, _mm512_set1_epi8(2))
            }
            false => _mm512_mask_sub_epi8(raised, signs, raise, values),
        };
    }
    let s = _mm512_cvtepi8_epi32(by_half(subscales));
    Octet::new(steps_of_bytes(two), _mm256_set1_ps(d)).with_subscales(s)
}

macro_rules! octets {
    ($($block:ident)*) => {$(
        impl Octets for $block {
            #[inline]
            #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
            unsafe fn octet(blocks: &[Self]) -> Octet {
                octet_of(blocks)
            }
        }
    )*};
}

octets!(BlockIQ1_M BlockIQ1_S BlockIQ2_S BlockIQ2_XS BlockIQ2_XXS BlockIQ3_S BlockIQ3_XXS);
