//! A unit of work: one head of keys and values against the query rows that
//! share it, of some tokens of a sequence.
//!
//! Rows are ordered by token, then by query head: row `r` is of token `r /
//! group`.

use super::SPLIT;
use super::cache::{CHUNK, KEY_PANELS, KvFormat, KvLayer};
use super::int8::{Int8Query, Int8Scores, ScaleWeights};
use super::panel::{ALL, Element, Multiply, Widen, panels};
use super::part::Part;
use super::state::{State, StateRef, state_len};
use super::weights::{Cap, Weights};
use crate::format::{F16, GROUP};
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::team::TileMut;
use std::ops::Range;

/// From this many rows on, panels are widened to `f32` once instead of being
/// converted for every few rows.
const WIDEN_ROWS: usize = 9;

/// A thread's own buffers.
#[derive(Default)]
pub struct Scratch {
    buffers: Buffers,
    /// The state of a split, and of all splits so far.
    split: Vec<f32>,
    total: Vec<f32>,
}

#[derive(Default)]
struct Buffers {
    /// Scaled query rows, `[rows][head_dim_k]`; and as integers, where the
    /// cache wants them.
    q: Vec<f32>,
    int8: Int8Query,
    /// Panels of keys or values as `f32`.
    wide: Vec<[f32; LANES]>,
    /// Scores, then weights of a chunk, `[rows][KEY_PANELS]`; and those times
    /// the scales of each block of the values.
    weights: Vec<[f32; LANES]>,
    scaled: Vec<[f32; LANES]>,
    /// By row: the factor on what was summed before a chunk.
    factors: Vec<[f32; LANES]>,
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
    /// The sinks of the group's heads.
    pub sinks: Option<&'a [f32]>,
    /// What scores stay below, in magnitude.
    pub cap: Option<f32>,
}

impl Unit<'_> {
    #[inline]
    pub fn rows(&self) -> usize {
        self.tokens.len() * self.group
    }

    /// Sixteens that hold a head of values.
    #[inline(always)]
    pub fn groups(&self) -> usize {
        self.cache.head_dim_v().div_ceil(LANES)
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

    /// Brings the query rows to the form that the cache wants.
    #[inline(always)]
    fn prepare<L: Lanes>(&self, l: L, buffers: &mut Buffers) {
        let q = &mut buffers.q;
        let dim = self.cache.head_dim_k();
        let cols = self.cache.n_head_kv() * self.group * dim;
        let width = self.group * dim;
        q.resize(self.rows() * dim, 0.0);
        let tokens = self.q.chunks_exact(cols).skip(self.tokens.start);
        let scale = l.splat(self.scale);
        for (to, token) in zip(q.chunks_exact_mut(width), tokens) {
            let from = &token[self.head * width..][..width];
            for (to, from) in zip(to.chunks_mut(LANES), from.chunks(LANES)) {
                l.store_part(l.mul(l.load_part(from, 0.0), scale), to);
            }
        }
        buffers
            .weights
            .resize(self.rows() * KEY_PANELS, [0.0; LANES]);
        let sixteens = self.rows().div_ceil(LANES);
        buffers.factors.resize(sixteens, [0.0; LANES]);
        if self.cache.format() == KvFormat::Q8_0 {
            buffers.int8.quantize(l, q, dim);
            let blocks = self.cache.head_dim_v().div_ceil(GROUP);
            buffers
                .scaled
                .resize(blocks * self.rows() * KEY_PANELS, [0.0; LANES]);
        }
    }

    /// Computes the state of a split.
    #[inline(always)]
    fn split<L: Lanes>(&self, l: L, split: usize, buffers: &mut Buffers, state: &mut State<'_>) {
        state.reset();
        for chunk in split * SPLIT / CHUNK..(split + 1) * SPLIT / CHUNK {
            let Some(part) = self.part(chunk) else {
                continue;
            };
            match self.cache.format() {
                KvFormat::F32 => self.float::<L, f32>(l, &part, buffers, state),
                KvFormat::F16 => self.float::<L, F16>(l, &part, buffers, state),
                KvFormat::Q8_0 => self.int8(l, &part, buffers, state),
            }
        }
    }

    /// Lets a chunk of floats enter the states.
    #[inline(always)]
    fn float<L: Lanes, E: Element>(
        &self,
        l: L,
        part: &Part,
        buffers: &mut Buffers,
        state: &mut State<'_>,
    ) {
        let rows = part.rows.clone();
        let head = self.cache.head(part.positions.start / CHUNK, self.head);
        let (keys, values) = (panels::<E>(head.keys), panels::<E>(head.values));
        let widen = rows.len() >= WIDEN_ROWS && size_of::<E>() < size_of::<f32>();
        let next = self.next_head(part);
        let (next_keys, mut next_values) = next.split_at(head.keys.len().min(next.len()));
        let Buffers {
            q,
            wide,
            weights,
            factors,
            ..
        } = buffers;

        let dim = self.cache.head_dim_k();
        let scores = Multiply::<_, ALL> {
            rows: rows.clone(),
            panels: part.panels.clone(),
            inner: 0..dim,
            a: q,
            a_stride: dim,
            a_block: 0,
            b: keys,
            b_stride: dim,
            out: weights,
            out_stride: KEY_PANELS,
            factors: None,
            ahead: next_keys,
        };
        if widen {
            let from = scores.b;
            let b = l.call(Widen { from, to: wide });
            l.call(scores.with(b));
        } else {
            l.call(scores);
        }
        if let Some(cap) = self.cap {
            let scores = &mut weights[rows.start * KEY_PANELS..rows.end * KEY_PANELS];
            l.call(Cap { scores, cap });
        }
        l.call(Weights {
            unit: self,
            part,
            scores: weights,
            state,
            factors,
        });
        let wide = widen.then(|| {
            let from = values;
            l.call(Widen { from, to: wide })
        });
        self.alike(part, |rows, seen| {
            let sums = Multiply::<_, ALL> {
                rows,
                panels: 0..self.groups(),
                inner: seen,
                a: weights.as_flattened(),
                a_stride: CHUNK,
                a_block: 0,
                b: values,
                b_stride: CHUNK,
                out: state.values,
                out_stride: self.groups(),
                factors: Some(factors.as_flattened()),
                ahead: std::mem::take(&mut next_values),
            };
            match wide {
                Some(values) => l.call(sums.with(values)),
                None => l.call(sums),
            }
        });
    }

    /// Lets a chunk of integers enter the states.
    #[inline(always)]
    fn int8<L: Lanes>(&self, l: L, part: &Part, buffers: &mut Buffers, state: &mut State<'_>) {
        let rows = part.rows.clone();
        let head = self.cache.head(part.positions.start / CHUNK, self.head);
        let values = panels::<i8>(head.values);
        let value_scales: &[[F16; CHUNK]] = bytemuck::cast_slice(head.value_scales);
        let next = self.next_head(part);
        let (next_first, mut next_rest) = next.split_at(next.len() / 2 / 64 * 64);
        let Buffers {
            int8,
            wide,
            weights,
            scaled,
            factors,
            ..
        } = buffers;

        l.call(Int8Scores {
            rows: rows.clone(),
            panels: part.panels.clone(),
            query: int8,
            blocks: self.cache.head_dim_k().div_ceil(GROUP),
            keys: bytemuck::cast_slice::<_, [i8; 4 * LANES]>(head.keys)
                .as_chunks()
                .0,
            scales: bytemuck::cast_slice(head.key_scales),
            out: weights,
            ahead: next_first,
        });
        if let Some(cap) = self.cap {
            let scores = &mut weights[rows.start * KEY_PANELS..rows.end * KEY_PANELS];
            l.call(Cap { scores, cap });
        }
        l.call(Weights {
            unit: self,
            part,
            scores: weights,
            state,
            factors,
        });
        let wide = (rows.len() >= WIDEN_ROWS).then(|| {
            let from = values;
            l.call(Widen { from, to: wide })
        });
        l.call(ScaleWeights {
            rows: rows.clone(),
            weights,
            scales: value_scales,
            out: scaled,
        });
        self.alike(part, |rows, seen| {
            let sums = Multiply::<_, { GROUP / LANES }> {
                rows,
                panels: 0..self.groups(),
                inner: seen,
                a: scaled.as_flattened(),
                a_stride: CHUNK,
                a_block: weights.as_flattened().len(),
                b: values,
                b_stride: CHUNK,
                out: state.values,
                out_stride: self.groups(),
                factors: Some(factors.as_flattened()),
                ahead: std::mem::take(&mut next_rest),
            };
            match wide {
                Some(values) => l.call(sums.with(values)),
                None => l.call(sums),
            }
        });
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
        let buffers = &mut self.scratch.buffers;
        unit.prepare(l, buffers);
        let mut state = State::new(self.state, unit.rows(), unit.groups());
        unit.split(l, self.split, buffers, &mut state);
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
            buffers,
            split,
            total,
        } = self.scratch;
        unit.prepare(l, buffers);
        let mut total = state(total, rows, groups);
        let mut part = state(split, rows, groups);
        total.reset();
        for split in self.splits {
            unit.split(l, split, buffers, &mut part);
            for row in unit.rows_that_see(&(split * SPLIT..(split + 1) * SPLIT)) {
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
        for (split, part) in zip(self.splits, self.states) {
            let part = StateRef::new(part, rows, groups);
            for row in unit.rows_that_see(&(split * SPLIT..(split + 1) * SPLIT)) {
                total.merge_row(l, &part, row);
            }
        }
        write(l, unit, &total, self.out);
    }
}

#[inline]
fn state(buffer: &mut Vec<f32>, rows: usize, groups: usize) -> State<'_> {
    let len = state_len(rows, groups);
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    State::new(buffer, rows, groups)
}

/// Writes the rows to where they belong in the output.
#[inline(always)]
fn write<L: Lanes>(l: L, unit: &Unit<'_>, total: &State<'_>, out: &mut TileMut<'_>) {
    let dim = unit.cache.head_dim_v();
    for (token, row) in out.rows().enumerate() {
        for (head, out) in out.row(row).chunks_exact_mut(dim).enumerate() {
            let sink = unit.sinks.map(|sinks| sinks[head]);
            total.write_row(l, token * unit.group + head, sink, out);
        }
    }
}
