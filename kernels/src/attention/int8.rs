//! What a cache of 8-bit integers needs beside [`super::panel`]: quantized
//! queries, scores by integer dot products, weights times scales.

use super::ahead::Ahead;
use super::cache::{CHUNK, KEY_PANELS};
use crate::activation::quantize_with;
use crate::format::{F16, GROUP};
use crate::lanes::{LANES, Lanes, Op};
use std::ops::Range;

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
                let (d, quants) = quantize_with(l, halves, |amax| {
                    amax.is_finite().then(|| (amax / 127.0, 127.0 / amax))
                });
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

/// Scores of query rows with the keys of a chunk.
pub struct Int8Scores<'a> {
    pub rows: Range<usize>,
    /// Sixteens of keys.
    pub panels: Range<usize>,
    pub query: &'a Int8Query,
    /// Blocks of 32 dimensions.
    pub blocks: usize,
    /// `[KEY_PANELS][blocks]`
    pub keys: &'a [[[i8; 4 * LANES]; 8]],
    /// `[KEY_PANELS][blocks]`
    pub scales: &'a [[F16; LANES]],
    /// `[rows][KEY_PANELS]`
    pub out: &'a mut [[f32; LANES]],
    /// What is asked for meanwhile.
    pub ahead: &'a [u8],
}

impl Op for Int8Scores<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        if L::REGISTERS >= 24 {
            self.rows::<L, 8>(l);
            match self.rows.len() {
                7 => self.rows::<L, 7>(l),
                6 => self.rows::<L, 6>(l),
                5 => self.rows::<L, 5>(l),
                3 => self.rows::<L, 3>(l),
                _ => {}
            }
        }
        if L::REGISTERS >= 6 {
            self.rows::<L, 4>(l);
            self.rows::<L, 2>(l);
        }
        self.rows::<L, 1>(l);
    }
}

impl Int8Scores<'_> {
    /// Does the rows that are left, `R` at a time, and leaves fewer than `R`.
    #[inline(always)]
    fn rows<L: Lanes, const R: usize>(&mut self, l: L) {
        let rows = self.rows.start..self.rows.end - self.rows.len() % R;
        self.rows.start = rows.end;
        if rows.is_empty() {
            return;
        }
        let pieces = self.panels.len() * rows.len() / R * self.blocks;
        let mut ahead = Ahead::new(std::mem::take(&mut self.ahead), pieces);
        for panel in self.panels.clone() {
            for row in rows.clone().step_by(R) {
                let mut scores = [l.splat(0.0); R];
                for block in 0..self.blocks {
                    ahead.ask();
                    let at = panel * self.blocks + block;
                    let d = l.load_f16(&self.scales[at]);
                    let of = |r: usize| (row + r) * self.blocks + block;
                    let q: [&[i8; GROUP]; R] = std::array::from_fn(|r| &self.query.q[of(r)]);
                    let sums = std::array::from_fn(|r| self.query.sums[of(r)]);
                    let dots = l.dot32(&self.keys[at], q, sums);
                    for r in 0..R {
                        let d = l.mul(l.splat(self.query.d[of(r)]), d);
                        scores[r] = l.fma(l.to_float(dots[r]), d, scores[r]);
                    }
                }
                for r in 0..R {
                    l.store(scores[r], &mut self.out[(row + r) * KEY_PANELS + panel]);
                }
            }
        }
    }
}

/// Weights times the scales of a block of values.
pub struct ScaleWeights<'a> {
    pub rows: Range<usize>,
    /// `[rows][KEY_PANELS]`
    pub weights: &'a [[f32; LANES]],
    /// The block's scales.
    pub scales: &'a [F16; CHUNK],
    /// `[rows][KEY_PANELS]`
    pub out: &'a mut [[f32; LANES]],
}

impl Op for ScaleWeights<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (scales, _) = self.scales.as_chunks();
        let (weights, _) = self.weights.as_chunks::<KEY_PANELS>();
        let (out, _) = self.out.as_chunks_mut::<KEY_PANELS>();
        let weights = &weights[self.rows.clone()];
        for (weights, out) in weights.iter().zip(&mut out[self.rows]) {
            for ((weights, scales), out) in weights.iter().zip(scales).zip(out) {
                l.store(l.mul(l.load(weights), l.load_f16(scales)), out);
            }
        }
    }
}
