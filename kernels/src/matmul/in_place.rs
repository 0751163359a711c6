//! Few tokens with matrices of floats as they lie in the file.
//!
//! A product of one token waits for memory, and so does one of few where rows are
//! gone through several times; so a tile takes as many rows and tokens as there are
//! registers for, and the rows that follow are asked for ahead. (On a Zen 4, one
//! token reads memory as fast with one row at a time as with four; four tokens
//! read F16 at 16 GB/s with one, at 23 with two and at 28 with four, where plainly
//! reading reached 31.)
//!
//! A Zen 5 reads one stream faster than four, so few tokens that stay in its
//! first-level cache meet one row at a time. (Rows of 2048: two cores read F16 for
//! one token at 37 GB/s with four rows and at 50 with one, BF16 for four at 38 and
//! 49. Four tokens of 8192 are read from further away, and want several rows for each
//! time.)

use super::float::{Dot, Rows, Weight, Work, fill_up};
use crate::inlined::zip;
use crate::lanes::{LANES, Lanes};
use crate::prefetch;
use crate::steps::{Step, StepRows, UNIT};
use crate::team::TileMut;

/// How far ahead of what is read memory is asked for, at least. It is as far as
/// the rows after those in hand, unless rows are so long that each is a stream.
const NEAREST: usize = 16384;
/// Tokens, and bytes of their activations, that a stream of single rows is faster
/// for.
const STREAM_TOKENS: usize = 4;
const STREAM_BYTES: usize = 32 << 10;

/// Multiplies few tokens with weights as they lie in the file.
pub(super) struct InPlace<'a, 't, 'o, W> {
    pub weight: Rows<'a, W>,
    pub x: StepRows<'a>,
    pub tokens: usize,
    pub out: &'t mut TileMut<'o>,
}

impl<W: Weight> Work<W> for InPlace<'_, '_, '_, W> {
    #[inline(always)]
    fn run<L: Lanes, D: Dot<L, W, N>, const N: usize>(mut self, l: L, dot: D) {
        let bytes = self.tokens * self.x.steps() * size_of::<Step>();
        let few = self.tokens <= STREAM_TOKENS && bytes <= STREAM_BYTES;
        if few && prefetch::prefers_first_level() && prefetch::streams() == 1 {
            self.tiles::<L, D, N, 1, 4>(l, dot);
        } else if L::REGISTERS < 24 {
            self.tiles::<L, D, N, 2, 3>(l, dot);
        } else {
            self.tiles::<L, D, N, 4, 4>(l, dot);
        }
    }
}

impl<W: Weight> InPlace<'_, '_, '_, W> {
    /// Multiplies `R` rows with up to `T` tokens at a time.
    #[inline(always)]
    fn tiles<L: Lanes, D: Dot<L, W, N>, const N: usize, const R: usize, const T: usize>(
        &mut self,
        l: L,
        dot: D,
    ) {
        for first in (0..self.weight.rows).step_by(R) {
            let mut token = 0;
            while token < self.tokens {
                token += match self.tokens - token {
                    left if left >= T => self.tile::<L, D, N, R, T>(l, dot, first, token),
                    left if left >= 2 => self.tile::<L, D, N, R, 2>(l, dot, first, token),
                    _ => self.tile::<L, D, N, R, 1>(l, dot, first, token),
                };
            }
        }
    }

    /// Multiplies rows from `first` on with tokens from `token` on. Returns `T`.
    #[inline(always)]
    fn tile<L: Lanes, D: Dot<L, W, N>, const N: usize, const R: usize, const T: usize>(
        &mut self,
        l: L,
        dot: D,
        first: usize,
        token: usize,
    ) -> usize {
        let mut w: [&[[W; UNIT]]; R] = [&[]; R];
        let mut tails: [&[W]; R] = [&[]; R];
        for (r, (w, tail)) in zip(w.iter_mut(), &mut tails).enumerate() {
            (*w, *tail) = self.weight.row(first + r);
        }
        let units = w[0].len();
        let row_bytes = size_of_val(w[0]);
        let ahead = match row_bytes < 4 * NEAREST {
            true => NEAREST.max(R * row_bytes),
            false => NEAREST,
        };
        // Rows side by side were no faster with it.
        let near = R == 1;
        let mut x: [&[[Step; N]]; T] = [&[]; T];
        let mut x_tail: [&[[Step; N]]; T] = [&[]; T];
        for (t, (x, tail)) in zip(x.iter_mut(), &mut x_tail).enumerate() {
            (*x, *tail) = self.x.row(token + t).as_chunks().0.split_at(units);
        }
        let mut acc = [[l.splat(0.0); R]; T];
        let mut steps = [[l.splat(0.0); R]; N];
        for k in 0..units {
            for (r, w) in w.iter().enumerate() {
                if token == 0 {
                    prefetch::all_to_level(near, &w[k], ahead);
                }
                for (steps, step) in zip(steps.iter_mut(), dot.steps(l, &w[k])) {
                    steps[r] = step;
                }
            }
            for (n, steps) in steps.iter().enumerate() {
                dot.outer(l, &mut acc, *steps, step_of(x, k, n));
            }
        }
        if !tails[0].is_empty() {
            for (r, tail) in tails.iter().enumerate() {
                for (steps, step) in zip(steps.iter_mut(), dot.steps(l, &fill_up(tail))) {
                    steps[r] = step;
                }
            }
            for (n, steps) in steps.iter().enumerate() {
                dot.outer(l, &mut acc, *steps, step_of(x_tail, 0, n));
            }
        }
        let rows = R.min(self.weight.rows - first);
        for (t, acc) in acc.into_iter().enumerate() {
            let row = self.out.rows().start + token + t;
            let folded = l.fold_each(acc);
            self.out.row(row)[first..][..rows].copy_from_slice(&folded[..rows]);
        }
        T
    }
}

/// Step `n` of unit `k` of each token. (A loop: the closures of `map` are not sure
/// to be inlined.)
#[inline(always)]
fn step_of<const N: usize, const T: usize>(x: [&[[Step; N]]; T], k: usize, n: usize) -> [&Step; T] {
    let mut steps = [&[0.0; LANES]; T];
    for (step, x) in zip(steps.iter_mut(), x) {
        *step = &x[k][n];
    }
    steps
}
