//! Attention and what comes before it: queries and keys turned to their
//! positions, keys and values appended to the cache.

use super::cache::{CHUNK, GpuKvLayer};
use super::context::Buffer;
use super::ops::{GpuBackend, tile_of};
use super::pipelines::Kernel;
use super::products::{MATVEC_TOKENS, set};
use super::profile::Work;
use super::tensor::Tensor;
use super::units;
use super::weights::GpuVector;
use crate::backend::{AttentionShape, Backend, Step};
use kernels::ops::{Pairing, Rope, RopeAngles};
use shaders::piece::HeadWidth;
use shaders::{Op, Piece, piece};
use std::ops::Range;
use std::sync::Arc;

/// Workgroups that attention should at least have, that of single tokens, with their
/// few queries a workgroup, and keys that a split of the keys should at least have.
const ATTENTION_WORKGROUPS: usize = 256;
pub(super) const WORKGROUPS_OF_ONE: usize = 512;
const SPLIT_KEYS: usize = 128;

/// Queries of one token in a workgroup, at most.
const QUERIES_OF_ONE: usize = 2;

/// Fours of queries that a workgroup keeps.
const QUERY_QUADS: usize = 512;

/// The heads and what they meet beside keys.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    pub shape: &'a AttentionShape,
    /// For each head of queries a score that adds nothing.
    pub sinks: Option<&'a GpuVector>,
}

/// A sequence's part of a step.
pub(super) struct Part {
    pub tokens: usize,
    pub first_row: usize,
    pub position: usize,
}

impl Heads<'_> {
    /// Splits of the keys. Sinks count where the splits are put together, so there
    /// are several then, if need be one without keys.
    pub fn splits(&self, needed: usize) -> usize {
        match self.sinks {
            Some(_) => needed.max(2),
            None => needed,
        }
    }
}

impl Part {
    /// Consecutive rows, and the position of the first.
    pub fn new(rows: Range<usize>, position: usize) -> Part {
        Part {
            tokens: rows.len(),
            first_row: rows.start,
            position,
        }
    }
}

/// How heads turn to the positions of a step.
pub(super) struct Turn {
    /// Cosines and sines.
    pub angles: Arc<Buffer>,
    /// Heads of a token's queries.
    heads: usize,
    /// Pairs of a head that turn.
    pub pairs: usize,
    /// Whether they are halves of what turns, rather than neighbours.
    pub halves: bool,
}

/// Whether attention over heads of this width leaves its results as 8-bit
/// integers, too: if a head is whole groups.
pub(super) fn quantizes(head_dim: usize) -> bool {
    head_dim.is_multiple_of(32)
}

/// The tile for the queries of so many tokens that share a key head, and how many it
/// holds. Those of one token are too few for large tiles to keep a device busy.
pub(super) fn query_tile(shape: &AttentionShape, tokens: usize) -> (usize, &'static Piece) {
    let kept = 1 << (QUERY_QUADS / (shape.head_dim_k / 4)).ilog2();
    let most = match tokens {
        1 => QUERIES_OF_ONE.min(kept),
        _ => kept,
    };
    tile_of(
        piece::QUERIES,
        most.min(tokens * shape.n_head / shape.n_head_kv),
    )
}

/// Keys of a split, of so many keys: there are as many splits as make the wanted
/// workgroups from those of one, if there are keys for them.
pub(super) fn keys_of_split(keys: usize, workgroups: usize, wanted: usize) -> usize {
    let splits = wanted.div_ceil(workgroups).min(keys.div_ceil(SPLIT_KEYS));
    keys.div_ceil(splits.max(1)).next_multiple_of(CHUNK)
}

/// Keys that some of so many tokens from a position on see, from the chunk on that
/// the first of them is in: those that are split.
pub(super) fn seen_keys(window: Option<usize>, position: usize, tokens: usize) -> usize {
    let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
    position + tokens - first / CHUNK * CHUNK
}

/// Positions that a token sees, as shaders have it.
pub(super) fn window(shape: &AttentionShape) -> u32 {
    let window = shape.window.map(u32::try_from);
    window.and_then(Result::ok).unwrap_or(u32::MAX)
}

impl GpuBackend {
    /// The same heads in another width.
    fn resized(&mut self, x: &Tensor, (head_dim, new_dim): (usize, usize)) -> Tensor {
        let out = self.tensor(x.rows, x.cols / head_dim * new_dim);
        self.resize(x, head_dim, &out, new_dim);
        out
    }

    fn resize(&mut self, x: &Tensor, head_dim: usize, out: &Tensor, new_dim: usize) {
        let workgroups = self.elements(Op::Resize, out.rows * out.cols);
        self.recorder.dispatch(
            Kernel::new(Op::Resize, &[]),
            &[&x.float, &out.float],
            &[
                (x.rows * x.cols / head_dim) as u32,
                head_dim as u32,
                new_dim as u32,
            ],
            workgroups,
        );
    }

    /// How a rope turns the heads of these positions, if there is one. The angles
    /// are the same in all layers of a step.
    pub(super) fn turn(&mut self, rope: Option<&Rope>, heads: usize, positions: &[usize]) -> Turn {
        let Some(rope) = rope else {
            return Turn {
                angles: self.recorder.unread(),
                heads,
                pairs: 0,
                halves: false,
            };
        };
        let key = std::ptr::from_ref(rope) as usize;
        let known = self.angles.iter().find(|(of, _)| *of == key);
        let angles = known.map(|(_, angles)| angles.clone()).unwrap_or_else(|| {
            let mut angles = RopeAngles::default();
            rope.angles(positions, &mut angles);
            let table = [angles.cos(), angles.sin()].concat();
            let angles = self.recorder.upload(bytemuck::cast_slice(&table));
            self.angles.push((key, angles.clone()));
            angles
        });
        Turn {
            angles,
            heads,
            pairs: rope.n_rot() / 2,
            halves: rope.pairing() == Pairing::Halves,
        }
    }

    /// Turns queries and keys, of so many heads each, to the positions of a step, in
    /// place, where something comes between that and the cache.
    pub(super) fn turn_in_place(
        &mut self,
        layer: usize,
        rope: &Rope,
        each: &[Option<(&Tensor, usize)>],
        step: &Step<'_>,
    ) {
        for (x, heads) in each.iter().flatten() {
            let turn = self.turn(Some(rope), *heads, &step.positions);
            for sequence in &step.sequences {
                let cache = sequence.cache.gpu_layer(layer);
                let part = Part::new(sequence.rows.clone(), cache.place(sequence.position));
                self.append(cache, Some((x, &turn)), None, &part);
            }
        }
    }

    /// Appends keys and values, if there are any, to a cache; with a turn, they are
    /// turned before, and so are the queries, in place.
    pub(super) fn append(
        &mut self,
        cache: &GpuKvLayer,
        turn: Option<(&Tensor, &Turn)>,
        new: Option<(&Tensor, &Tensor)>,
        part: &Part,
    ) {
        let rows = new.map(|(k, _)| k).or(turn.map(|(q, _)| q));
        let rows = rows.map_or(0, |x| x.rows);
        let [k_dim, v_dim] = cache.head_dims;
        let [k_quads, v_quads] = cache.padded_dims.map(|dim| dim / 4);
        let kv_heads = new.map_or(0, |(k, _)| k.cols / k_dim);
        let unread = self.recorder.unread();
        let (k, v) = new.map_or((&unread, &unread), |(k, v)| (&k.float, &v.float));
        let (q, angles, heads, pairs, halves) = match turn {
            Some((q, turn)) => {
                let q = q.float.clone();
                (q, turn.angles.clone(), turn.heads, turn.pairs, turn.halves)
            }
            None => {
                let (q, angles) = (self.recorder.unwritten(), self.recorder.unread());
                (q, angles, 0, 0, false)
            }
        };
        let blocks = kv_heads * (k_quads + v_quads) / cache.quads_together;
        let lanes = part.tokens * (heads * pairs + blocks);
        if lanes == 0 {
            return;
        }
        let workgroups = self.elements(Op::RopeAppend, lanes);
        self.recorder.dispatch(
            Kernel::new(Op::RopeAppend, &[cache.format]),
            &[&q, k, v, &angles, &cache.keys, &cache.values],
            &[
                part.tokens as u32,
                part.first_row as u32,
                part.position as u32,
                heads as u32,
                kv_heads as u32,
                k_dim as u32,
                v_dim as u32,
                k_quads as u32,
                v_quads as u32,
                pairs as u32,
                u32::from(halves),
                rows as u32,
            ],
            workgroups,
        );
    }

    /// Whether one dispatch of this operation can append a token's keys and values and
    /// attend to them: if what turns is whole fours.
    pub(super) fn appends_at_once(&self, op: Op, cache: &GpuKvLayer, turn: &Turn) -> bool {
        let whole = turn.pairs.is_multiple_of(if turn.halves { 4 } else { 2 });
        let bindings = op.shader().bindings.len();
        let most = self.context.limits.max_storage_buffers_per_shader_stage;
        whole && cache.padding() == [None; 2] && bindings <= most as usize
    }

    /// Lets the queries of a sequence attend to its cache, which has their keys.
    pub(super) fn attend_to_cache(
        &mut self,
        cache: &GpuKvLayer,
        heads: Heads<'_>,
        q: &Tensor,
        part: &Part,
        out: &Tensor,
    ) {
        let [head_dim_k, head_dim_v] = cache.padded_dims;
        let padded = AttentionShape {
            head_dim_k,
            head_dim_v,
            ..*heads.shape
        };
        let padded = Heads {
            shape: &padded,
            ..heads
        };
        let [k_padding, v_padding] = cache.padding();
        let padded_q = k_padding.map(|widths| self.resized(q, widths));
        let q = padded_q.as_ref().unwrap_or(q);
        let Some((head_dim, padded_dim)) = v_padding else {
            return self.attend(cache, padded, q, None, part, out);
        };
        // The rows of other sequences are in `out` already.
        let padded_out = self.resized(out, (head_dim, padded_dim));
        self.attend(cache, padded, q, None, part, &padded_out);
        self.resize(&padded_out, padded_dim, out, head_dim);
    }

    /// The width of heads with which matrix units compute attention of so many tokens,
    /// if they do. Keys and values in f32 are there for their precision.
    fn heads_on_units(
        &self,
        cache: &GpuKvLayer,
        shape: &AttentionShape,
        tokens: usize,
    ) -> Option<&'static HeadWidth> {
        let is_exact = std::ptr::eq(cache.format, &piece::CACHE_F32);
        let can = self.context.matrix_units && tokens > MATVEC_TOKENS && !is_exact;
        let width = shape.head_dim_k.max(shape.head_dim_v);
        can.then(|| units::heads(&self.context.limits, width))?
    }

    /// Attention over heads of a width that the cache has. Of a single token, keys and
    /// values that are not in the cache yet come along: they are appended, and turned
    /// before, as the queries are.
    pub(super) fn attend(
        &mut self,
        cache: &GpuKvLayer,
        of_heads: Heads<'_>,
        q: &Tensor,
        new: Option<(&Tensor, &Tensor, &Turn)>,
        part: &Part,
        out: &Tensor,
    ) {
        let shape = of_heads.shape;
        let group = shape.n_head / shape.n_head_kv;
        let heads = self.heads_on_units(cache, shape, part.tokens);
        let (size, queries) = match heads {
            Some(heads) => (HeadWidth::QUERIES as usize, &heads.piece),
            None => query_tile(shape, part.tokens),
        };
        let tiles = (part.tokens * group).div_ceil(size);
        let keys = seen_keys(shape.window, part.position, part.tokens);
        let wanted = match part.tokens {
            1 => WORKGROUPS_OF_ONE,
            _ => ATTENTION_WORKGROUPS,
        };
        let split_keys = keys_of_split(keys, tiles * shape.n_head_kv, wanted);
        let splits = of_heads.splits(keys.div_ceil(split_keys));
        let v_quads = shape.head_dim_v / 4;
        let rows = part.tokens * shape.n_head;
        let partial =
            (splits > 1).then(|| self.pool.take((splits * rows * (v_quads + 1) * 16) as u64));
        let quantized = quantizes(shape.head_dim_v);
        let int8 = self.attended_int8(shape, out);
        let partial_binding = partial.clone().unwrap_or_else(|| self.recorder.unwritten());
        let mut buffers = vec![
            &q.float,
            &cache.keys,
            &cache.values,
            &out.float,
            &partial_binding,
            &int8,
        ];
        let params = [
            part.tokens as u32,
            part.first_row as u32,
            part.position as u32,
            shape.n_head as u32,
            group as u32,
            (shape.head_dim_k / 4) as u32,
            v_quads as u32,
            splits as u32,
            split_keys as u32,
            shape.scale.to_bits(),
            window(shape),
            shape.cap.unwrap_or(0.0).to_bits(),
            u32::from(quantized && splits == 1),
            new.map_or(0, |(_, _, turn)| turn.pairs as u32),
            u32::from(new.is_some_and(|(_, _, turn)| turn.halves)),
            q.rows as u32,
        ];
        let kernel = match new {
            Some((k, v, turn)) => {
                buffers.extend([&k.float, &v.float, &turn.angles]);
                Kernel::new(Op::AttentionAppend, &[cache.format, queries, self.share()])
            }
            None if heads.is_some() => Kernel::new(Op::AttentionUnits, &[cache.format, queries]),
            None => Kernel::new(Op::Attention, &[cache.format, queries, self.share()]),
        };
        self.recorder.dispatch(
            kernel,
            &buffers,
            &params,
            [tiles as u32, shape.n_head_kv as u32, splits as u32],
        );
        let width = shape.head_dim_k + shape.head_dim_v;
        self.recorder.count(Work {
            multiplications: (rows * keys * width) as u64,
            ..Work::default()
        });
        if let Some(partial) = partial {
            let rows = part.first_row..part.first_row + part.tokens;
            self.combine(&partial, of_heads, rows, splits, out);
            self.pool.give(partial);
        }
    }

    /// Puts together what splits of the keys have left of these rows.
    pub(super) fn combine(
        &mut self,
        partial: &Arc<Buffer>,
        heads: Heads<'_>,
        rows: Range<usize>,
        splits: usize,
        out: &Tensor,
    ) {
        let shape = heads.shape;
        let quantized = quantizes(shape.head_dim_v);
        let int8 = self.attended_int8(shape, out);
        let v_quads = shape.head_dim_v / 4;
        let workgroups = self.elements(Op::AttentionCombine, rows.len() * shape.n_head * v_quads);
        let mut kernel = Kernel::new(Op::AttentionCombine, &[]);
        kernel.constants[0] = set("SINKS", heads.sinks.is_some());
        let unread = self.recorder.unread();
        let sinks = heads.sinks.map_or(&unread, |sinks| &sinks.buffer);
        self.recorder.dispatch(
            kernel,
            &[partial, &out.float, &int8, sinks],
            &[
                rows.len() as u32,
                rows.start as u32,
                shape.n_head as u32,
                v_quads as u32,
                splits as u32,
                u32::from(quantized),
            ],
            workgroups,
        );
    }

    /// Where attention leaves its results as 8-bit integers, if it does.
    pub(super) fn attended_int8(&self, shape: &AttentionShape, out: &Tensor) -> Arc<Buffer> {
        match quantizes(shape.head_dim_v) {
            true => out.int8().clone(),
            false => self.recorder.unwritten(),
        }
    }
}
