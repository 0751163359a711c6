//! Few tokens: rows are read as one stream, as on AVX2
//! ([`crate::matmul::avx2::in_place`]); what differs is how an octet is
//! multiplied.
//!
//! Without sub-scales, one VPDPBUSD multiplies 32 weights. With them, the sums
//! of neighbouring products, which fit in 16 bits, meet their sub-scale in
//! VPDPWSSD.

use super::unsigned;
use crate::activation::{Int8Rows, OCTET_LEN};
use crate::format::{GROUP, blocks};
use crate::matmul::Matrix;
use crate::matmul::avx2::in_place::prefetch;
use crate::matmul::avx2::octet::*;
use crate::matmul::avx2::vector::*;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// Computes a strip.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
pub fn strip<B: Octets>(weight: Matrix<'_>, x: Int8Rows<'_>, out: &mut TileMut<'_>) {
    let mut token = 0;
    while token < x.rows {
        // One by one below four: the strip's blocks are in the cache by then.
        token += match x.rows - token {
            1..4 => tokens::<B, 1>(weight, x, token, out),
            _ => tokens::<B, 4>(weight, x, token, out),
        };
    }
}

/// Computes a strip for the tokens from `first` on, and returns how many.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn tokens<B: Octets, const T: usize>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    first: usize,
    out: &mut TileMut<'_>,
) -> usize {
    let x: [Row<'_>; T] = std::array::from_fn(|t| Row::new(x.row(first + t)));
    for n in 0..weight.rows() {
        let mut acc = [_mm256_setzero_ps(); T];
        let mut octets = blocks::<B>(weight.row(n)).chunks_exact(B::BLOCKS);
        for (o, blocks) in octets.by_ref().enumerate() {
            prefetch(blocks);
            // SAFETY: this function has the features.
            let mut w = unsafe { B::octet(blocks) };
            w.q = unsigned::<B>(w.q);
            for (acc, x) in acc.iter_mut().zip(&x) {
                *acc = add::<B>(&w, x, o, *acc);
            }
        }
        let rest = octets.remainder();
        if !rest.is_empty() {
            let mut w = zero_padded::<B>(rest);
            w.q = unsigned::<B>(w.q);
            let real = first_lanes(rest.len() * B::LEN / GROUP);
            for (acc, x) in acc.iter_mut().zip(&x) {
                let sum = add::<B>(&w, x, x.q.len() - 1, *acc);
                *acc = _mm256_blendv_ps(*acc, sum, real);
            }
        }
        for (t, acc) in acc.into_iter().enumerate() {
            let row = out.rows().start + first + t;
            out.row(row)[n] = fold(acc);
        }
    }
    T
}

/// Adds the products of an octet, whose quants are unsigned, with octet `o` of
/// a row to its eight partial sums.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn add<B: Octets>(w: &Octet, x: &Row<'_>, o: usize, acc: __m256) -> __m256 {
    let isums = dot::<B>(w, &x.q[o], load_i16(&x.sums[o]));
    add_sums::<B>(w, x, o, isums, acc)
}

/// The integer sums of the eight groups, in their order.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn dot<B: Octets>(w: &Octet, x: &[i8; OCTET_LEN], sums: __m256i) -> __m256i {
    let x: &[[i8; 32]; 8] = bytemuck::cast_ref(x);
    // The lanes of pair p hold four sums each of groups p and p + 4.
    let mut pairs = [_mm256_setzero_si256(); 4];
    for (p, pair) in pairs.iter_mut().enumerate() {
        for i in [2 * p, 2 * p + 1] {
            let x = load_i8(&x[i]);
            *pair = if B::SUBSCALES {
                let products = _mm256_maddubs_epi16(w.q[i], x);
                _mm256_dpwssd_epi32(*pair, products, subscale(w.s, i))
            } else {
                _mm256_dpbusd_epi32(*pair, w.q[i], x)
            };
        }
    }
    let isums = quad(pairs);
    if B::OFFSET == 0 {
        return isums;
    }
    let offset = _mm256_set1_epi16(i16::from(B::OFFSET));
    let factor = if B::SUBSCALES {
        _mm256_mullo_epi16(w.s, offset)
    } else {
        offset
    };
    _mm256_sub_epi32(isums, _mm256_madd_epi16(factor, sums))
}
