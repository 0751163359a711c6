//! Mixtures of experts: routed on the device, so that a token stays one
//! submission.

use super::context::Buffer;
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::products::{format_piece, is_int8, set};
use super::profile::Work;
use super::tensor::Tensor;
use super::weights::GpuVector;
use crate::backend::{Backend, ExpertGroups, Experts, Gating, MIN_WEIGHT_SUM, Product, Stack};
use shaders::Op;
use shaders::table::Workgroup;
use std::sync::Arc;

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

    // An item is a token and one of its experts.
    let items = x.rows * used;
    let routes = backend.pool.take((items * 8) as u64);
    let workgroups = backend.elements(Op::Route, x.rows);
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
    let [mut hidden, mut outputs] = [up, down].map(|stack| backend.tensor(items, stack.rows.len()));
    let [gate_bias, up_bias, down_bias] = match biases {
        Some(biases) => [biases.gate, biases.up, biases.down].map(Some),
        None => [None; 3],
    };
    let routed = (&routes, count);
    if let Some(gate) = gate {
        let mut other = backend.tensor(items, up.rows.len());
        backend.of_experts(x, (gate, gate_bias), routed, used, &mut hidden);
        backend.of_experts(x, (up, up_bias), routed, used, &mut other);
        backend.gate_mul(activation, &mut hidden, &other);
    } else {
        backend.of_experts(x, (up, up_bias), routed, used, &mut hidden);
        backend.activate(activation, &mut hidden);
    }
    backend.of_experts(&hidden, (down, down_bias), routed, 1, &mut outputs);

    let workgroups = backend.elements(Op::Mix, x.rows * sum.cols);
    let mut kernel = Kernel::new(Op::Mix, &[]);
    kernel.constants[0] = set("ADDS", adds);
    backend.recorder.dispatch(
        kernel,
        &[&outputs.float, &routes, &sum.float],
        &[x.rows as u32, sum.cols as u32, used as u32],
        workgroups,
    );
    sum.is_written(false);
    backend.pool.give(routes);
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
    /// Every item's vector times the matrix of its expert, of so many; `sharing` items
    /// in a row share a row of `x`.
    fn of_experts(
        &mut self,
        x: &Tensor,
        (stack, bias): (&Stack<'_, GpuBackend>, Option<&GpuVector>),
        (routes, count): (&Arc<Buffer>, usize),
        sharing: usize,
        out: &mut Tensor,
    ) {
        let Stack {
            matrix: stack,
            ref rows,
        } = *stack;
        let rows_each = (stack.rows / count) as u32;
        let first_row = rows.start as u32;
        assert_eq!(x.cols, stack.cols, "inputs");
        assert_eq!(x.rows * sharing, out.rows, "items");
        let op = match is_int8(stack.format) {
            true => Op::ExpertInt8,
            false => Op::ExpertFloat,
        };
        let input = self.plain_input(x, stack.format);
        let mut kernel = Kernel::new(op, &[format_piece(stack.format), self.teams()]);
        kernel.constants[0] = set("BIAS", bias.is_some());
        let bias = self.bias(bias);
        let Workgroup::Rows(rows) = op.shader().workgroup else {
            panic!("{op:?} counts rows");
        };
        let [wide, high, _] = self.spread(out.cols.div_ceil(rows as usize));
        for slice in &stack.slices {
            self.recorder.dispatch(
                kernel,
                &[&slice.buffer, &input, routes, &out.float, &bias],
                &[
                    slice.rows.len() as u32,
                    // Where the first expert's begin, seen from the slice.
                    first_row.wrapping_sub(slice.rows.start as u32),
                    stack.row_bytes as u32,
                    stack.cols as u32,
                    rows_each,
                    out.cols as u32,
                    sharing as u32,
                ],
                [wide, high, out.rows as u32],
            );
        }
        out.is_written(false);
        self.recorder.count(Work {
            bytes: (out.rows * out.cols * stack.row_bytes) as u64,
            multiplications: (out.rows * out.cols * stack.cols) as u64,
        });
    }
}
