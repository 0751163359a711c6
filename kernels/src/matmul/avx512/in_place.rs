//! Few tokens: rows are read as one stream, each octet is unpacked once and
//! multiplied with every token.
//!
//! The eight partial sums of an output are the eight lanes of one register.

use super::octet::{Octets, Row, add, octet};
use crate::activation::{Int8Rows, OCTET_LEN};
use crate::format::blocks;
use crate::matmul::Matrix;
use crate::matmul::avx2::in_place::prefetch;
use crate::matmul::avx2::vector::fold;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// Computes a strip.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets>(weight: Matrix<'_>, x: Int8Rows<'_>, out: &mut TileMut<'_>) {
    let mut token = 0;
    while token < x.rows {
        token += match x.rows - token {
            1 => tokens::<B, 1>(weight, x, token, out),
            2..4 => tokens::<B, 2>(weight, x, token, out),
            4..8 => tokens::<B, 4>(weight, x, token, out),
            _ => tokens::<B, 8>(weight, x, token, out),
        };
    }
}

/// Computes a strip for the tokens from `first` on, and returns how many.
#[inline(never)]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tokens<B: Octets, const T: usize>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    first: usize,
    out: &mut TileMut<'_>,
) -> usize {
    let octets = weight.cols().div_ceil(OCTET_LEN);
    let x: [Row<'_>; T] = std::array::from_fn(|t| Row::new(x.row(first + t)));
    for x in &x {
        assert!(
            [x.q.len(), x.d.len(), x.xsum.len(), x.neg_sums.len()] == [octets; 4],
            "activations in lane order, as many as weights"
        );
    }
    let all = blocks::<B>(weight.bytes());
    let per_row = weight.cols() / B::LEN;
    for n in 0..weight.rows() {
        let mut acc = [_mm256_setzero_ps(); T];
        for o in 0..octets {
            let here = &all[n * per_row + o * B::BLOCKS..];
            prefetch(&here[..B::BLOCKS.min(here.len())]);
            let w = octet::<B>(here, per_row - o * B::BLOCKS);
            for (acc, x) in acc.iter_mut().zip(&x) {
                *acc = add::<B>(&w, x, o, *acc);
            }
        }
        for (t, acc) in acc.into_iter().enumerate() {
            let row = out.rows().start + first + t;
            out.row(row)[n] = fold(acc);
        }
    }
    T
}
