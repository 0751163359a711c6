//! A unit of work: one head of keys and values against the query rows that
//! share it, of some tokens of a sequence.
//!
//! Rows are ordered by token, then by query head: row `r` is of token `r /
//! group`.

use super::SPLIT;
use super::cache::{CHUNK, KvFormat, KvLayer, Panels};
use super::panel::{Element, product, widen};
use super::state::{State, StateRef, state_len};
use crate::format::F16;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::ops::exp;
use crate::team::TileMut;
use std::ops::Range;

/// From this many rows on, panels are widened to `f32` once instead of being
/// converted for every few rows.
const WIDEN_ROWS: usize = 8;

/// Panels of sixteen keys in a chunk.
const KEY_PANELS: usize = CHUNK / LANES;

/// A thread's own buffers.
#[derive(Default)]
pub struct Scratch {
    /// Scaled query rows, `[rows][head_dim_k]`.
    q: Vec<f32>,
    /// The state of a split, and of all splits so far.
    split: Vec<f32>,
    total: Vec<f32>,
    /// A chunk's panels widened.
    keys: Vec<[f32; LANES]>,
    values: Vec<[f32; LANES]>,
}

/// See the module documentation.
#[derive(Clone)]
pub struct Unit<'a> {
    pub cache: &'a KvLayer,
    /// The head of keys and values.
    pub head: usize,
    /// `[tokens of the sequence, heads · group · head_dim_k]`
    pub q: &'a [f32],
    /// The unit's tokens, counted from the sequence's first in the step.
    pub tokens: Range<usize>,
    /// Position of the first of them.
    pub position: usize,
    /// Query heads that share the head.
    pub group: usize,
    pub scale: f32,
    /// Positions that a token sees, its own included.
    pub window: usize,
}

impl Unit<'_> {
    fn rows(&self) -> usize {
        self.tokens.len() * self.group
    }

    /// Sixteens that hold a head of values.
    fn groups(&self) -> usize {
        self.cache.head_dim_v().div_ceil(LANES)
    }

    /// Those of `positions` that row `row` sees.
    #[inline(always)]
    fn visible(&self, row: usize, positions: Range<usize>) -> Range<usize> {
        let end = self.position + row / self.group + 1;
        positions.start.max(end.saturating_sub(self.window))..positions.end.min(end)
    }

    /// The rows that see some of `positions`.
    fn rows_that_see(&self, positions: Range<usize>) -> Range<usize> {
        let sees = |row: &usize| !self.visible(*row, positions.clone()).is_empty();
        let first = (0..self.rows()).find(sees).unwrap_or(0);
        let end = (first..self.rows())
            .rfind(sees)
            .map_or(first, |row| row + 1);
        first..end
    }

    /// Computes the unit.
    pub fn all_splits(
        &self,
        isa: Isa,
        splits: Range<usize>,
        scratch: &mut Scratch,
        out: &mut TileMut<'_>,
    ) {
        let unit = self;
        isa.run(AllSplits {
            unit,
            splits,
            scratch,
            out,
        });
    }

    /// Computes the state of one split.
    pub fn one_split(&self, isa: Isa, split: usize, scratch: &mut Scratch, state: &mut [f32]) {
        let unit = self;
        isa.run(OneSplit {
            unit,
            split,
            scratch,
            state,
        });
    }

    /// Combines the states of all splits.
    pub fn combine<'s>(
        &self,
        isa: Isa,
        splits: Range<usize>,
        states: impl Iterator<Item = &'s [f32]>,
        scratch: &mut Scratch,
        out: &mut TileMut<'_>,
    ) {
        let unit = self;
        isa.run(Combine {
            unit,
            splits,
            states,
            scratch,
            out,
        });
    }

    /// Scales the query rows.
    #[inline(always)]
    fn scale_rows<L: Lanes>(&self, l: L, q: &mut Vec<f32>) {
        let dim = self.cache.head_dim_k();
        let cols = self.cache.n_head_kv() * self.group * dim;
        let width = self.group * dim;
        q.resize(self.rows() * dim, 0.0);
        let tokens = self.q.chunks_exact(cols).skip(self.tokens.start);
        let scale = l.splat(self.scale);
        for (to, token) in q.chunks_exact_mut(width).zip(tokens) {
            let from = &token[self.head * width..][..width];
            for (to, from) in to.chunks_mut(LANES).zip(from.chunks(LANES)) {
                l.store_part(l.mul(l.load_part(from, 0.0), scale), to);
            }
        }
    }

    /// Computes the state of a split from scaled query rows.
    #[inline(always)]
    fn split<L: Lanes>(
        &self,
        l: L,
        split: usize,
        q: &[f32],
        wide: Wide<'_>,
        state: &mut State<'_>,
    ) {
        match self.cache.format() {
            KvFormat::F32 => self.split_of::<L, f32>(l, split, q, wide, state),
            KvFormat::F16 => self.split_of::<L, F16>(l, split, q, wide, state),
        }
    }

    #[inline(always)]
    fn split_of<L: Lanes, E: Element>(
        &self,
        l: L,
        split: usize,
        q: &[f32],
        wide: Wide<'_>,
        state: &mut State<'_>,
    ) {
        state.reset();
        let end = self.position + self.tokens.len();
        for chunk in split * SPLIT / CHUNK..(split + 1) * SPLIT / CHUNK {
            let positions = chunk * CHUNK..((chunk + 1) * CHUNK).min(end);
            let rows = self.rows_that_see(positions.clone());
            if rows.is_empty() {
                continue;
            }
            let panels = self.cache.panels::<E>(chunk, self.head);
            if rows.len() >= WIDEN_ROWS && size_of::<E>() < size_of::<f32>() {
                widen(l, panels.keys, wide.keys);
                widen(l, panels.values, wide.values);
                let panels = Panels {
                    keys: &*wide.keys,
                    values: &*wide.values,
                };
                self.chunk(l, positions, &panels, rows, q, state);
            } else {
                self.chunk(l, positions, &panels, rows, q, state);
            }
        }
    }

    /// Lets the positions of a chunk enter the states of `rows`.
    #[inline(always)]
    fn chunk<L: Lanes, E: Element>(
        &self,
        l: L,
        positions: Range<usize>,
        panels: &Panels<'_, E>,
        rows: Range<usize>,
        q: &[f32],
        state: &mut State<'_>,
    ) {
        let mut tile = Tile {
            unit: self,
            positions,
            panels,
            q,
            state,
        };
        let mut row = rows.start;
        while row < rows.end {
            let left = rows.end - row;
            // Rows × panels that fit the registers; see `Lanes::MANY`.
            row += if L::MANY {
                match left {
                    8.. => tile.rows::<L, 8, 2>(l, row),
                    4.. => tile.rows::<L, 4, 4>(l, row),
                    2.. => tile.rows::<L, 2, 4>(l, row),
                    _ => tile.rows::<L, 1, 4>(l, row),
                }
            } else {
                match left {
                    6.. => tile.rows::<L, 6, 1>(l, row),
                    4.. => tile.rows::<L, 4, 1>(l, row),
                    3 => tile.rows::<L, 3, 2>(l, row),
                    2 => tile.rows::<L, 2, 2>(l, row),
                    _ => tile.rows::<L, 1, 4>(l, row),
                }
            };
        }
    }
}

/// Room for widened panels.
struct Wide<'a> {
    keys: &'a mut [[f32; LANES]],
    values: &'a mut [[f32; LANES]],
}

/// A chunk and the rows that it is entering.
struct Tile<'a, 's, E> {
    unit: &'a Unit<'a>,
    positions: Range<usize>,
    panels: &'a Panels<'a, E>,
    q: &'a [f32],
    state: &'a mut State<'s>,
}

impl<E: Element> Tile<'_, '_, E> {
    /// Does `R` rows from `row` on, with `N` panels at a time. Returns `R`.
    #[inline(always)]
    fn rows<L: Lanes, const R: usize, const N: usize>(&mut self, l: L, row: usize) -> usize {
        // What each row sees, counted from the chunk's first position.
        let begin = self.positions.start;
        let mut seen = [(0, 0); R];
        for (r, seen) in seen.iter_mut().enumerate() {
            let visible = self.unit.visible(row + r, self.positions.clone());
            *seen = (visible.start - begin, visible.end - begin);
        }
        let lowest = seen.iter().fold(CHUNK, |low, seen| low.min(seen.0));
        let highest = seen.iter().fold(0, |high, seen| high.max(seen.1));

        let mut scores = [[[0.0; LANES]; KEY_PANELS]; R];
        let key_panels = lowest / LANES..highest.div_ceil(LANES);
        self.scores::<L, R, N>(l, row, key_panels, &mut scores);
        let mut factors = [l.splat(0.0); R];
        for r in 0..R {
            factors[r] = self.weights(l, row + r, seen[r], &mut scores[r]);
        }
        if seen.iter().all(|s| *s == seen[0]) {
            self.values::<L, R, N>(l, row, seen[0], &scores, factors);
        } else {
            for r in 0..R {
                self.values::<L, 1, 4>(l, row + r, seen[r], &[scores[r]], [factors[r]]);
            }
        }
        R
    }

    /// Scores of the keys of some panels.
    #[inline(always)]
    fn scores<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        row: usize,
        key_panels: Range<usize>,
        scores: &mut [[[f32; LANES]; KEY_PANELS]; R],
    ) {
        let dim = self.unit.cache.head_dim_k();
        let a: [&[f32]; R] = std::array::from_fn(|r| &self.q[(row + r) * dim..][..dim]);
        let panel = |i: usize| &self.panels.keys[i * dim..][..dim];
        let mut at = key_panels.start;
        while at + N <= key_panels.end {
            let b: [_; N] = std::array::from_fn(|n| panel(at + n));
            let s = product(l, a, b, [[l.splat(0.0); N]; R]);
            for r in 0..R {
                for n in 0..N {
                    l.store(s[r][n], &mut scores[r][at + n]);
                }
            }
            at += N;
        }
        while at < key_panels.end {
            let s = product(l, a, [panel(at)], [[l.splat(0.0); 1]; R]);
            for r in 0..R {
                l.store(s[r][0], &mut scores[r][at]);
            }
            at += 1;
        }
    }

    /// Turns the scores of a row into weights; returns the factor on what the
    /// row has summed before.
    #[inline(always)]
    fn weights<L: Lanes>(
        &mut self,
        l: L,
        row: usize,
        seen: (usize, usize),
        scores: &mut [[f32; LANES]; KEY_PANELS],
    ) -> L::F {
        let lowest = l.splat(f32::NEG_INFINITY);
        let panels = seen.0 / LANES..seen.1.div_ceil(LANES);
        if seen != (0, CHUNK) {
            // What is not seen may be anything.
            let (first, end) = (l.splat(seen.0 as f32 - 0.5), l.splat(seen.1 as f32));
            for panel in panels.clone() {
                let at = l.load(&std::array::from_fn(|i| (panel * LANES + i) as f32));
                let s = l.load(&scores[panel]);
                let s = l.select_gt(end, at, s, lowest);
                l.store(l.select_gt(at, first, s, lowest), &mut scores[panel]);
            }
        }
        let mut highest = lowest;
        for panel in panels.clone() {
            highest = l.max(l.load(&scores[panel]), highest);
        }
        let old = self.state.max[row];
        let highest = l.fold_max(highest);
        let max = if old > highest { old } else { highest };
        self.state.max[row] = max;
        let factor = exp(l, l.splat(old - max));

        let max = l.splat(max);
        let sums = &mut self.state.sum[row];
        let mut sum = l.mul(l.load(sums), factor);
        for panel in panels {
            let p = exp(l, l.sub(l.load(&scores[panel]), max));
            l.store(p, &mut scores[panel]);
            sum = l.add(sum, p);
        }
        l.store(sum, sums);
        factor
    }

    /// Adds the values of the positions that all of `R` rows see.
    #[inline(always)]
    fn values<L: Lanes, const R: usize, const N: usize>(
        &mut self,
        l: L,
        row: usize,
        seen: (usize, usize),
        weights: &[[[f32; LANES]; KEY_PANELS]; R],
        factors: [L::F; R],
    ) {
        let groups = self.unit.groups();
        let a: [&[f32]; R] = std::array::from_fn(|r| &weights[r].as_flattened()[seen.0..seen.1]);
        let mut at = 0;
        while at + N <= groups {
            self.value_panels::<L, R, N>(l, row, seen, a, factors, at);
            at += N;
        }
        while at < groups {
            self.value_panels::<L, R, 1>(l, row, seen, a, factors, at);
            at += 1;
        }
    }

    #[inline(always)]
    fn value_panels<L: Lanes, const R: usize, const N: usize>(
        &mut self,
        l: L,
        row: usize,
        seen: (usize, usize),
        a: [&[f32]; R],
        factors: [L::F; R],
        at: usize,
    ) {
        let groups = self.unit.groups();
        let b: [_; N] =
            std::array::from_fn(|n| &self.panels.values[(at + n) * CHUNK..][seen.0..seen.1]);
        let mut sums = [[l.splat(0.0); N]; R];
        for r in 0..R {
            for n in 0..N {
                let old = l.load(&self.state.values[(row + r) * groups + at + n]);
                sums[r][n] = l.mul(old, factors[r]);
            }
        }
        let sums = product(l, a, b, sums);
        for r in 0..R {
            for n in 0..N {
                l.store(
                    sums[r][n],
                    &mut self.state.values[(row + r) * groups + at + n],
                );
            }
        }
    }
}

struct OneSplit<'a> {
    unit: &'a Unit<'a>,
    split: usize,
    scratch: &'a mut Scratch,
    state: &'a mut [f32],
}

impl Op for OneSplit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let unit = self.unit;
        let Scratch {
            q, keys, values, ..
        } = self.scratch;
        unit.scale_rows(l, q);
        let wide = wide(unit, keys, values);
        let mut state = State::new(self.state, unit.rows(), unit.groups());
        unit.split(l, self.split, q, wide, &mut state);
    }
}

struct AllSplits<'a, 'o> {
    unit: &'a Unit<'a>,
    splits: Range<usize>,
    scratch: &'a mut Scratch,
    out: &'a mut TileMut<'o>,
}

impl Op for AllSplits<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let unit = self.unit;
        let (rows, groups) = (unit.rows(), unit.groups());
        let Scratch {
            q,
            split,
            total,
            keys,
            values,
        } = self.scratch;
        unit.scale_rows(l, q);
        let mut total = state(total, rows, groups);
        let mut part = state(split, rows, groups);
        total.reset();
        for split in self.splits {
            let wide = wide(unit, keys, values);
            unit.split(l, split, q, wide, &mut part);
            for row in unit.rows_that_see(split * SPLIT..(split + 1) * SPLIT) {
                total.merge_row(l, &part.as_ref(), row);
            }
        }
        write(l, unit, &total, self.out);
    }
}

struct Combine<'a, 'o, S> {
    unit: &'a Unit<'a>,
    splits: Range<usize>,
    states: S,
    scratch: &'a mut Scratch,
    out: &'a mut TileMut<'o>,
}

impl<'s, S: Iterator<Item = &'s [f32]>> Op for Combine<'_, '_, S> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let unit = self.unit;
        let (rows, groups) = (unit.rows(), unit.groups());
        let mut total = state(&mut self.scratch.total, rows, groups);
        total.reset();
        for (split, part) in self.splits.zip(self.states) {
            let part = StateRef::new(part, rows, groups);
            for row in unit.rows_that_see(split * SPLIT..(split + 1) * SPLIT) {
                total.merge_row(l, &part, row);
            }
        }
        write(l, unit, &total, self.out);
    }
}

fn state(buffer: &mut Vec<f32>, rows: usize, groups: usize) -> State<'_> {
    let len = state_len(rows, groups);
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    State::new(buffer, rows, groups)
}

fn wide<'a>(
    unit: &Unit<'_>,
    keys: &'a mut Vec<[f32; LANES]>,
    values: &'a mut Vec<[f32; LANES]>,
) -> Wide<'a> {
    keys.resize(KEY_PANELS * unit.cache.head_dim_k(), [0.0; LANES]);
    values.resize(unit.groups() * CHUNK, [0.0; LANES]);
    Wide { keys, values }
}

/// Writes the rows to where they belong in the output.
#[inline(always)]
fn write<L: Lanes>(l: L, unit: &Unit<'_>, total: &State<'_>, out: &mut TileMut<'_>) {
    let dim = unit.cache.head_dim_v();
    for (token, row) in out.rows().enumerate() {
        for (head, out) in out.row(row).chunks_exact_mut(dim).enumerate() {
            total.write_row(l, token * unit.group + head, out);
        }
    }
}
