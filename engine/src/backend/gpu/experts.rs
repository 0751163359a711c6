//! Mixtures of experts: routed on the device, so that a token stays one
//! submission. Of few tokens every *item*, a token and one of its experts, reads its
//! expert's weights: one dispatch makes what is hidden, if gate and up share a buffer, and
//! one the weighted sum. Of many, the items of each expert are listed and go through
//! them together, tile by tile.

use super::context::Buffer;
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::products::{EXPERTS, MATVEC_TOKENS, constant_of, format_piece, of_input, set};
use super::profile::Work;
use super::tensor::Tensor;
use super::units;
use super::weights::{GpuMatrix, GpuVector, Slice};
use crate::backend::{
    Activation, Backend, ExpertGroups, Experts, Gating, MIN_WEIGHT_SUM, Product, Stack,
};
use kernels::Format;
use shaders::Op;
use shaders::table::Workgroup;
use std::sync::Arc;

/// Items that an expert has on average, from which on they go through its weights
/// together: in a tile that is mostly empty arithmetic is wasted, but weights are read
/// once.
const TOGETHER: usize = 4;

/// The items of a step, and the experts they are routed to.
struct Items {
    /// Expert and weight of each.
    routes: Arc<Buffer>,
    /// The items of each expert, if they go through its weights together.
    lists: Option<Arc<Buffer>>,
    /// Tokens: the most items that an expert has.
    tokens: usize,
    /// Experts there are.
    experts: usize,
}

/// `sum += Σ weight_e · down_e(activation(gate_e(x)) · up_e(x))`.
pub(super) fn experts(
    backend: &mut GpuBackend,
    x: &Tensor,
    experts: &Experts<'_, GpuBackend>,
    sum: &mut Tensor,
) {
    let Experts {
        router,
        router_input,
        routing,
        selection_bias,
        ref gate,
        ref up,
        ref down,
        count,
        used,
        activation,
        ref biases,
        factors,
        adds,
    } = *experts;
    let mut scores = backend.tensor(x.rows, count);
    backend.matmul(
        router_input.unwrap_or(x),
        &mut [Product {
            weight: router,
            bias: biases.as_ref().map(|biases| biases.router),
            out: &mut scores,
        }],
    );

    let count_of_items = x.rows * used;
    let routes = backend.pool.take((count_of_items * 8) as u64);
    let workgroups = backend.spread(x.rows);
    let mut kernel = Kernel::new(Op::Route, &[]);
    kernel.constants = [
        set("BIAS", selection_bias.is_some()),
        Some(("GATING", gating(routing.gating))),
        set("NORMALIZED", routing.normalized),
        set("FACTORS", factors.is_some()),
    ];
    let [bias, factors] = [selection_bias, factors].map(|vector| backend.bias(vector));
    let all = ExpertGroups { count: 1, used: 1 };
    let groups = routing.groups.unwrap_or(all);
    backend.recorder.dispatch(
        kernel,
        &[&scores.float, &routes, &bias, &factors],
        &[
            x.rows as u32,
            count as u32,
            used as u32,
            routing.scale.to_bits(),
            MIN_WEIGHT_SUM.to_bits(),
            groups.count as u32,
            groups.used as u32,
        ],
        workgroups,
    );
    let lists = backend.lists(&routes, [x.rows, used, count]);
    let items = Items {
        routes,
        lists,
        tokens: x.rows,
        experts: count,
    };
    let mut hidden = backend.tensor(count_of_items, up.rows.len());
    let [gate_bias, up_bias, down_bias] = match biases {
        Some(biases) => [biases.gate, biases.up, biases.down].map(Some),
        None => [None; 3],
    };
    let between = match (gate, &items.lists) {
        (Some(gate), None) => rows_between(gate, up),
        _ => None,
    };
    match (gate, between) {
        (Some(gate), Some(between)) => {
            let biases = [gate_bias, up_bias];
            backend.gated_of_experts(x, (gate, between), biases, &items, activation, &mut hidden);
        }
        (Some(gate), None) => {
            let mut other = backend.tensor(count_of_items, up.rows.len());
            backend.of_experts(x, (gate, gate_bias), &items, used, &mut hidden);
            backend.of_experts(x, (up, up_bias), &items, used, &mut other);
            backend.gate_mul(activation, &mut hidden, &other);
        }
        (None, _) => {
            backend.of_experts(x, (up, up_bias), &items, used, &mut hidden);
            backend.activate(activation, &mut hidden);
        }
    }
    if items.lists.is_none() {
        backend.sum_of_experts(&hidden, (down, down_bias), &items, adds, sum);
    } else {
        let mut outputs = backend.tensor(count_of_items, down.rows.len());
        backend.of_experts(&hidden, (down, down_bias), &items, 1, &mut outputs);
        let workgroups = backend.elements(Op::Mix, x.rows * sum.cols);
        let mut kernel = Kernel::new(Op::Mix, &[]);
        kernel.constants[0] = set("ADDS", adds);
        backend.recorder.dispatch(
            kernel,
            &[&outputs.float, &items.routes, &sum.float],
            &[x.rows as u32, sum.cols as u32, used as u32],
            workgroups,
        );
        sum.is_written(false);
    }
    backend.pool.give(items.routes);
    if let Some(lists) = items.lists {
        backend.pool.give(lists);
    }
}

/// Rows from those of an expert's gate to those of its up, if both are in one buffer.
fn rows_between(gate: &Stack<'_, GpuBackend>, up: &Stack<'_, GpuBackend>) -> Option<u32> {
    let ([of_gate], [of_up]) = (&gate.matrix.slices[..], &up.matrix.slices[..]) else {
        return None;
    };
    let is_shared = of_gate.buffer.id == of_up.buffer.id
        && gate.matrix.format == up.matrix.format
        && gate.matrix.rows == up.matrix.rows;
    let first = |slice: &Slice, stack: &Stack<'_, _>| (slice.begin + stack.rows.start) as u32;
    is_shared.then(|| first(of_up, up).wrapping_sub(first(of_gate, gate)))
}

/// What shaders are told of a slice of experts' matrices; so many items in a row share
/// a row of the inputs, or of their sum.
fn params_of_slice(
    stack: &Stack<'_, GpuBackend>,
    slice: &Slice,
    items: &Items,
    sharing: usize,
) -> [u32; 8] {
    let matrix = stack.matrix;
    // Of the buffer, in which another matrix may lie before this one.
    let rows = slice.begin + slice.rows.len();
    let first = (slice.begin + stack.rows.start).wrapping_sub(slice.rows.start);
    [
        rows,
        first,
        matrix.row_bytes,
        matrix.cols,
        matrix.rows / items.experts,
        stack.rows.len(),
        sharing,
        items.tokens,
    ]
    .map(|param| param as u32)
}

/// Items that a team of lanes of `expert_sum.wgsl` takes at once: up to four, and as many
/// each time.
fn items_at_once(used: usize) -> u32 {
    used.div_ceil(used.div_ceil(4)) as u32
}

/// What the shader calls it.
fn gating(gating: Gating) -> u32 {
    match gating {
        Gating::Chosen => 0,
        Gating::Softmax => 1,
        Gating::Sigmoid => 2,
    }
}

impl GpuBackend {
    /// The items of each expert, if of so many tokens, experts used and experts there are
    /// they go through its weights together: `[experts, 1 + tokens]`, first how many. A
    /// rehearsal notes what more tokens would need.
    fn lists(
        &mut self,
        routes: &Arc<Buffer>,
        [tokens, used, count]: [usize; 3],
    ) -> Option<Arc<Buffer>> {
        let items = tokens * used;
        let are_many = items >= TOGETHER * count || self.recorder.is_rehearsing();
        if tokens <= MATVEC_TOKENS || !are_many {
            return None;
        }
        let lists = self.pool.take((count * (1 + tokens) * 4) as u64);
        self.recorder.dispatch(
            Kernel::new(Op::ListItems, &[]),
            &[routes, &lists],
            &[items as u32, tokens as u32],
            [count as u32, 1, 1],
        );
        Some(lists)
    }

    /// `hidden = activation(gate_e(x)) · up_e(x)` of every item; in the buffer of `gate`, the
    /// rows of `up` lie so many `between` further on.
    fn gated_of_experts(
        &mut self,
        x: &Tensor,
        (gate, between): (&Stack<'_, GpuBackend>, u32),
        biases: [Option<&GpuVector>; 2],
        items: &Items,
        activation: Activation,
        hidden: &mut Tensor,
    ) {
        let matrix = gate.matrix;
        assert_eq!(x.cols, matrix.cols, "inputs");
        let op = of_input([Op::ExpertGatedInt8, Op::ExpertGatedFloat], matrix.format);
        let (mut kernel, workgroups) = self.kernel_of_items(op, matrix.format, hidden);
        kernel.constants[0] = set("BIAS", biases[0].is_some());
        kernel.constants[1] = constant_of(activation);
        let input = self.plain_input(x, matrix.format);
        let quantized = self.int8_of(hidden);
        let slice = &matrix.slices[0];
        let [gate_bias, up_bias] = biases.map(|bias| self.bias(bias));
        let buffers = [
            &slice.buffer,
            &input,
            &gate_bias,
            &up_bias,
            &hidden.float,
            &quantized,
            &items.routes,
        ];
        let params = [
            (slice.begin + gate.rows.start) as u32,
            between,
            matrix.row_bytes as u32,
            matrix.cols as u32,
            (matrix.rows / items.experts) as u32,
            hidden.cols as u32,
            (hidden.rows / x.rows) as u32,
            hidden.rows as u32,
            u32::from(hidden.has_groups()),
        ];
        self.recorder
            .dispatch(kernel, &buffers, &params, workgroups);
        hidden.is_written(hidden.has_groups());
        self.count_items(hidden.rows, hidden.rows, 2 * hidden.cols, matrix);
    }

    /// `sum = Σ weight_e · down_e(hidden)`, or `sum +=`, over the items of each token.
    fn sum_of_experts(
        &mut self,
        hidden: &Tensor,
        (stack, bias): (&Stack<'_, GpuBackend>, Option<&GpuVector>),
        items: &Items,
        adds: bool,
        sum: &mut Tensor,
    ) {
        let matrix = stack.matrix;
        assert_eq!(
            (hidden.cols, stack.rows.len()),
            (matrix.cols, sum.cols),
            "inputs and outputs"
        );
        let used = hidden.rows / sum.rows;
        let op = of_input([Op::ExpertSumInt8, Op::ExpertSumFloat], matrix.format);
        let (mut kernel, workgroups) = self.kernel_of_items(op, matrix.format, sum);
        let input = self.plain_input(hidden, matrix.format);
        let has_bias = bias.is_some();
        let bias = self.bias(bias);
        for (index, slice) in matrix.slices.iter().enumerate() {
            kernel.constants = [
                set("BIAS", has_bias),
                set("ADDS", adds || index > 0),
                Some(("AT_ONCE", items_at_once(used))),
                None,
            ];
            let buffers = [&slice.buffer, &input, &items.routes, &sum.float, &bias];
            let params = params_of_slice(stack, slice, items, used);
            self.recorder
                .dispatch(kernel, &buffers, &params, workgroups);
        }
        sum.is_written(false);
        self.count_items(hidden.rows, hidden.rows, sum.cols, matrix);
    }

    /// Counts products of so many items, for which matrices of so many rows are read so
    /// often.
    fn count_items(&mut self, items: usize, readings: usize, rows: usize, matrix: &GpuMatrix) {
        self.recorder.count(Work {
            bytes: (readings * rows * matrix.row_bytes) as u64,
            multiplications: (items * rows * matrix.cols) as u64,
        });
    }

    /// Every item's vector times the matrix of its expert; `sharing` items in a row share
    /// a row of `x`.
    fn of_experts(
        &mut self,
        x: &Tensor,
        (stack, bias): (&Stack<'_, GpuBackend>, Option<&GpuVector>),
        items: &Items,
        sharing: usize,
        out: &mut Tensor,
    ) {
        let matrix = stack.matrix;
        assert_eq!(x.cols, matrix.cols, "inputs");
        assert_eq!(x.rows * sharing, out.rows, "items");
        let format = matrix.format;
        let (mut kernel, workgroups) = match items.lists {
            Some(_) => self.kernel_of_tiles(format, items, out.cols),
            None => self.kernel_of_items(EXPERTS.few(format), format, out),
        };
        kernel.constants[0] = set("BIAS", bias.is_some());
        let (input, scales) = match items.lists {
            Some(_) => self.input(x, format),
            None => (self.plain_input(x, format), None),
        };
        let bias = self.bias(bias);
        let by = items.lists.as_ref().unwrap_or(&items.routes);
        for slice in &matrix.slices {
            let params = params_of_slice(stack, slice, items, sharing);
            let mut buffers = vec![&slice.buffer, &input, by, &out.float, &bias];
            buffers.extend(&scales);
            self.recorder
                .dispatch(kernel, &buffers, &params, workgroups);
        }
        out.is_written(false);
        let readings = match items.lists {
            Some(_) => items.experts.min(out.rows),
            None => out.rows,
        };
        self.count_items(out.rows, readings, out.cols, matrix);
    }

    /// A shader that takes one row of `out` after the other, an item's or a token's.
    fn kernel_of_items(&self, op: Op, format: Format, out: &Tensor) -> (Kernel, [u32; 3]) {
        let Workgroup::Rows(each) = op.shader().workgroup else {
            panic!("{op:?} counts rows");
        };
        let [wide, high, _] = self.spread(out.cols.div_ceil(each as usize));
        let kernel = Kernel::new(op, &[format_piece(format), self.teams()]);
        (kernel, [wide, high, out.rows as u32])
    }

    /// The shader that takes tiles of so many rows and an expert's items. Workgroups are
    /// for as many items as an expert can have; most find that it has fewer.
    fn kernel_of_tiles(&self, format: Format, items: &Items, rows: usize) -> (Kernel, [u32; 3]) {
        let format_piece = format_piece(format);
        let (kernel, tile) = if self.is_on_units(items.tokens, format) {
            let tile = units::tiles(&self.context.limits).last();
            let tile = tile.expect("a device with matrix units has room for a tile");
            let kernel = Kernel::new(EXPERTS.many_units, &[format_piece, &tile.piece]);
            (kernel, [tile.rows, tile.tokens])
        } else {
            let op = EXPERTS.many(format, self.context.half);
            let Workgroup::Tile(side) = op.shader().workgroup else {
                panic!("{op:?} counts tiles");
            };
            (Kernel::new(op, &[format_piece]), [side; 2])
        };
        let [tile_rows, tile_tokens] = tile.map(|side| side as usize);
        let workgroups = [
            rows.div_ceil(tile_rows),
            items.tokens.div_ceil(tile_tokens),
            items.experts,
        ];
        (kernel, workgroups.map(|count| count as u32))
    }
}
