//! One token and codebook formats: octets are looked up as rows are read, as
//! [`avx2::codebooks`](crate::matmul::avx2) says. What is looked up is what
//! [`Expanded`] blocks say.

use super::blocks_of_32::steps_of_bytes;
use super::in_place::lay_out;
use super::octet::{Octet, Octets};
use super::super_blocks::by_half;
use super::token::InLanes;
use crate::activation::Int8Rows;
use crate::format::{Expanded, blocks};
use crate::matmul::Matrix;
use crate::matmul::avx2::vector::fold;
use crate::matmul::avx2::{Found, Reading, Vectors};
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// Multiplies a strip with one token; `near`: see [`Reading::next`].
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn one_token<B: Vectors>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    near: bool,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    let octets = 0..weight.cols() / B::LEN;
    let row = out.rows().start;
    let x = lay_out::<Expanded, 1>(x, 0, octets, &mut panel.x, InLanes::of);
    let mut reading = Reading::new(blocks::<B>(weight.bytes()));
    for out in out.row(row) {
        let mut acc = _mm256_setzero_ps();
        for [x] in x {
            let (found, scales) = reading.next(near);
            let w = octet::<B>(found, scales);
            acc = x.add::<Expanded>(&w, acc);
        }
        *out = fold(acc);
    }
}

/// Looks a block up.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c,avx2,fma")]
fn octet<B: Vectors>(found: &Found<B::Entry>, (d, subscales): (f32, __m128i)) -> Octet {
    let raise = _mm512_set1_epi8(Expanded::RAISED_BY as i8);
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
