//! F32, F16 and BF16, written once for the [lanes](crate::lanes) of every
//! instruction set.
//!
//! The sixteen partial sums of an output are sixteen lanes. Both weights and
//! activations are taken in *steps* of 64 bytes ([`crate::steps`]), and what a
//! step of one adds with a step of the other, its [`Dot`] says: sixteen fused
//! multiply-adds, or twice as many of bf16. A *tile* is some rows by some tokens
//! whose sums stay in registers: with each step it reads `R + T` vectors for
//! `R · T` products.
//!
//! Few tokens: rows are widened on the way ([`in_place`](super::in_place)).
//!
//! Many tokens: a strip is brought into steps once, `R` rows side by side in a *sheet*:
//!
//! ```text
//! panel   [sheet][step][row]
//! sums    [sheet][token][row]     of a chunk of tokens
//! ```
//!
//! Loops from the outside in: a chunk of tokens ([`CHUNK`]); a block of inputs
//! ([`BLOCK_STEPS`]); tiles of tokens; sheets. Sums rest in memory between blocks
//! of inputs, where there is more than one.
//!
//! Units of 32 inputs that no row has enough for are filled up with weights of `0`
//! and activations of `-0`, or `0` of bf16: what these add changes no sum.

use super::in_place::InPlace;
use super::panel::MIN_TOKENS;
use super::{Activations, Matrix, Scratch};
use crate::format::{BF16, F16, F32, FloatWeight};
use crate::inlined::{self, zip};
use crate::lanes::{LANES, Lanes, Op};
use crate::lines::Lines;
use crate::prefetch;
use crate::steps::{Step, StepRows, UNIT};
use crate::team::TileMut;
use std::marker::PhantomData;
use std::ops::Range;

/// Tokens whose sums are kept at a time.
const CHUNK: usize = 48;
/// Steps in a block of inputs: of a tile's tokens they stay in the first-level cache,
/// while sheets come from the second. (On a Zen 5, blocks of 96 were a sixth slower.)
const BLOCK_STEPS: usize = 64;
/// How far ahead of what is unpacked memory is asked for.
pub(super) const AHEAD: usize = 8192;

/// A weight that lanes can read.
pub(super) trait Weight: FloatWeight + bytemuck::Zeroable {
    /// The activations it is multiplied with.
    fn activations<'a>(x: &Activations<'a>) -> StepRows<'a>;

    /// Widens a unit, to be multiplied with two steps of floats.
    fn load<L: Lanes>(l: L, from: &[Self; UNIT]) -> [L::F; 2];
}

impl Weight for F32 {
    #[inline(always)]
    fn activations<'a>(x: &Activations<'a>) -> StepRows<'a> {
        x.plain
    }

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; UNIT]) -> [L::F; 2] {
        let [low, high] = halves(from);
        [
            l.load(&inlined::map(*low, F32::to_f32)),
            l.load(&inlined::map(*high, F32::to_f32)),
        ]
    }
}

impl Weight for F16 {
    #[inline(always)]
    fn activations<'a>(x: &Activations<'a>) -> StepRows<'a> {
        x.plain
    }

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; UNIT]) -> [L::F; 2] {
        let [low, high] = halves(from);
        [l.load_f16(low), l.load_f16(high)]
    }
}

impl Weight for BF16 {
    #[inline(always)]
    fn activations<'a>(x: &Activations<'a>) -> StepRows<'a> {
        x.rounded
    }

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; UNIT]) -> [L::F; 2] {
        l.load_bf16(from)
    }
}

/// The halves of a unit.
#[inline(always)]
fn halves<T>(unit: &[T; UNIT]) -> [&[T; LANES]; 2] {
    let (halves, _) = unit.as_chunks();
    [&halves[0], &halves[1]]
}

/// How a unit of weights becomes `N` steps, and what they add to sums.
pub(super) trait Dot<L: Lanes, W, const N: usize>: Copy {
    /// The steps of a unit.
    fn steps(self, l: L, from: &[W; UNIT]) -> [L::F; N];

    /// Adds what a step of each row of weights makes with one of each token to
    /// `acc[token][row]`.
    fn outer<const R: usize, const T: usize>(
        self,
        l: L,
        acc: &mut [[L::F; R]; T],
        w: [L::F; R],
        x: [&Step; T],
    );
}

/// Two steps of floats, sixteen fused multiply-adds each.
#[derive(Clone, Copy)]
pub(super) struct Fused;

impl<L: Lanes, W: Weight> Dot<L, W, 2> for Fused {
    #[inline(always)]
    fn steps(self, l: L, from: &[W; UNIT]) -> [L::F; 2] {
        W::load(l, from)
    }

    #[inline(always)]
    fn outer<const R: usize, const T: usize>(
        self,
        l: L,
        acc: &mut [[L::F; R]; T],
        w: [L::F; R],
        x: [&Step; T],
    ) {
        l.outer(acc, w, x);
    }
}

/// What is written for any lanes and any [`Dot`]. Implementations of `run` are
/// `#[inline(always)]`.
pub(super) trait Work<W> {
    /// Does it.
    fn run<L: Lanes, D: Dot<L, W, N>, const N: usize>(self, l: L, dot: D);
}

/// Instructions, and how code is compiled for them.
pub(super) trait Machine<W>: Copy {
    /// Runs `work` as a function of its own.
    fn call(self, work: impl Work<W>);
}

/// [`Fused`] on some lanes.
#[derive(Clone, Copy)]
struct OnLanes<L>(L);

/// Work as an operation on lanes.
struct FusedWork<W, K>(K, PhantomData<W>);

impl<W: Weight, K: Work<W>> Op for FusedWork<W, K> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        self.0.run(l, Fused);
    }
}

impl<L: Lanes, W: Weight> Machine<W> for OnLanes<L> {
    #[inline(always)]
    fn call(self, work: impl Work<W>) {
        self.0.call(FusedWork(work, PhantomData));
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
    multiply::<W, _>(OnLanes(l), weight, x, out, scratch);
}

/// Multiplies a strip.
pub(super) fn multiply<W: Weight, M: Machine<W>>(
    machine: M,
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let (tokens, x) = (x.rows, W::activations(&x));
    let weight = Rows::<W>::new(weight);
    if tokens < MIN_TOKENS {
        machine.call(InPlace {
            weight,
            x,
            tokens,
            out,
        });
    } else {
        let panel = &mut scratch.floats;
        let sums = &mut scratch.panel.sums;
        let rows = weight.rows;
        machine.call(Unpack { weight, panel });
        machine.call(Panel {
            rows,
            panel,
            x,
            tokens,
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
pub(super) struct Rows<'a, W> {
    /// Number of rows.
    pub rows: usize,
    cols: usize,
    weights: &'a [W],
}

impl<'a, W: Weight> Rows<'a, W> {
    pub fn new(matrix: Matrix<'a>) -> Self {
        Rows {
            rows: matrix.rows(),
            cols: matrix.cols(),
            weights: bytemuck::cast_slice(matrix.bytes()),
        }
    }

    /// Row `index`, or the last row for those that the matrix does not have: in
    /// whole units, and what is left.
    #[inline(always)]
    pub fn row(&self, index: usize) -> (&'a [[W; UNIT]], &'a [W]) {
        let row = index.min(self.rows - 1);
        self.weights[row * self.cols..][..self.cols].as_chunks()
    }
}

/// Weights after the last whole unit, filled up.
#[inline(always)]
pub(super) fn fill_up<W: Weight>(tail: &[W]) -> [W; UNIT] {
    let mut unit = [W::zeroed(); UNIT];
    unit[..tail.len()].copy_from_slice(tail);
    unit
}

/// Brings a strip into a panel.
struct Unpack<'a, 'p, W> {
    weight: Rows<'a, W>,
    panel: &'p mut Lines<f32>,
}

impl<W: Weight> Work<W> for Unpack<'_, '_, W> {
    #[inline(always)]
    fn run<L: Lanes, D: Dot<L, W, N>, const N: usize>(self, l: L, dot: D) {
        let steps = N * self.weight.cols.div_ceil(UNIT);
        let sheet_rows = tile_rows::<L>();
        let sheets = self.weight.rows.div_ceil(sheet_rows);
        let panel = self.panel.resize(sheets * sheet_rows * steps * LANES);
        let panel: &mut [Step] = panel.as_chunks_mut().0;
        for (sheet, panel) in panel.chunks_exact_mut(sheet_rows * steps).enumerate() {
            for r in 0..sheet_rows {
                let (units, tail) = self.weight.row(sheet * sheet_rows + r);
                let mut to = panel[r..].iter_mut().step_by(sheet_rows);
                for unit in units {
                    prefetch::all_to_level(false, unit, AHEAD);
                    for (step, to) in zip(dot.steps(l, unit), &mut to) {
                        l.store(step, to);
                    }
                }
                if !tail.is_empty() {
                    for (step, to) in zip(dot.steps(l, &fill_up(tail)), &mut to) {
                        l.store(step, to);
                    }
                }
            }
        }
    }
}

/// Multiplies a panel with many tokens.
struct Panel<'a, 't, 'o> {
    rows: usize,
    panel: &'a [f32],
    x: StepRows<'a>,
    tokens: usize,
    sums: &'t mut Lines<f32>,
    out: &'t mut TileMut<'o>,
}

impl<W> Work<W> for Panel<'_, '_, '_> {
    #[inline(always)]
    fn run<L: Lanes, D: Dot<L, W, N>, const N: usize>(mut self, l: L, dot: D) {
        for first in (0..self.tokens).step_by(CHUNK) {
            let tokens = first..self.tokens.min(first + CHUNK);
            if tile_rows::<L>() == 2 {
                self.chunk::<L, D, W, N, 2, 3>(l, dot, tokens);
            } else {
                self.chunk::<L, D, W, N, 4, 6>(l, dot, tokens);
            }
        }
    }
}

impl Panel<'_, '_, '_> {
    #[inline(always)]
    fn chunk<L: Lanes, D: Dot<L, W, N>, W, const N: usize, const R: usize, const T: usize>(
        &mut self,
        l: L,
        dot: D,
        tokens: Range<usize>,
    ) {
        let panel: &[[Step; R]] = self.panel.as_chunks().0.as_chunks().0;
        let steps = self.x.steps();
        let sheets = self.rows.div_ceil(R);
        let whole = steps <= BLOCK_STEPS;
        let resting = if whole { 0 } else { sheets * tokens.len() };
        let sums = self.sums.resize(resting * R * LANES);
        let sums: &mut [[Step; R]] = sums.as_chunks_mut().0.as_chunks_mut().0;

        for start in (0..steps).step_by(BLOCK_STEPS) {
            let block = start..steps.min(start + BLOCK_STEPS);
            let mut token = 0;
            while token < tokens.len() {
                let mut taken = 0;
                for sheet in 0..sheets {
                    let mut tile = Tile {
                        w: &panel[sheet * steps..][block.clone()],
                        x: self.x,
                        block: block.clone(),
                        sums: match whole {
                            true => &mut [],
                            false => &mut sums[sheet * tokens.len()..][..tokens.len()],
                        },
                        tokens: tokens.clone(),
                        out: self.out,
                        first_row: sheet * R,
                        rows: R.min(self.rows - sheet * R),
                    };
                    taken = match tokens.len() - token {
                        left if left >= T => tile.add::<L, D, W, N, T>(l, dot, token),
                        left if left >= 2 => tile.add::<L, D, W, N, 2>(l, dot, token),
                        _ => tile.add::<L, D, W, N, 1>(l, dot, token),
                    };
                }
                token += taken;
            }
        }
    }
}

/// A block of a sheet, to be multiplied with some tokens of a chunk at a time.
struct Tile<'a, 't, 'o, const R: usize> {
    w: &'a [[Step; R]],
    x: StepRows<'a>,
    block: Range<usize>,
    /// Sums of all tokens of the chunk between blocks.
    sums: &'t mut [[Step; R]],
    tokens: Range<usize>,
    out: &'t mut TileMut<'o>,
    first_row: usize,
    rows: usize,
}

impl<const R: usize> Tile<'_, '_, '_, R> {
    /// Adds the products with `T` tokens, from `token` of the chunk on, to their
    /// sums, and stores them after the last block. Returns `T`.
    #[inline(always)]
    fn add<L: Lanes, D: Dot<L, W, N>, W, const N: usize, const T: usize>(
        &mut self,
        l: L,
        dot: D,
        token: usize,
    ) -> usize {
        let first = self.tokens.start + token;
        let mut x: [&[Step]; T] = [&[]; T];
        for (t, x) in x.iter_mut().enumerate() {
            *x = &self.x.row(first + t)[self.block.clone()];
        }
        let mut acc = [[l.splat(0.0); R]; T];
        if self.block.start > 0 {
            for (acc, sums) in zip(acc.iter_mut(), &self.sums[token..]) {
                for (acc, sums) in zip(acc.iter_mut(), sums) {
                    *acc = l.load(sums);
                }
            }
        }
        for (k, w) in self.w.iter().enumerate() {
            let mut steps = [l.splat(0.0); R];
            for (step, w) in zip(steps.iter_mut(), w) {
                *step = l.load(w);
            }
            dot.outer(l, &mut acc, steps, at(x, k));
        }
        if self.block.end < self.x.steps() {
            for (acc, sums) in zip(acc.iter(), &mut self.sums[token..]) {
                for (acc, sums) in zip(acc.iter(), sums) {
                    l.store(*acc, sums);
                }
            }
            return T;
        }
        for (t, acc) in acc.into_iter().enumerate() {
            let row = self.out.rows().start + first + t;
            let folded = l.fold_each(acc);
            let to = &mut self.out.row(row)[self.first_row..][..self.rows];
            // A whole tile, most often: its size is known.
            match to.first_chunk_mut() {
                Some(whole) => *whole = folded,
                None => to.copy_from_slice(&folded[..self.rows]),
            }
        }
        T
    }
}

/// Step `k` of each token. (A loop: the closures of `map` are not sure to be
/// inlined.)
#[inline(always)]
fn at<const T: usize>(x: [&[Step]; T], k: usize) -> [&Step; T] {
    let mut steps = [&[0.0; LANES]; T];
    for (step, x) in zip(steps.iter_mut(), x) {
        *step = &x[k];
    }
    steps
}
