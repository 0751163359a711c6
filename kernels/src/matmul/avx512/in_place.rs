//! Few tokens: rows are read as one stream, each octet is unpacked once and
//! multiplied with every token.
//!
//! The eight partial sums of an output are the eight lanes of one register, or
//! of half of one: for more than one token, two rows go side by side, so that
//! activations are loaded once for both.

use super::octet::{Octet, Octets, Row, Scales, add, beside, dot, last_octet};
use crate::activation::{Int8Rows, OCTET_LEN};
use crate::format::blocks;
use crate::matmul::Matrix;
use crate::matmul::avx2::in_place::prefetch;
use crate::matmul::avx2::vector::fold;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// How far ahead of the blocks in hand memory is asked for, to be in the
/// second-level cache: the first holds too few requests to cover the time
/// memory takes. Measured on Zen 4, one page is too near (a third slower on one
/// core) and four are no better than two.
const AHEAD: usize = 8192;

/// Computes a strip.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets>(weight: Matrix<'_>, x: Int8Rows<'_>, out: &mut TileMut<'_>) {
    match B::MINIMUMS {
        0 => strip_of::<B, 0>(weight, x, out),
        1 => strip_of::<B, 1>(weight, x, out),
        _ => strip_of::<B, 2>(weight, x, out),
    }
}

/// `MINIMUMS` is the format's.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn strip_of<B: Octets, const MINIMUMS: usize>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
) {
    if B::MINIMUMS != MINIMUMS {
        unreachable!("no format has other minimums than its own");
    }
    let rows = Rows {
        all: blocks::<B>(weight.bytes()),
        per_row: weight.cols() / B::LEN,
        count: weight.rows(),
        octets: weight.cols().div_ceil(OCTET_LEN),
    };
    let mut token = 0;
    while token < x.rows {
        token += match x.rows - token {
            1 => rows.single(x, token, out),
            2 => rows.tokens::<2, MINIMUMS>(x, token, out),
            3 => rows.tokens::<3, MINIMUMS>(x, token, out),
            4..8 => rows.tokens::<4, MINIMUMS>(x, token, out),
            _ => rows.tokens::<8, MINIMUMS>(x, token, out),
        };
    }
}

/// The rows of a strip.
struct Rows<'a, B> {
    all: &'a [B],
    /// Blocks of a row.
    per_row: usize,
    /// Rows.
    count: usize,
    /// Octets of a row, the last of which may not be full.
    octets: usize,
}

impl<B: Octets> Rows<'_, B> {
    /// The blocks from a row's first on.
    #[inline]
    fn from(&self, row: usize) -> &[B] {
        &self.all[row * self.per_row..]
    }

    /// Blocks of a row that do not make a whole octet.
    #[inline]
    fn rest(&self) -> usize {
        self.per_row % B::BLOCKS
    }

    /// The last octet of a row, which is not full.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    fn last_octet(&self, row: usize) -> Octet {
        let rest = self.rest();
        last_octet(&self.from(row)[self.per_row - rest..], rest)
    }

    /// The activations of `T` tokens from `first` on.
    #[inline]
    fn activations<'x, const T: usize>(&self, x: Int8Rows<'x>, first: usize) -> [Row<'x>; T] {
        let rows: [Row<'_>; T] = std::array::from_fn(|t| Row::new(x.row(first + t)));
        for row in &rows {
            // One by one, so that the compiler knows each.
            assert!(row.q.len() == self.octets);
            assert!(row.d.len() == self.octets);
            assert!(row.xsum.len() == self.octets);
            assert!(row.neg_sums.len() == self.octets, "no lane order");
        }
        rows
    }

    /// Computes all rows for one token.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn single(&self, x: Int8Rows<'_>, first: usize, out: &mut TileMut<'_>) -> usize {
        let [x] = self.activations(x, first);
        let out = out.row(out.rows().start + first);
        for (row, out) in out.iter_mut().enumerate() {
            let mut acc = _mm256_setzero_ps();
            let octets = self.from(row)[..self.per_row].chunks_exact(B::BLOCKS);
            for (o, blocks) in octets.take(self.octets).enumerate() {
                prefetch::<_MM_HINT_T1, AHEAD, B>(blocks);
                // SAFETY: this function has the features.
                let w = unsafe { B::octet(blocks) };
                acc = add::<B>(&w, &x, o, acc);
            }
            if self.rest() > 0 {
                acc = add::<B>(&self.last_octet(row), &x, self.octets - 1, acc);
            }
            *out = fold(acc);
        }
        1
    }

    /// Computes all rows for the tokens from `first` on, and returns how many.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn tokens<const T: usize, const MINIMUMS: usize>(
        &self,
        x: Int8Rows<'_>,
        first: usize,
        out: &mut TileMut<'_>,
    ) -> usize {
        let x: [Row<'_>; T] = self.activations(x, first);
        for a in (0..self.count).step_by(2) {
            // An odd last row is its own neighbour.
            let b = (a + 1).min(self.count - 1);
            let mut acc = [_mm512_setzero_ps(); T];
            let octets_a = self.from(a)[..self.per_row].chunks_exact(B::BLOCKS);
            let octets_b = self.from(b)[..self.per_row].chunks_exact(B::BLOCKS);
            for (o, (a, b)) in octets_a.zip(octets_b).take(self.octets).enumerate() {
                prefetch::<_MM_HINT_T1, AHEAD, B>(a);
                prefetch::<_MM_HINT_T1, AHEAD, B>(b);
                // SAFETY: this function has the features.
                let w = unsafe { [B::octet(a), B::octet(b)] };
                add_two::<B, T, MINIMUMS>(&w, &x, o, &mut acc);
            }
            if self.rest() > 0 {
                let w = [self.last_octet(a), self.last_octet(b)];
                add_two::<B, T, MINIMUMS>(&w, &x, self.octets - 1, &mut acc);
            }
            for (t, acc) in acc.into_iter().enumerate() {
                let out = out.row(out.rows().start + first + t);
                out[a] = fold(_mm512_castps512_ps256(acc));
                out[b] = fold(_mm512_extractf32x8_ps(acc, 1));
            }
        }
        T
    }
}

/// Adds the products of an octet of two rows with octet `o` of all tokens.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn add_two<B: Octets, const T: usize, const MINIMUMS: usize>(
    w: &[Octet; 2],
    x: &[Row<'_>; T],
    o: usize,
    acc: &mut [__m512; T],
) {
    let d = beside(w[0].d, w[1].d);
    let mut m = [_mm512_setzero_ps(); MINIMUMS];
    for (half, m) in m.iter_mut().enumerate() {
        *m = beside(w[0].m[half], w[1].m[half]);
    }
    for (acc, x) in acc.iter_mut().zip(x) {
        let isums = [dot::<B>(&w[0], x, o), dot::<B>(&w[1], x, o)];
        *acc = Scales::new(x, o).add(isums, d, &m, *acc);
    }
}
