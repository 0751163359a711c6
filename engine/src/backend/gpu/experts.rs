//! Mixtures of experts: routed on the device, so that a token stays one
//! submission. Of few tokens every *item*, a token and one of its experts, reads its
//! expert's weights; of many, the items of each expert are listed and go through them
//! together, tile by tile.

use super::context::Buffer;
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::products::{EXPERTS, MATVEC_TOKENS, format_piece, set};
use super::profile::Work;
use super::tensor::Tensor;
use super::units;
use super::weights::GpuVector;
use crate::backend::{Backend, ExpertGroups, Experts, Gating, MIN_WEIGHT_SUM, Product, Stack};
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
    let [mut hidden, mut outputs] =
        [up, down].map(|stack| backend.tensor(count_of_items, stack.rows.len()));
    let [gate_bias, up_bias, down_bias] = match biases {
        Some(biases) => [biases.gate, biases.up, biases.down].map(Some),
        None => [None; 3],
    };
    if let Some(gate) = gate {
        let mut other = backend.tensor(count_of_items, up.rows.len());
        backend.of_experts(x, (gate, gate_bias), &items, used, &mut hidden);
        backend.of_experts(x, (up, up_bias), &items, used, &mut other);
        backend.gate_mul(activation, &mut hidden, &other);
    } else {
        backend.of_experts(x, (up, up_bias), &items, used, &mut hidden);
        backend.activate(activation, &mut hidden);
    }
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
    backend.pool.give(items.routes);
    if let Some(lists) = items.lists {
        backend.pool.give(lists);
    }
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
        let Stack {
            matrix: stack,
            ref rows,
        } = *stack;
        assert_eq!(x.cols, stack.cols, "inputs");
        assert_eq!(x.rows * sharing, out.rows, "items");
        let (mut kernel, workgroups) = match items.lists {
            Some(_) => self.kernel_of_tiles(stack.format, items, out.cols),
            None => self.kernel_of_items(stack.format, out),
        };
        kernel.constants[0] = set("BIAS", bias.is_some());
        let (input, scales) = match items.lists {
            Some(_) => self.input(x, stack.format),
            None => (self.plain_input(x, stack.format), None),
        };
        let bias = self.bias(bias);
        let by = items.lists.as_ref().unwrap_or(&items.routes);
        for slice in &stack.slices {
            let params = [
                slice.rows.len() as u32,
                // Where the first expert's begin, seen from the slice.
                (rows.start as u32).wrapping_sub(slice.rows.start as u32),
                stack.row_bytes as u32,
                stack.cols as u32,
                (stack.rows / items.experts) as u32,
                out.cols as u32,
                sharing as u32,
                items.tokens as u32,
            ];
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
        self.recorder.count(Work {
            bytes: (readings * out.cols * stack.row_bytes) as u64,
            multiplications: (out.rows * out.cols * stack.cols) as u64,
        });
    }

    /// The shader that takes one item after the other.
    fn kernel_of_items(&self, format: Format, out: &Tensor) -> (Kernel, [u32; 3]) {
        let op = EXPERTS.few(format);
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
