//! Mixtures of experts: routed on the device, so that a token stays one
//! submission.

use super::context::Buffer;
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::products::{format_piece, set};
use super::profile::Work;
use super::tensor::Tensor;
use super::weights::{GpuMatrix, GpuVector};
use crate::backend::{Backend, Experts, Product};
use kernels::format::ActivationForm;
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
        gate,
        up,
        down,
        count,
        used,
        activation,
        ref biases,
    } = *experts;
    let mut scores = backend.tensor(x.rows, count);
    backend.matmul(
        x,
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
    backend.recorder.dispatch(
        Kernel::new(Op::Route, &[]),
        &[&scores.float, &routes],
        &[x.rows as u32, count as u32, used as u32],
        workgroups,
    );
    let mut hidden = backend.tensor(items, gate.rows / count);
    let mut other = backend.tensor(items, up.rows / count);
    let mut outputs = backend.tensor(items, down.rows / count);
    let [gate_bias, up_bias, down_bias] = match biases {
        Some(biases) => [biases.gate, biases.up, biases.down].map(Some),
        None => [None; 3],
    };
    backend.of_experts(x, (gate, gate_bias), &routes, used, &mut hidden);
    backend.of_experts(x, (up, up_bias), &routes, used, &mut other);
    backend.gate_mul(activation, &mut hidden, &other);
    backend.of_experts(&hidden, (down, down_bias), &routes, 1, &mut outputs);

    let workgroups = backend.elements(Op::Mix, x.rows * sum.cols);
    backend.recorder.dispatch(
        Kernel::new(Op::Mix, &[]),
        &[&outputs.float, &routes, &sum.float],
        &[x.rows as u32, sum.cols as u32, used as u32],
        workgroups,
    );
    sum.is_written(false);
    backend.pool.give(routes);
}

impl GpuBackend {
    /// Every item's vector times the matrix of its expert; `sharing` items in a
    /// row share a row of `x`.
    fn of_experts(
        &mut self,
        x: &Tensor,
        (stack, bias): (&GpuMatrix, Option<&GpuVector>),
        routes: &Arc<Buffer>,
        sharing: usize,
        out: &mut Tensor,
    ) {
        assert_eq!(x.cols, stack.cols, "inputs");
        assert_eq!(x.rows * sharing, out.rows, "items");
        let int8 = stack.format.info().activations == ActivationForm::Int8;
        if int8 {
            self.quantized(x);
        }
        let input = if int8 { x.int8() } else { &x.float };
        let op = if int8 {
            Op::ExpertInt8
        } else {
            Op::ExpertFloat
        };
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
                &[&slice.buffer, input, routes, &out.float, &bias],
                &[
                    slice.rows.len() as u32,
                    slice.rows.start as u32,
                    stack.row_bytes as u32,
                    stack.cols as u32,
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
