//! Keys and values as 8-bit integers with a scale for 32 dimensions.

use super::float::FloatValues;
use super::panel::Element;
use super::tile::{KEY_PANELS, Keys, Values, Weights};
use crate::activation::quantize_group;
use crate::format::{F16, GROUP};
use crate::lanes::{LANES, Lanes};

/// Query rows as integers.
#[derive(Default)]
pub struct Int8Query {
    /// `[rows][blocks]`
    q: Vec<[i8; GROUP]>,
    /// Scales.
    d: Vec<f32>,
    /// Sums of the integers.
    sums: Vec<i32>,
}

impl Int8Query {
    /// Quantizes scaled query rows, `[rows][dim]`.
    #[inline(always)]
    pub fn quantize<L: Lanes>(&mut self, l: L, q: &[f32], dim: usize) {
        let count = q.len() / dim * dim.div_ceil(GROUP);
        self.q.resize(count, [0; GROUP]);
        self.d.resize(count, 0.0);
        self.sums.resize(count, 0);
        let mut at = 0;
        for row in q.chunks_exact(dim) {
            for x in row.chunks(GROUP) {
                let (low, high) = x.split_at(x.len().min(LANES));
                let halves = [l.load_part(low, 0.0), l.load_part(high, 0.0)];
                let (d, quants) = quantize_group(l, halves);
                for (quants, to) in quants.into_iter().zip(self.q[at].as_chunks_mut().0) {
                    l.store_i8(quants, to);
                }
                self.d[at] = d;
                self.sums[at] = l.fold_int(quants[0]) + l.fold_int(quants[1]);
                at += 1;
            }
        }
    }
}

/// Query rows and the keys of a chunk.
pub struct Int8Keys<'a> {
    pub query: &'a Int8Query,
    /// Blocks of 32 dimensions.
    pub blocks: usize,
    /// `[KEY_PANELS][blocks]`
    pub keys: &'a [[[i8; 4 * LANES]; 8]],
    /// `[KEY_PANELS][blocks]`
    pub scales: &'a [[F16; LANES]],
}

impl Keys for Int8Keys<'_> {
    #[inline(always)]
    fn scores<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        row: usize,
        panel: usize,
    ) -> [[L::F; N]; R] {
        let mut scores = [[l.splat(0.0); N]; R];
        for n in 0..N {
            for block in 0..self.blocks {
                let at = (panel + n) * self.blocks + block;
                let d = l.load_f16(&self.scales[at]);
                let of = |r: usize| (row + r) * self.blocks + block;
                let q: [&[i8; GROUP]; R] = std::array::from_fn(|r| &self.query.q[of(r)]);
                let sums = std::array::from_fn(|r| self.query.sums[of(r)]);
                let dots = l.dot32(&self.keys[at], q, sums);
                for r in 0..R {
                    let d = l.mul(l.splat(self.query.d[of(r)]), d);
                    scores[r][n] = l.fma(l.to_float(dots[r]), d, scores[r][n]);
                }
            }
        }
        scores
    }
}

/// The values of a chunk, as integers or widened from them, and their scales.
pub struct Int8Values<'a, E> {
    /// `[groups][CHUNK]`
    pub values: &'a [[E; LANES]],
    /// `[blocks of two groups][CHUNK]`
    pub scales: &'a [[F16; LANES]],
}

impl<E: Element> Values for Int8Values<'_, E> {
    #[inline(always)]
    fn add<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        weights: &Weights<'_, L, R>,
        mut sums: [&mut [[f32; LANES]]; R],
    ) {
        let groups = sums[0].len();
        let mut scaled = [[[0.0; LANES]; KEY_PANELS]; R];
        for block in 0..groups.div_ceil(2) {
            for panel in weights.seen.0 / LANES..weights.seen.1.div_ceil(LANES) {
                let d = l.load_f16(&self.scales[block * KEY_PANELS + panel]);
                for r in 0..R {
                    let p = l.mul(l.load(&weights.p[r][panel]), d);
                    l.store(p, &mut scaled[r][panel]);
                }
            }
            let scaled = Weights::<L, R> {
                p: scaled.each_ref(),
                factors: weights.factors,
                seen: weights.seen,
            };
            let values = FloatValues(self.values);
            if block * 2 + 1 < groups {
                values.add_groups::<L, R, 2>(l, &scaled, &mut sums, block * 2);
            } else {
                values.add_groups::<L, R, 1>(l, &scaled, &mut sums, block * 2);
            }
        }
    }
}
