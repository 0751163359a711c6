//! Few tokens: rows are read as one stream, each octet is unpacked once and
//! multiplied with every token.
//!
//! The eight partial sums of an output are the eight lanes of one register.

use super::level::Level;
use super::octet::{Octets, Row, add, first_lanes, zero_padded};
use super::vector::fold;
use crate::activation::Int8Rows;
use crate::format::{GROUP, blocks};
use crate::inlined::zip;
use crate::matmul::Matrix;
use crate::prefetch;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// Tokens computed together.
const TOKENS: usize = 4;

/// How far ahead of the blocks in hand memory is asked for: a page, at whose
/// end the hardware's own prefetchers stop.
const AHEAD: usize = 4096;

/// Computes a strip.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn strip<L: Level, B: Octets>(
    l: L,
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
) {
    let mut rows = [Row::EMPTY; TOKENS];
    for first in (0..x.rows).step_by(TOKENS) {
        let count = TOKENS.min(x.rows - first);
        for (i, row) in rows[..count].iter_mut().enumerate() {
            *row = Row::new(x.row(first + i));
        }
        let first = out.rows().start + first;
        match rows {
            [a, ..] if count == 1 => tokens::<L, B, 1>(l, weight, &[a], first, out),
            [a, b, ..] if count == 2 => tokens::<L, B, 2>(l, weight, &[a, b], first, out),
            [a, b, c, ..] if count == 3 => tokens::<L, B, 3>(l, weight, &[a, b, c], first, out),
            all => tokens::<L, B, TOKENS>(l, weight, &all, first, out),
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn tokens<L: Level, B: Octets, const T: usize>(
    l: L,
    weight: Matrix<'_>,
    x: &[Row<'_>; T],
    first: usize,
    out: &mut TileMut<'_>,
) {
    let all = blocks::<B>(weight.bytes());
    let per_row = weight.cols() / B::LEN;
    for n in 0..weight.rows() {
        let here = &all[n * per_row..];
        let mut acc = [_mm256_setzero_ps(); T];
        let mut octets = here[..per_row].chunks_exact(B::BLOCKS);
        for (o, blocks) in octets.by_ref().enumerate() {
            prefetch::all_to_level(true, blocks, AHEAD);
            // SAFETY: this function has the features.
            let w = unsafe { l.prepare::<B>(B::octet(blocks)) };
            for (acc, x) in zip(acc.iter_mut(), x) {
                *acc = add::<L, B>(l, &w, x, o, *acc);
            }
        }
        let rest = octets.remainder();
        if !rest.is_empty() {
            // The next rows fill the octet up; what comes of them is not taken.
            let w = match here[per_row - rest.len()..].get(..B::BLOCKS) {
                // SAFETY: this function has the features.
                Some(blocks) => unsafe { B::octet(blocks) },
                None => zero_padded(rest),
            };
            // SAFETY: as above.
            let w = unsafe { l.prepare::<B>(w) };
            let real = first_lanes(rest.len() * B::LEN / GROUP);
            for (acc, x) in zip(acc.iter_mut(), x) {
                let sum = add::<L, B>(l, &w, x, x.q.len() - 1, *acc);
                *acc = _mm256_blendv_ps(*acc, sum, real);
            }
        }
        for (t, acc) in acc.into_iter().enumerate() {
            out.row(first + t)[n] = fold(acc);
        }
    }
}
