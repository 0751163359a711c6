//! The operations that families call, as dispatches of shaders.

use super::cache::GpuKvLayer;
use super::context::{Buffer, Context};
use super::products::format_piece;
use super::record::{Kernel, Recorder};
use super::tensor::{Pool, Tensor};
use super::weights::{GpuDevice, GpuMatrix, GpuVector};
use crate::backend::{AttentionShape, Backend, Experts, Product, Step};
use kernels::format::ActivationForm;
use kernels::ops::{Pairing, Rope, RopeAngles};
use shaders::table::Workgroup;
use shaders::{Op, Piece, piece};
use std::sync::Arc;

/// Workgroups that attention should at least have, and keys that a split of the
/// keys should at least have.
const ATTENTION_WORKGROUPS: usize = 256;
const SPLIT_KEYS: usize = 512;

/// Columns in a piece of a row that a workgroup selects from.
const PIECE: usize = 2048;

/// Keys that a workgroup takes at once.
const CHUNK: usize = 128;

/// The GPU during a forward pass.
pub struct GpuBackend {
    pub(super) context: Arc<Context>,
    pub(super) recorder: Recorder,
    pub(super) pool: Arc<Pool>,
    /// Cosines and sines of the present step, and the rope they belong to.
    angles: Option<(usize, Arc<Buffer>)>,
}

impl GpuBackend {
    pub(super) fn new(context: Arc<Context>) -> GpuBackend {
        GpuBackend {
            recorder: Recorder::new(context.clone()),
            pool: Pool::new(context.clone()),
            angles: None,
            context,
        }
    }

    /// Begins a forward pass.
    pub(super) fn begin(&mut self) {
        self.recorder.forget_retired();
        self.angles = None;
    }

    /// Submits what is left of a forward pass whose results nobody reads.
    pub fn finish(&mut self) {
        self.recorder.submit();
    }

    pub(super) fn reduce(&self) -> &'static Piece {
        match self.context.subgroups {
            true => &piece::REDUCE_SUBGROUP,
            false => &piece::REDUCE_WORKGROUP,
        }
    }

    /// Lanes that share the rows of a workgroup: a subgroup, if that is of a
    /// usual size.
    pub(super) fn lanes(&self) -> u32 {
        match self.context.adapter.subgroups {
            Some((_, max)) => max.clamp(32, 64),
            None => 32,
        }
    }

    /// `index` workgroups of a shader that counts them in x and y.
    pub(super) fn spread(&self, count: usize) -> [u32; 3] {
        let limit = self.context.limits.max_compute_workgroups_per_dimension as usize;
        let rows = count.div_ceil(limit).max(1);
        [count.div_ceil(rows) as u32, rows as u32, 1]
    }

    /// Workgroups for so many elements.
    pub(super) fn elements(&self, op: Op, count: usize) -> [u32; 3] {
        match op.shader().workgroup {
            Workgroup::Elements(lanes) => self.spread(count.div_ceil(lanes as usize)),
            other => panic!("{op:?} counts {other:?}"),
        }
    }

    /// `x` as 8-bit integers.
    pub(super) fn quantized(&mut self, x: &Tensor) {
        if !x.int8_is_present.get() {
            let workgroups = self.elements(Op::Quantize, x.rows * x.cols / 32);
            self.recorder.dispatch(
                Kernel::new(Op::Quantize, &[]),
                &[&x.float, x.int8()],
                &[x.rows as u32, x.cols as u32, 1],
                workgroups,
            );
            x.int8_is_present.set(true);
        }
    }
}

/// The smallest tile that holds `count`, or the largest there is.
pub(super) fn tile_of(tiles: &'static [(u32, Piece)], count: usize) -> (usize, &'static Piece) {
    let (size, piece) = tiles
        .iter()
        .find(|(size, _)| *size as usize >= count)
        .or(tiles.last())
        .expect("there are tiles");
    (*size as usize, piece)
}

/// Whether attention over heads of this width leaves its results as 8-bit
/// integers, too: if a head is whole groups.
fn quantizes(head_dim: usize) -> bool {
    head_dim.is_multiple_of(32)
}

impl Backend for GpuBackend {
    type Device = GpuDevice;
    type Tensor = Tensor;

    fn tensor(&mut self, rows: usize, width: usize) -> Tensor {
        Tensor::new(&self.pool, rows, width)
    }

    fn write(&mut self, values: &[f32], width: usize) -> Tensor {
        let x = self.tensor(values.len() / width, width);
        self.recorder.write(&x.float, bytemuck::cast_slice(values));
        x
    }

    fn embed(&mut self, table: &GpuMatrix, tokens: &[u32]) -> Tensor {
        let out = self.tensor(tokens.len(), table.cols);
        let indices = self.recorder.upload(bytemuck::cast_slice(tokens));
        let op = match table.format.info().activations {
            ActivationForm::Int8 => Op::EmbedInt8,
            ActivationForm::Float => Op::EmbedFloat,
        };
        let workgroups = self.elements(op, tokens.len() * table.cols.div_ceil(32));
        for slice in &table.slices {
            self.recorder.dispatch(
                Kernel::new(op, &[format_piece(table.format)]),
                &[&slice.buffer, &indices, &out.float],
                &[
                    slice.rows.len() as u32,
                    slice.rows.start as u32,
                    table.row_bytes as u32,
                    table.cols as u32,
                    tokens.len() as u32,
                ],
                workgroups,
            );
        }
        out
    }

    fn select(&mut self, x: &Tensor, rows: &[usize]) -> Tensor {
        let out = self.tensor(rows.len(), x.cols);
        let indices: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let indices = self.recorder.upload(bytemuck::cast_slice(&indices));
        let workgroups = self.elements(Op::Gather, rows.len() * x.cols);
        self.recorder.dispatch(
            Kernel::new(Op::Gather, &[]),
            &[&x.float, &indices, &out.float],
            &[rows.len() as u32, x.cols as u32],
            workgroups,
        );
        out
    }

    fn read(&mut self, x: &Tensor, out: &mut Vec<f32>) {
        out.clear();
        out.resize(x.rows * x.cols, f32::NAN);
        self.recorder
            .read(&x.float, bytemuck::cast_slice_mut(&mut out[..]));
    }

    fn highest(&mut self, x: &Tensor, count: usize, out: &mut Vec<(u32, f32)>) {
        let count = count.min(x.cols);
        let pieces = x.cols.div_ceil(PIECE);
        let mut found = self.pool.take((x.rows * pieces * count * 8) as u64);
        let shape = [x.rows, x.cols, PIECE];
        self.select_highest(&piece::SOURCE_VALUES, &x.float, shape, count, &found);
        if pieces > 1 {
            let all = self.pool.take((x.rows * count * 8) as u64);
            let cols = pieces * count;
            let shape = [x.rows, cols, cols];
            self.select_highest(&piece::SOURCE_PAIRS, &found, shape, count, &all);
            self.pool.give(std::mem::replace(&mut found, all));
        }
        let mut pairs = vec![[u32::MAX; 2]; x.rows * count];
        self.recorder
            .read(&found, bytemuck::cast_slice_mut(&mut pairs));
        self.pool.give(found);
        out.clear();
        out.extend(pairs.iter().map(|&[col, bits]| (col, f32::from_bits(bits))));
    }

    fn rms_norm(&mut self, x: &Tensor, weight: &GpuVector, eps: f32, out: &mut Tensor) {
        assert_eq!((x.rows, x.cols), (out.rows, out.cols), "rows and width");
        let groups = if x.has_groups() { x.cols / 32 } else { 0 };
        let quantized = match groups {
            0 => self.recorder.unwritten(),
            _ => out.int8().clone(),
        };
        let workgroups = [x.rows as u32, 1, 1];
        self.recorder.dispatch(
            Kernel::new(Op::RmsNorm, &[self.reduce()]),
            &[&x.float, &weight.buffer, &out.float, &quantized],
            &[x.cols as u32, groups as u32, eps.to_bits()],
            workgroups,
        );
        out.int8_is_present.set(groups > 0);
    }

    fn matmul(&mut self, x: &Tensor, products: &mut [Product<'_, Self>]) {
        self.products(x, products);
    }

    fn matmul_add(
        &mut self,
        x: &Tensor,
        weight: &GpuMatrix,
        bias: Option<&GpuVector>,
        sum: &mut Tensor,
    ) {
        self.product(x, weight, bias, true, sum);
    }

    fn rope(&mut self, x: &mut [&mut Tensor], head_dim: usize, rope: &Rope, step: &Step<'_>) {
        let key = std::ptr::from_ref(rope) as usize;
        let present = self.angles.take().filter(|(of, _)| *of == key);
        let (_, angles) = present.unwrap_or_else(|| {
            let mut angles = RopeAngles::default();
            rope.angles(&step.positions, &mut angles);
            let table = [angles.cos(), angles.sin()].concat();
            (key, self.recorder.upload(bytemuck::cast_slice(&table)))
        });
        let (x, other) = match x {
            [x] => (x, None),
            [x, other] => (x, Some(other)),
            _ => panic!("{} tensors to rotate, expected one or two", x.len()),
        };
        let heads = x.cols / head_dim;
        let other_heads = other.as_ref().map_or(0, |other| other.cols / head_dim);
        let other_float = match &other {
            Some(other) => other.float.clone(),
            None => self.recorder.unwritten(),
        };
        let pairs = rope.n_rot() / 2;
        let workgroups = self.elements(Op::Rope, x.rows * (heads + other_heads) * pairs);
        self.recorder.dispatch(
            Kernel::new(Op::Rope, &[]),
            &[&x.float, &angles, &other_float],
            &[
                x.rows as u32,
                heads as u32,
                other_heads as u32,
                head_dim as u32,
                pairs as u32,
                u32::from(rope.pairing() == Pairing::Halves),
            ],
            workgroups,
        );
        x.int8_is_present.set(false);
        if let Some(other) = other {
            other.int8_is_present.set(false);
        }
        self.angles = Some((key, angles));
    }

    fn attention(
        &mut self,
        layer: usize,
        shape: &AttentionShape,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        for sequence in &mut step.sequences {
            let part = Part {
                tokens: sequence.rows.len(),
                first_row: sequence.rows.start,
                position: sequence.position,
            };
            let cache = sequence.cache.gpu_layer(layer);
            self.append(cache, k, v, &part);
            self.attend(cache, shape, q, &part, out);
        }
        // Whole groups are never padded.
        out.int8_is_present.set(quantizes(shape.head_dim_v));
    }

    fn silu_mul(&mut self, gate: &mut Tensor, up: &Tensor) {
        let quantized = match gate.has_groups() {
            true => gate.int8().clone(),
            false => self.recorder.unwritten(),
        };
        let workgroups = self.elements(Op::SiluMul, gate.rows * gate.cols.div_ceil(32));
        self.recorder.dispatch(
            Kernel::new(Op::SiluMul, &[]),
            &[&gate.float, &up.float, &quantized],
            &[
                gate.rows as u32,
                gate.cols as u32,
                u32::from(gate.has_groups()),
            ],
            workgroups,
        );
        gate.int8_is_present.set(gate.has_groups());
    }

    fn experts(&mut self, x: &Tensor, experts: &Experts<'_, Self>, sum: &mut Tensor) {
        super::experts::experts(self, x, experts, sum);
    }
}

impl GpuBackend {
    /// Leaves the `count` highest of each piece of `[rows, cols]` candidates.
    fn select_highest(
        &mut self,
        source: &'static Piece,
        x: &Arc<Buffer>,
        [rows, cols, piece]: [usize; 3],
        count: usize,
        out: &Arc<Buffer>,
    ) {
        self.recorder.dispatch(
            Kernel::new(Op::Highest, &[source]),
            &[x, out],
            &[cols as u32, piece as u32, count as u32],
            [cols.div_ceil(piece) as u32, rows as u32, 1],
        );
    }
}

/// A sequence's part of a step.
pub(super) struct Part {
    pub tokens: usize,
    pub first_row: usize,
    pub position: usize,
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

    /// Appends keys and values to a cache.
    pub(super) fn append(&mut self, cache: &GpuKvLayer, k: &Tensor, v: &Tensor, part: &Part) {
        let [k_padding, v_padding] = cache.padding();
        let padded_k = k_padding.map(|widths| self.resized(k, widths));
        let padded_v = v_padding.map(|widths| self.resized(v, widths));
        let (k, v) = (
            padded_k.as_ref().unwrap_or(k),
            padded_v.as_ref().unwrap_or(v),
        );
        let (k_quads, v_quads) = (k.cols / 4, v.cols / 4);
        let lanes = part.tokens * k_quads.max(v_quads) / cache.quads_together;
        let workgroups = self.elements(Op::CacheWrite, lanes);
        self.recorder.dispatch(
            Kernel::new(Op::CacheWrite, &[cache.format]),
            &[&k.float, &v.float, &cache.keys, &cache.values],
            &[
                part.tokens as u32,
                part.first_row as u32,
                part.position as u32,
                k_quads as u32,
                v_quads as u32,
            ],
            workgroups,
        );
    }

    /// Lets the queries of a sequence attend to its cache.
    fn attend(
        &mut self,
        cache: &GpuKvLayer,
        shape: &AttentionShape,
        q: &Tensor,
        part: &Part,
        out: &Tensor,
    ) {
        let [head_dim_k, head_dim_v] = cache.padded_dims;
        let padded = AttentionShape {
            head_dim_k,
            head_dim_v,
            ..*shape
        };
        let [k_padding, v_padding] = cache.padding();
        let padded_q = k_padding.map(|widths| self.resized(q, widths));
        let q = padded_q.as_ref().unwrap_or(q);
        let Some((head_dim, padded_dim)) = v_padding else {
            return self.attend_padded(cache, &padded, q, part, out);
        };
        // The rows of other sequences are in `out` already.
        let padded_out = self.resized(out, (head_dim, padded_dim));
        self.attend_padded(cache, &padded, q, part, &padded_out);
        self.resize(&padded_out, padded_dim, out, head_dim);
    }

    fn attend_padded(
        &mut self,
        cache: &GpuKvLayer,
        shape: &AttentionShape,
        q: &Tensor,
        part: &Part,
        out: &Tensor,
    ) {
        let group = shape.n_head / shape.n_head_kv;
        let (size, queries) = tile_of(piece::QUERIES, part.tokens * group);
        let tiles = (part.tokens * group).div_ceil(size);
        let keys = part.position + part.tokens;
        // As many splits as keep the device busy, if there are keys for them.
        let wanted = ATTENTION_WORKGROUPS.div_ceil(tiles * shape.n_head_kv);
        let splits = wanted.min(keys.div_ceil(SPLIT_KEYS)).max(1);
        let split_keys = keys.div_ceil(splits).next_multiple_of(CHUNK);
        let splits = keys.div_ceil(split_keys);
        let v_quads = shape.head_dim_v / 4;
        let rows = part.tokens * shape.n_head;
        let partial =
            (splits > 1).then(|| self.pool.take((splits * rows * (v_quads + 1) * 16) as u64));
        let quantized = quantizes(shape.head_dim_v);
        let int8 = match quantized {
            true => out.int8().clone(),
            false => self.recorder.unwritten(),
        };
        let partial_binding = partial.clone().unwrap_or_else(|| self.recorder.unwritten());
        self.recorder.dispatch(
            Kernel::new(Op::Attention, &[cache.format, queries]),
            &[
                &q.float,
                &cache.keys,
                &cache.values,
                &out.float,
                &partial_binding,
                &int8,
            ],
            &[
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
                u32::from(quantized && splits == 1),
            ],
            [tiles as u32, shape.n_head_kv as u32, splits as u32],
        );
        if let Some(partial) = partial {
            let workgroups = self.elements(Op::AttentionCombine, rows * v_quads);
            self.recorder.dispatch(
                Kernel::new(Op::AttentionCombine, &[]),
                &[&partial, &out.float, &int8],
                &[
                    part.tokens as u32,
                    part.first_row as u32,
                    shape.n_head as u32,
                    v_quads as u32,
                    splits as u32,
                    u32::from(quantized),
                ],
                workgroups,
            );
            self.pool.give(partial);
        }
        let width = shape.head_dim_k + shape.head_dim_v;
        self.recorder
            .count_multiplications((rows * keys * width) as u64);
    }
}
