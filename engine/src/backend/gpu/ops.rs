//! The operations that families call, as dispatches of shaders.

use super::attention::{Heads, Part, quantizes};
use super::context::{Buffer, Context};
use super::pipelines::Kernel;
use super::products::{constant_of, format_piece, of_input, set};
use super::record::Recorder;
use super::tensor::{Pool, Tensor};
use super::weights::{GpuDevice, GpuMatrix, GpuVector};
use crate::backend::{
    Activation, AttentionShape, Backend, DeltaInputs, DeltaWeights, Experts, Norm, Product,
    QueriesAndKeys, SsmInputs, SsmWeights, Step,
};
use kernels::ops::{NormKind, Xielu};
use kernels::recurrent::{ConvShape, DeltaShape, RecurrentShape, SsmShape};
use shaders::table::Workgroup;
use shaders::{Op, Piece, piece};
use std::sync::Arc;

/// Columns in a piece of a row that a workgroup selects from.
const PIECE: usize = 2048;

/// The GPU during a forward pass.
pub struct GpuBackend {
    pub(super) context: Arc<Context>,
    pub(super) recorder: Recorder,
    pub(super) pool: Arc<Pool>,
    /// Cosines and sines of the present step, and the ropes they belong to.
    pub(super) angles: Vec<(usize, Arc<Buffer>)>,
}

impl GpuBackend {
    pub(super) fn new(context: Arc<Context>) -> GpuBackend {
        GpuBackend {
            recorder: Recorder::new(context.clone()),
            pool: Pool::new(context.clone()),
            angles: Vec::new(),
            context,
        }
    }

    /// Begins a forward pass.
    pub(super) fn begin(&mut self) {
        self.recorder.begin();
        self.angles.clear();
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

    pub(super) fn share(&self) -> &'static Piece {
        let smallest = self.context.adapter.subgroups.map_or(0, |(min, _)| min);
        match self.context.subgroups && smallest >= 4 {
            true => &piece::SHARE_SUBGROUP,
            false => &piece::SHARE_WORKGROUP,
        }
    }

    pub(super) fn teams(&self) -> &'static Piece {
        match self.context.subgroups {
            true => &piece::TEAMS_SUBGROUP,
            false => &piece::TEAMS_WORKGROUP,
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

    /// Workgroups for so many columns of matrices.
    pub(super) fn columns(&self, op: Op, count: usize) -> [u32; 3] {
        match op.shader().workgroup {
            Workgroup::Columns(columns) => self.spread(count / columns as usize),
            other => panic!("{op:?} counts {other:?}"),
        }
    }

    /// `x` as 8-bit integers.
    pub(super) fn quantized(&mut self, x: &Tensor) {
        if !x.int8_is_present.get() {
            let workgroups = self.elements(Op::Quantize, x.rows * x.cols / 4);
            self.recorder.dispatch(
                Kernel::new(Op::Quantize, &[]),
                &[&x.float, x.int8()],
                &[x.rows as u32, x.cols as u32, 1],
                workgroups,
            );
            x.int8_is_present.set(true);
        }
    }

    /// Where an operation that leaves `out` also leaves it as 8-bit integers, if it has groups.
    pub(super) fn int8_of(&self, out: &Tensor) -> Arc<Buffer> {
        match out.has_groups() {
            true => out.int8().clone(),
            false => self.recorder.unwritten(),
        }
    }

    /// `x` in f16, for matrix units.
    pub(super) fn halves(&mut self, x: &Tensor) {
        if !x.halves_are_present.get() {
            self.quantized(x);
            let [halves, scales] = x.halves();
            self.recorder.dispatch(
                Kernel::new(Op::Halves, &[]),
                &[x.int8(), halves, scales],
                &[x.rows as u32, x.cols as u32],
                [x.rows as u32, 1, 1],
            );
            x.halves_are_present.set(true);
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
        let op = of_input([Op::EmbedInt8, Op::EmbedFloat], table.format);
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

    fn norm(&mut self, x: &Tensor, norm: &Norm<GpuDevice>, out: &mut Tensor) {
        assert_eq!((x.rows, x.cols), (out.rows, out.cols), "rows and width");
        let as_int8 = x.cols == norm.width && x.has_groups();
        let quantized = as_int8.then(|| out.int8().clone());
        self.norm_pieces(x, norm, out, quantized, false);
        out.is_written(as_int8);
    }

    fn norm_add(&mut self, x: &Tensor, norm: &Norm<GpuDevice>, sum: &mut Tensor) {
        assert_eq!((x.rows, x.cols), (sum.rows, sum.cols), "rows and width");
        self.norm_pieces(x, norm, sum, None, true);
        sum.is_written(false);
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

    fn attention(
        &mut self,
        layer: usize,
        shape: &AttentionShape,
        prepared: &QueriesAndKeys<'_, Self>,
        q: &mut Tensor,
        mut new: Option<(&mut Tensor, &Tensor)>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        let mut rope = prepared.rope;
        if let Some(norms) = &prepared.norms {
            if let Some(rope) = rope.take_if(|_| norms.after_turn) {
                let keys = new.as_ref().map(|(k, _)| (&**k, shape.n_head_kv));
                let each = [Some((&*q, shape.n_head)), keys];
                self.turn_in_place(layer, rope, &each, step);
            }
            let keys = new.as_mut().map(|(k, _)| &mut **k).zip(norms.k);
            for (x, norm) in [Some((&mut *q, norms.q)), keys].into_iter().flatten() {
                let normed = self.tensor(x.rows, x.cols);
                self.norm_pieces(x, norm, &normed, None, false);
                *x = normed;
            }
        }
        let new = new.map(|(k, v)| (&*k, v));
        let turn = self.turn(rope, shape.n_head, &step.positions);
        let heads = Heads {
            shape,
            sinks: prepared.sinks,
        };
        let all = step.kept.is_none();
        let mut left = &step.sequences[..];
        while let Some(sequence) = left.first() {
            let at_once = new.filter(|_| all).map(|(k, v)| (k, v, &turn));
            let count = at_once.map_or(1, |_| self.together(left, layer, &turn));
            let (these, others) = left.split_at(count);
            left = others;
            if let Some(new) = at_once.filter(|_| count > 1) {
                self.attend_together(these, layer, heads, q, new, out);
                continue;
            }
            let cache = sequence.cache.gpu_layer(layer);
            let part = Part::new(sequence.rows.clone(), cache.place(sequence.position));
            let append = Op::AttentionAppend;
            let is_one = part.tokens == 1 && self.appends_at_once(append, cache, &turn);
            if let Some(new) = at_once.filter(|_| is_one) {
                self.attend(cache, heads, q, Some(new), &part, out);
                continue;
            }
            self.append(cache, Some((q, &turn)), new, &part);
            if all {
                self.attend_to_cache(cache, heads, q, &part, out);
            }
        }
        if let Some(kept) = step.kept.as_ref().filter(|kept| !kept.is_empty()) {
            let q = self.select(q, kept);
            for queries in step.queries() {
                let cache = step.sequences[queries.sequence].cache.gpu_layer(layer);
                let part = Part::new(queries.rows, cache.place(queries.position));
                self.attend_to_cache(cache, heads, &q, &part, out);
            }
        }
        // Whole groups are never padded.
        out.is_written(quantizes(shape.head_dim_v));
    }

    fn in_rows_of(&mut self, x: Tensor, width: usize) -> Tensor {
        x.in_rows_of(width)
    }

    fn deal(&mut self, x: &Tensor, widths: [usize; 2], first: &mut Tensor, second: &mut Tensor) {
        let buffers = [&x.float, &first.float, &second.float];
        self.pieces(Op::Deal, buffers, x.rows * x.cols, widths);
        first.is_written(false);
        second.is_written(false);
    }

    fn join(&mut self, first: &Tensor, second: &Tensor, widths: [usize; 2], out: &mut Tensor) {
        let buffers = [&first.float, &second.float, &out.float];
        self.pieces(Op::Join, buffers, out.rows * out.cols, widths);
        out.is_written(false);
    }

    fn head_products(&mut self, x: &Tensor, weight: &GpuMatrix, heads: usize, out: &mut Tensor) {
        self.products_of_heads(x, weight, heads, out);
    }

    fn sigmoid_mul(&mut self, x: &mut Tensor, gate: &Tensor) {
        self.scale(x, &gate.float, 1, true);
    }

    fn scale_rows(&mut self, x: &mut Tensor, factors: &[f32]) {
        assert_eq!(x.rows, factors.len(), "a factor for each row");
        let factors = self.recorder.upload(bytemuck::cast_slice(factors));
        self.scale(x, &factors, x.cols, false);
    }

    fn scale_by(&mut self, x: &mut Tensor, factor: &GpuVector) {
        let width = x.rows * x.cols;
        self.scale(x, &factor.buffer, width, false);
    }

    fn sigmoid_rows(&mut self, x: &mut Tensor, gates: &Tensor) {
        self.scale(x, &gates.float, x.cols, true);
    }

    fn mul(&mut self, x: &mut Tensor, y: &Tensor) {
        self.scale(x, &y.float, 1, false);
    }

    fn short_conv(
        &mut self,
        layer: usize,
        shape: &ConvShape,
        weights: &GpuVector,
        x: &Tensor,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        let shape = RecurrentShape::Conv(*shape);
        self.conv(layer, &shape, (weights, None), x, step, out);
    }

    fn delta_net(
        &mut self,
        layer: usize,
        shape: &DeltaShape,
        weights: &DeltaWeights<'_, Self>,
        inputs: &DeltaInputs<'_, Self>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        self.delta(layer, shape, weights, inputs, step, out);
    }

    fn ssm(
        &mut self,
        layer: usize,
        shape: &SsmShape,
        weights: &SsmWeights<'_, Self>,
        inputs: &SsmInputs<'_, Self>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        self.scan(layer, shape, weights, inputs, step, out);
    }

    fn gate_up(
        &mut self,
        x: &Tensor,
        activation: Activation,
        gate: Product<'_, Self>,
        up: Product<'_, Self>,
    ) {
        if self.is_gated_at_once(x, &gate, &up) {
            return self.gated(x, activation, &gate, &up);
        }
        let mut products = [gate, up];
        self.products(x, &mut products);
        let [gate, up] = products;
        self.gate_mul(activation, gate.out, up.out);
    }

    fn gate_mul(&mut self, activation: Activation, gate: &mut Tensor, up: &Tensor) {
        self.activated(activation, gate, Some(up));
    }

    fn activate(&mut self, activation: Activation, x: &mut Tensor) {
        self.activated(activation, x, None);
    }

    fn xielu(&mut self, x: &mut Tensor, parameters: &Xielu) {
        let len = x.rows * x.cols;
        let workgroups = self.elements(Op::Xielu, len);
        let Xielu {
            alpha_n,
            alpha_p,
            beta,
            eps,
        } = *parameters;
        let [alpha_n, alpha_p, beta, eps] = [alpha_n, alpha_p, beta, eps].map(f32::to_bits);
        self.recorder.dispatch(
            Kernel::new(Op::Xielu, &[]),
            &[&x.float],
            &[len as u32, alpha_n, alpha_p, beta, eps],
            workgroups,
        );
        x.is_written(false);
    }

    fn experts(&mut self, x: &Tensor, experts: &Experts<'_, Self>, sum: &mut Tensor) {
        super::experts::experts(self, x, experts, sum);
    }
}

impl GpuBackend {
    /// Multiplies with factors, each for so many values, or with their sigmoid.
    fn scale(&mut self, x: &mut Tensor, factors: &Arc<Buffer>, width: usize, sigmoid: bool) {
        let len = x.rows * x.cols;
        let workgroups = self.elements(Op::Mul, len);
        let mut kernel = Kernel::new(Op::Mul, &[]);
        kernel.constants[0] = set("SIGMOID", sigmoid);
        self.recorder.dispatch(
            kernel,
            &[&x.float, factors],
            &[len as u32, width as u32],
            workgroups,
        );
        x.is_written(false);
    }

    /// `x = activation(x)`, perhaps as a gate of `up`.
    fn activated(&mut self, activation: Activation, x: &mut Tensor, up: Option<&Tensor>) {
        let quantized = self.int8_of(x);
        let workgroups = self.elements(Op::GateMul, x.rows * x.cols.div_ceil(4));
        let mut kernel = Kernel::new(Op::GateMul, &[]);
        kernel.constants[0] = constant_of(activation);
        kernel.constants[1] = set("ALONE", up.is_none());
        let up = up.map_or_else(|| self.recorder.unread(), |up| up.float.clone());
        self.recorder.dispatch(
            kernel,
            &[&x.float, &up, &quantized],
            &[x.rows as u32, x.cols as u32, u32::from(x.has_groups())],
            workgroups,
        );
        x.is_written(x.has_groups());
    }

    /// Norms of the pieces of `x`, and the same as 8-bit integers, if that is wanted; or
    /// added to what is there.
    fn norm_pieces(
        &mut self,
        x: &Tensor,
        norm: &Norm<GpuDevice>,
        out: &Tensor,
        quantized: Option<Arc<Buffer>>,
        added: bool,
    ) {
        let cols = norm.width;
        // One for each four, if there are so many.
        let most = self.context.limits.max_compute_invocations_per_workgroup;
        let lanes = match most >= 1024 {
            true => cols / 4,
            false => 1,
        };
        let (_, lanes) = tile_of(piece::LANES, lanes);
        let row = match cols.is_multiple_of(4) {
            true => &piece::ROW_FOURS,
            false => &piece::ROW_VALUES,
        };
        let wants_int8 = u32::from(quantized.is_some());
        let quantized = quantized.unwrap_or_else(|| self.recorder.unwritten());
        let mut kernel = Kernel::new(Op::Norm, &[lanes, row, self.reduce()]);
        kernel.constants[0] = set("LAYER", norm.kind == NormKind::Layer);
        kernel.constants[1] = set("BIAS", norm.bias.is_some());
        let (weight, bias) = (&norm.weight, self.bias(norm.bias.as_ref()));
        self.recorder.dispatch(
            kernel,
            &[&x.float, &weight.buffer, &out.float, &quantized, &bias],
            &[
                cols as u32,
                wants_int8,
                norm.eps.to_bits(),
                u32::from(added),
                (weight.len / cols) as u32,
            ],
            [(x.cols / cols) as u32, x.rows as u32, 1],
        );
    }

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
