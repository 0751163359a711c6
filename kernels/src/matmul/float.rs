//! F32, F16 and BF16, written once for the [lanes](crate::lanes) of every
//! instruction set.
//!
//! The sixteen partial sums of an output are sixteen lanes, so a step of
//! sixteen inputs is one fused multiply-add of a row's weights and a token's
//! activations, both read where they lie. A *tile* is some rows by some tokens
//! whose sums stay in registers: with each step it reads `R + T` vectors for
//! `R · T` multiply-adds.
//!
//! Few tokens: four rows are read as four streams and widened on the way.
//!
//! Many tokens: a strip is widened once, `R` rows side by side in a *sheet*:
//!
//! ```text
//! panel   [sheet][step][row][16]      zeros after the last input
//! sums    [sheet][token][row][16]     of a chunk of tokens
//! ```
//!
//! Loops from the outside in: a chunk of tokens ([`CHUNK`]); a block of inputs
//! ([`STEPS`]); [`ROWS`] rows, of which that block fits in the first-level
//! cache beside the tokens of a tile; tokens; sheets. Sums rest in memory
//! between blocks of inputs.
//!
//! Inputs that no row of 16 is left for are filled up with weights of `0` and
//! activations of `-0`: their product `-0` changes no sum, not even a `-0`.

use super::panel::MIN_TOKENS;
use super::{Activations, Matrix, Scratch};
use crate::format::{BF16, F16, F32, FloatWeight};
use crate::lanes::{LANES, Lanes, Op};
use crate::lines::Lines;
use crate::prefetch;
use crate::team::TileMut;
use std::ops::Range;

/// Steps in a block of inputs.
const STEPS: usize = 32;
/// Rows whose block of inputs stays in the first-level cache.
const ROWS: usize = 8;
/// Tokens whose sums are kept at a time.
const CHUNK: usize = 48;
/// Rows that are streamed side by side. Meanwhile the rows after them are asked
/// for.
const STREAMS: usize = 4;
/// Steps of weights of one byte in a cache line.
const STEPS_OF_LINE: usize = 64 / LANES;

/// Sixteen values.
type Step = [f32; LANES];

/// A weight that lanes can read.
pub(super) trait Weight: FloatWeight {
    /// Widens sixteen weights.
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F;
}

impl Weight for F32 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F {
        l.load(&from.map(F32::to_f32))
    }
}

impl Weight for F16 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F {
        l.load_f16(from)
    }
}

impl Weight for BF16 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F {
        l.load_bf16(from)
    }
}

/// The kernel of a format on some lanes.
pub(super) fn strip<L: Lanes, W: Weight>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let l = L::new().expect("the registry runs a kernel only where its instructions are");
    if x.rows < MIN_TOKENS {
        let weight = Rows::<W>::new(weight);
        l.call(InPlace { weight, x, out });
    } else {
        let panel = &mut scratch.floats;
        let sums = &mut scratch.panel.sums;
        let rows = weight.rows();
        l.call(Widen {
            weight: Rows::<W>::new(weight),
            panel,
        });
        l.call(Multiply {
            rows,
            panel,
            x,
            sums,
            out,
        });
    }
}

/// Rows and tokens in a tile for many tokens: as many as there are registers
/// for their sums.
const fn tile_rows<L: Lanes>() -> usize {
    if L::REGISTERS < 24 { 2 } else { 4 }
}

/// Weights by rows.
struct Rows<'a, W> {
    rows: usize,
    cols: usize,
    weights: &'a [W],
}

impl<'a, W: Weight> Rows<'a, W> {
    fn new(matrix: Matrix<'a>) -> Self {
        Rows {
            rows: matrix.rows(),
            cols: matrix.cols(),
            weights: bytemuck::cast_slice(matrix.bytes()),
        }
    }

    /// Rows `first..first + R`; the last row stands in for those that the
    /// matrix does not have.
    fn streams<const R: usize>(&self, first: usize) -> [&'a [W]; R] {
        std::array::from_fn(|r| {
            let row = (first + r).min(self.rows - 1);
            &self.weights[row * self.cols..][..self.cols]
        })
    }
}

/// Multiplies few tokens with weights as they lie in the file.
struct InPlace<'a, 't, 'o, W> {
    weight: Rows<'a, W>,
    x: Activations<'a>,
    out: &'t mut TileMut<'o>,
}

impl<W: Weight> Op for InPlace<'_, '_, '_, W> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        for first in (0..self.weight.rows).step_by(STREAMS) {
            let [a, b, c, d] = self.weight.streams(first);
            let mut token = 0;
            while token < self.x.rows {
                let count = match self.x.rows - token {
                    1 => {
                        self.tile::<L, STREAMS, 1>(l, [a, b, c, d], first, token);
                        1
                    }
                    2 => {
                        self.tile::<L, 2, 2>(l, [a, b], first, token);
                        self.tile::<L, 2, 2>(l, [c, d], first + 2, token);
                        2
                    }
                    _ => {
                        self.tile::<L, 2, 3>(l, [a, b], first, token);
                        self.tile::<L, 2, 3>(l, [c, d], first + 2, token);
                        3
                    }
                };
                token += count;
            }
        }
    }
}

impl<W: Weight> InPlace<'_, '_, '_, W> {
    /// Multiplies rows from `first` with tokens from `token`, if there are such
    /// rows.
    #[inline(always)]
    fn tile<L: Lanes, const R: usize, const T: usize>(
        &mut self,
        l: L,
        w: [&[W]; R],
        first: usize,
        token: usize,
    ) {
        if first >= self.weight.rows {
            return;
        }
        let (w, w_tail) = steps(w);
        let x: [&[f32]; T] = std::array::from_fn(|t| self.x.float_row(token + t));
        let (x, x_tail) = steps(x);
        let mut acc = [[l.splat(0.0); R]; T];
        let mut w_step = [l.splat(0.0); R];
        let ahead = STREAMS * self.weight.cols * size_of::<W>();
        for k in 0..w[0].len() {
            for (step, w) in w_step.iter_mut().zip(w) {
                *step = W::load(l, &w[k]);
                if token == 0 && k.is_multiple_of(STEPS_OF_LINE / size_of::<W>()) {
                    prefetch::to_second_level(&w[k], ahead);
                }
            }
            l.outer(&mut acc, w_step, at(x, k));
        }
        if !x_tail[0].is_empty() {
            for (step, tail) in w_step.iter_mut().zip(w_tail) {
                let mut padded = Step::default();
                widen_tail(tail, &mut padded);
                *step = l.load(&padded);
            }
            l.outer(&mut acc, w_step, pad(x_tail).each_ref());
        }
        let rows = R.min(self.weight.rows - first);
        for (t, acc) in acc.into_iter().enumerate() {
            let row = self.out.rows().start + token + t;
            let outs = &mut self.out.row(row)[first..][..rows];
            for (out, acc) in outs.iter_mut().zip(acc) {
                *out = l.fold(acc);
            }
        }
    }
}

/// Cuts rows of one length into steps; what is left of each is less than one.
#[inline(always)]
fn steps<T, const N: usize>(rows: [&[T]; N]) -> ([&[[T; LANES]]; N], [&[T]; N]) {
    let len = rows[0].len() / LANES;
    (
        rows.map(|row| &row.as_chunks().0[..len]),
        rows.map(|row| row.as_chunks::<LANES>().1),
    )
}

/// Step `k` of each token. (A loop: the closures of `map` are not sure to be
/// inlined.)
#[inline(always)]
fn at<const T: usize>(x: [&[Step]; T], k: usize) -> [&Step; T] {
    let mut steps = [&[0.0; LANES]; T];
    for (step, x) in steps.iter_mut().zip(x) {
        *step = &x[k];
    }
    steps
}

/// Activations after the last whole step, filled up.
#[inline(always)]
fn pad<const T: usize>(tails: [&[f32]; T]) -> [Step; T] {
    tails.map(|tail| {
        let mut step = [-0.0; LANES];
        step[..tail.len()].copy_from_slice(tail);
        step
    })
}

/// Weights after the last whole step, filled up.
#[inline(always)]
fn widen_tail<W: FloatWeight>(tail: &[W], to: &mut Step) {
    *to = [0.0; LANES];
    for (to, weight) in to.iter_mut().zip(tail) {
        *to = weight.to_f32();
    }
}

/// Widens a strip into a panel.
struct Widen<'a, 'p, W> {
    weight: Rows<'a, W>,
    panel: &'p mut Lines<f32>,
}

impl<W: Weight> Op for Widen<'_, '_, W> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let steps = self.weight.cols.div_ceil(LANES);
        let sheet_rows = tile_rows::<L>();
        let sheets = self.weight.rows.div_ceil(sheet_rows);
        let panel = self.panel.resize(sheets * sheet_rows * steps * LANES);
        let panel: &mut [Step] = panel.as_chunks_mut().0;
        for (sheet, panel) in panel.chunks_exact_mut(sheet_rows * steps).enumerate() {
            for r in 0..sheet_rows {
                let [row] = self.weight.streams(sheet * sheet_rows + r);
                let (whole, tail) = row.as_chunks();
                let mut to = panel[r..].iter_mut().step_by(sheet_rows);
                for (from, to) in whole.iter().zip(&mut to) {
                    l.store(W::load(l, from), to);
                }
                if let Some(to) = to.next() {
                    widen_tail(tail, to);
                }
            }
        }
    }
}

/// Multiplies a panel with many tokens.
struct Multiply<'a, 't, 'o> {
    rows: usize,
    panel: &'a [f32],
    x: Activations<'a>,
    sums: &'t mut Lines<f32>,
    out: &'t mut TileMut<'o>,
}

impl Op for Multiply<'_, '_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        for first in (0..self.x.rows).step_by(CHUNK) {
            let tokens = first..self.x.rows.min(first + CHUNK);
            if tile_rows::<L>() == 2 {
                self.chunk::<L, 2, 3>(l, tokens);
            } else {
                self.chunk::<L, 4, 6>(l, tokens);
            }
        }
    }
}

impl Multiply<'_, '_, '_> {
    #[inline(always)]
    fn chunk<L: Lanes, const R: usize, const T: usize>(&mut self, l: L, tokens: Range<usize>) {
        let x = self.x;
        let panel: &[[Step; R]] = self.panel.as_chunks().0.as_chunks().0;
        let steps = x.cols.div_ceil(LANES);
        let sheets = self.rows.div_ceil(R);
        let sums = self.sums.resize(sheets * tokens.len() * R * LANES);
        sums.fill(0.0);
        let sums: &mut [[Step; R]] = sums.as_chunks_mut().0.as_chunks_mut().0;

        for start in (0..steps).step_by(STEPS) {
            let block = start..steps.min(start + STEPS);
            for sheet in (0..sheets).step_by(ROWS / R) {
                let few_sheets = sheet..sheets.min(sheet + ROWS / R);
                let mut token = 0;
                while token < tokens.len() {
                    let tile = Tile {
                        x,
                        token: tokens.start + token,
                        block: block.clone(),
                    };
                    let left = tokens.len() - token;
                    for sheet in few_sheets.clone() {
                        let w = &panel[sheet * steps..][block.clone()];
                        let sums = &mut sums[sheet * tokens.len() + token..];
                        if left >= T {
                            tile.add::<L, R, T>(l, w, sums);
                        } else {
                            tile.add::<L, R, 1>(l, w, sums);
                        }
                    }
                    token += if left >= T { T } else { 1 };
                }
            }
        }

        for (t, token) in tokens.clone().enumerate() {
            let outs = self.out.row(self.out.rows().start + token);
            for (sheet, outs) in outs.chunks_mut(R).enumerate() {
                let sums = &sums[sheet * tokens.len() + t];
                for (out, sums) in outs.iter_mut().zip(sums) {
                    *out = l.fold(l.load(sums));
                }
            }
        }
    }
}

/// Tokens from `token` on, a block of their inputs.
struct Tile<'a> {
    x: Activations<'a>,
    token: usize,
    block: Range<usize>,
}

impl Tile<'_> {
    /// Adds the products of a sheet's block with `T` tokens to their sums.
    #[inline(always)]
    fn add<L: Lanes, const R: usize, const T: usize>(
        &self,
        l: L,
        w: &[[Step; R]],
        sums: &mut [[Step; R]],
    ) {
        let cols = self.block.start * LANES..self.x.cols.min(self.block.end * LANES);
        let x = std::array::from_fn(|t| &self.x.float_row(self.token + t)[cols.clone()]);
        let (x, x_tail) = steps::<_, T>(x);
        let sums: &mut [[Step; R]; T] = sums.first_chunk_mut().expect("sums of a tile");
        let mut acc = [[l.splat(0.0); R]; T];
        for (acc, sums) in acc.iter_mut().zip(sums.iter()) {
            for (acc, sums) in acc.iter_mut().zip(sums) {
                *acc = l.load(sums);
            }
        }
        let mut w_step = [l.splat(0.0); R];
        let (whole, last) = w.split_at(x[0].len());
        for (k, w) in whole.iter().enumerate() {
            for (step, w) in w_step.iter_mut().zip(w) {
                *step = l.load(w);
            }
            l.outer(&mut acc, w_step, at(x, k));
        }
        if let [w] = last {
            for (step, w) in w_step.iter_mut().zip(w) {
                *step = l.load(w);
            }
            l.outer(&mut acc, w_step, pad(x_tail).each_ref());
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            for (sums, acc) in sums.iter_mut().zip(acc) {
                l.store(acc, sums);
            }
        }
    }
}
