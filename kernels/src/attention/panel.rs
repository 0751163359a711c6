//! The product that both halves of attention are: rows against panels of
//! sixteen lanes.
//!
//! ```text
//! out[r][n] = out[r][n] · factor[r], then += a[r][i] · b[n][i]     i ascending, fma
//!
//! scores:  a = query rows, i = dimension, b[n] = 16 keys, transposed
//! values:  a = weights p,  i = position,  b[n] = 16 dimensions of the values
//! ```
//!
//! Where values are integers with scales, each block of panels has its own `a`: weights
//! times its scales.

use super::ahead::Ahead;
use crate::format::F16;
use crate::inlined::{self, zip};
use crate::lanes::{LANES, Lanes, Op};
use std::ops::Range;

/// What panels are made of: converted to `f32`, exactly, as they are read.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// Sixteen of them as `f32`.
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F;
}

impl Element for f32 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[f32; LANES]) -> L::F {
        l.load(from)
    }
}

impl Element for F16 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[F16; LANES]) -> L::F {
        l.load_f16(from)
    }
}

impl Element for i8 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[i8; LANES]) -> L::F {
        l.load_i8(from)
    }
}

/// Views the bytes of a cache as panels.
///
/// # Panics
///
/// If they are not aligned as `E` is: heads start on cache lines.
#[inline]
pub fn panels<E: Element>(bytes: &[u8]) -> &[[E; LANES]] {
    bytemuck::cast_slice::<_, E>(bytes).as_chunks().0
}

/// As [`panels`], to be written.
#[inline]
pub fn panels_mut<E: Element>(bytes: &mut [u8]) -> &mut [[E; LANES]] {
    bytemuck::cast_slice_mut::<_, E>(bytes).as_chunks_mut().0
}

/// Steps between requests for what lies ahead.
const STEPS: usize = 4;

/// A block of all panels.
pub const ALL: usize = usize::MAX;

/// The product; `BLOCK` panels share `a`.
pub struct Multiply<'a, E, const BLOCK: usize> {
    /// Rows of `a`, `a_stride` apart, and of `out`.
    pub rows: Range<usize>,
    /// The panels, which are also the columns of `out`; whole blocks, or up to the end.
    pub panels: Range<usize>,
    /// Which `i` of a row and of a panel take part.
    pub inner: Range<usize>,
    pub a: &'a [f32],
    pub a_stride: usize,
    /// From that of a block to that of the next.
    pub a_block: usize,
    /// Panels of `b_stride` sixteens each.
    pub b: &'a [[E; LANES]],
    pub b_stride: usize,
    /// `[rows][out_stride]`
    pub out: &'a mut [[f32; LANES]],
    pub out_stride: usize,
    /// Factors on what `out` holds, by row; without them it counts as zero.
    pub factors: Option<&'a [f32]>,
    /// What is asked for meanwhile.
    pub ahead: &'a [u8],
}

impl<'a, E, const BLOCK: usize> Multiply<'a, E, BLOCK> {
    /// The same product with the panels in another form.
    #[inline(always)]
    pub fn with<T>(self, b: &'a [[T; LANES]]) -> Multiply<'a, T, BLOCK> {
        let Multiply {
            rows,
            panels,
            inner,
            a,
            a_stride,
            a_block,
            b_stride,
            out,
            out_stride,
            factors,
            ahead,
            ..
        } = self;
        Multiply {
            rows,
            panels,
            inner,
            a,
            a_stride,
            a_block,
            b,
            b_stride,
            out,
            out_stride,
            factors,
            ahead,
        }
    }
}

impl<E: Element, const BLOCK: usize> Op for Multiply<'_, E, BLOCK> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        // Rows × panels that fit the registers and keep the multipliers busy:
        // as many rows as there are, the rest in one step, or in smaller ones.
        if L::REGISTERS >= 24 {
            self.rows::<L, 8, 2>(l);
            match self.rows.len() {
                7 => self.rows::<L, 7, 2>(l),
                6 => self.rows::<L, 6, 2>(l),
                5 => self.rows::<L, 5, 4>(l),
                4 => self.rows::<L, 4, 4>(l),
                3 => self.rows::<L, 3, 4>(l),
                2 => self.rows::<L, 2, 4>(l),
                _ => self.rows::<L, 1, 4>(l),
            }
        } else if L::REGISTERS >= 6 {
            self.rows::<L, 6, 1>(l);
            self.rows::<L, 4, 1>(l);
            self.rows::<L, 2, 2>(l);
            self.rows::<L, 1, 4>(l);
        } else {
            self.rows::<L, 1, 1>(l);
        }
    }
}

impl<E: Element, const BLOCK: usize> Multiply<'_, E, BLOCK> {
    /// Does the rows that are left, `R` at a time, and leaves fewer than `R`.
    #[inline(always)]
    fn rows<L: Lanes, const R: usize, const N: usize>(&mut self, l: L) {
        let rows = self.rows.start..self.rows.end - self.rows.len() % R;
        self.rows.start = rows.end;
        if rows.is_empty() {
            return;
        }
        let rest = self.panels.len() % N;
        let tiles = rows.len() / R * (self.panels.len() / N + rest / 2 + rest % 2);
        let pieces = tiles * self.inner.len().div_ceil(STEPS);
        let mut ahead = Ahead::new(std::mem::take(&mut self.ahead), pieces);
        // Panels outside: they stay in the first-level cache for all rows.
        let mut panel = self.panels.start;
        while panel + N <= self.panels.end {
            for row in rows.clone().step_by(R) {
                self.tile::<L, R, N>(l, row, panel, &mut ahead);
            }
            panel += N;
        }
        if N > 2 && panel + 2 <= self.panels.end {
            for row in rows.clone().step_by(R) {
                self.tile::<L, R, 2>(l, row, panel, &mut ahead);
            }
            panel += 2;
        }
        while panel < self.panels.end {
            for row in rows.clone().step_by(R) {
                self.tile::<L, R, 1>(l, row, panel, &mut ahead);
            }
            panel += 1;
        }
    }

    #[inline(always)]
    fn tile<L: Lanes, const R: usize, const N: usize>(
        &mut self,
        l: L,
        row: usize,
        panel: usize,
        ahead: &mut Ahead<'_>,
    ) {
        let (inner, len) = (self.inner.start, self.inner.len());
        // A tile is in one block, or its halves are in one each.
        let halves = BLOCK == N / 2;
        let of_block = |panel: usize, row: usize| {
            &self.a[panel / BLOCK * self.a_block + row * self.a_stride + inner..][..len]
        };
        let a: [&[f32]; R] = inlined::from_fn(|r| of_block(panel, row + r));
        let last: [&[f32]; R] = inlined::from_fn(|r| of_block(panel + N - 1, row + r));
        let b: [&[[E; LANES]]; N] =
            inlined::from_fn(|n| &self.b[(panel + n) * self.b_stride + inner..][..len]);
        let mut acc = [[l.splat(0.0); N]; R];
        if let Some(factors) = self.factors {
            for r in 0..R {
                let factor = l.splat(factors[row + r]);
                for n in 0..N {
                    let old = l.load(&self.out[(row + r) * self.out_stride + panel + n]);
                    acc[r][n] = l.mul(old, factor);
                }
            }
        }
        let mut i = 0;
        while i < len {
            ahead.ask();
            let end = if ahead.is_empty() {
                len
            } else {
                len.min(i + STEPS)
            };
            for i in i..end {
                let b: [L::F; N] = inlined::from_fn(|n| E::load(l, &b[n][i]));
                for r in 0..R {
                    let first = l.splat(a[r][i]);
                    let last = if halves { l.splat(last[r][i]) } else { first };
                    for n in 0..N {
                        let a = if n < N / 2 { first } else { last };
                        acc[r][n] = l.fma(a, b[n], acc[r][n]);
                    }
                }
            }
            i = end;
        }
        for r in 0..R {
            for n in 0..N {
                l.store(
                    acc[r][n],
                    &mut self.out[(row + r) * self.out_stride + panel + n],
                );
            }
        }
    }
}

/// Writes panels as `f32`.
pub struct Widen<'a, E> {
    pub from: &'a [[E; LANES]],
    pub to: &'a mut Vec<[f32; LANES]>,
}

impl<'a, E: Element> Op for Widen<'a, E> {
    type Out = &'a [[f32; LANES]];

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Self::Out {
        self.to.resize(self.from.len(), [0.0; LANES]);
        for (from, to) in zip(self.from.iter(), self.to.iter_mut()) {
            l.store(E::load(l, from), to);
        }
        self.to
    }
}
