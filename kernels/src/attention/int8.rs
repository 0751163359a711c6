//! What a cache of 8-bit integers needs beside [`super::panel`]: quantized
//! queries, scores by integer dot products, weights times scales.

use super::ahead::Ahead;
use super::cache::{CHUNK, KEY_PANELS};
use crate::activation::quantize_with;
use crate::format::{F16, GROUP};
use crate::inlined::{self, zip};
use crate::lanes::{LANES, Lanes, Op};
use std::ops::Range;

/// Query rows as integers: `[blocks][rows]`.
#[derive(Default)]
pub struct Int8Query(Vec<Block>);

/// A block of 32 dimensions of a row.
#[derive(Clone, Copy, Default)]
struct Block {
    q: [i8; GROUP],
    /// The scale.
    d: f32,
    /// `−128 · Σ q`.
    lowered: i32,
}

impl Int8Query {
    /// Quantizes scaled query rows, `[rows][dim]`.
    #[inline(always)]
    pub fn quantize<L: Lanes>(&mut self, l: L, q: &[f32], dim: usize) {
        let rows = q.len() / dim;
        self.0.resize(rows * dim.div_ceil(GROUP), Block::default());
        for (r, row) in q.chunks_exact(dim).enumerate() {
            for (block, x) in row.chunks(GROUP).enumerate() {
                let (low, high) = x.split_at(x.len().min(LANES));
                let halves = [l.load_part(low, 0.0), l.load_part(high, 0.0)];
                let (d, quants) = quantize_with(l, halves, |amax| {
                    amax.is_finite().then(|| (amax / 127.0, 127.0 / amax))
                });
                let to = &mut self.0[block * rows + r];
                for (quants, to) in zip(quants, to.q.as_chunks_mut().0) {
                    l.store_i8(quants, to);
                }
                to.d = d;
                to.lowered = -128 * (l.fold_int(quants[0]) + l.fold_int(quants[1]));
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
        let all_rows = self.query.0.len() / self.blocks;
        for panel in self.panels.clone() {
            let here = panel * self.blocks..(panel + 1) * self.blocks;
            let (keys, scales) = (&self.keys[here.clone()], &self.scales[here]);
            for row in rows.clone().step_by(R) {
                let mut scores = [l.splat(0.0); R];
                let query = self.query.0.chunks_exact(all_rows);
                for ((keys, scales), query) in zip(zip(keys.iter(), scales), query) {
                    ahead.ask();
                    let d = l.load_f16(scales);
                    let query: &[Block; R] = query[row..].first_chunk().expect("rows of it");
                    let q: [&[i8; GROUP]; R] = inlined::from_fn(|r| &query[r].q);
                    let lowered = inlined::from_fn(|r| query[r].lowered);
                    let dots = l.dot32(keys, q, lowered);
                    for r in 0..R {
                        let d = l.mul(l.splat(query[r].d), d);
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

/// Weights times the scales of values, block by block.
pub struct ScaleWeights<'a> {
    pub rows: Range<usize>,
    /// `[rows][KEY_PANELS]`
    pub weights: &'a [[f32; LANES]],
    /// `[blocks]`
    pub scales: &'a [[F16; CHUNK]],
    /// `[blocks][rows][KEY_PANELS]`
    pub out: &'a mut [[f32; LANES]],
}

impl Op for ScaleWeights<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let all = self.weights.len();
        let rows = self.rows.start * KEY_PANELS..self.rows.end * KEY_PANELS;
        let weights = self.weights[rows.clone()].as_chunks::<KEY_PANELS>().0;
        for (scales, out) in zip(self.scales.iter(), self.out.chunks_exact_mut(all)) {
            let out = out[rows.clone()].as_chunks_mut::<KEY_PANELS>().0;
            let scales: [L::F; KEY_PANELS] =
                inlined::from_fn(|i| l.load_f16(&scales.as_chunks().0[i]));
            for (weights, out) in zip(weights.iter(), out) {
                for i in 0..KEY_PANELS {
                    l.store(l.mul(l.load(&weights[i]), scales[i]), &mut out[i]);
                }
            }
        }
    }
}
