//! Mixtures of experts: one expert after the other, each with the tokens that use it.

use super::{CpuBackend, Tensor};
use crate::backend::{Backend, Experts, Gating, MIN_WEIGHT_SUM, Routing, Stack};
use crate::tensors::Vector;
use kernels::matmul::{Job, Store};
use kernels::ops;
use kernels::team::MatMut;

impl CpuBackend<'_> {
    /// `sum += Σ weight_e · down_e(activation(gate_e(x)) · up_e(x))`.
    pub(super) fn add_experts(
        &mut self,
        x: &Tensor,
        experts: &Experts<'_, Self>,
        sum: &mut Tensor,
    ) {
        let routes = self.route(x, experts);
        fn job<'a>(
            stack: &'a Stack<'_, CpuBackend<'_>>,
            bias: Option<&'a Vector>,
            (expert, count): (usize, usize),
            out: &'a mut Tensor,
        ) -> Job<'a> {
            let width = out.cols;
            let first = expert * (stack.matrix.rows / count) + stack.rows.start;
            Job {
                weight: stack.matrix.view().slice_rows(first..first + width),
                out: MatMut::new(&mut out.data, out.rows),
                store: match bias {
                    Some(bias) => Store::Bias(&bias.values()[expert * width..][..width]),
                    None => Store::Set,
                },
            }
        }
        let [gate_bias, up_bias, down_bias] = match &experts.biases {
            Some(biases) => [biases.gate, biases.up, biases.down].map(Some),
            None => [None; 3],
        };
        for expert in 0..experts.count {
            let (users, weights): (Vec<usize>, Vec<f32>) = routes
                .iter()
                .enumerate()
                .filter_map(|(row, route)| {
                    let (_, weight) = route.iter().find(|(used, _)| *used == expert)?;
                    Some((row, *weight))
                })
                .unzip();
            if users.is_empty() {
                continue;
            }
            let x = self.select(x, &users);
            let stacks = [&experts.gate, &experts.up, &experts.down];
            let [mut gate, mut up, mut down] =
                stacks.map(|stack| self.tensor(users.len(), stack.rows.len()));
            let expert = (expert, experts.count);
            self.run(
                &x,
                &mut [
                    job(&experts.gate, gate_bias, expert, &mut gate),
                    job(&experts.up, up_bias, expert, &mut up),
                ],
            );
            self.gate_mul(experts.activation, &mut gate, &up);
            self.run(
                &gate,
                &mut [job(&experts.down, down_bias, expert, &mut down)],
            );
            for (index, (&row, weight)) in users.iter().zip(weights).enumerate() {
                for (sum, value) in sum.row_mut(row).iter_mut().zip(down.row(index)) {
                    *sum = weight.mul_add(*value, *sum);
                }
            }
        }
    }

    /// Which tokens use which expert, with what weight: `[token]` lists of
    /// (expert, weight), experts ascending.
    fn route(&mut self, x: &Tensor, experts: &Experts<'_, Self>) -> Vec<Vec<(usize, f32)>> {
        let mut scores = self.tensor(x.rows, experts.count);
        let out = MatMut::new(&mut scores.data, x.rows);
        self.run(
            x,
            &mut [Job {
                weight: experts.router.view(),
                out,
                store: match &experts.biases {
                    Some(biases) => Store::Bias(biases.router.values()),
                    None => Store::Set,
                },
            }],
        );
        let bias = experts.selection_bias.map(Vector::values);
        (0..x.rows)
            .map(|row| self.choose(scores.row_mut(row), bias, experts))
            .collect()
    }

    /// The experts that a token's scores choose, ascending, with their weights.
    fn choose(
        &self,
        values: &mut [f32],
        bias: Option<&[f32]>,
        experts: &Experts<'_, Self>,
    ) -> Vec<(usize, f32)> {
        let isa = self.kernels.isa();
        let Routing {
            gating,
            normalized,
            scale,
        } = experts.routing;
        match gating {
            Gating::Chosen => {}
            Gating::Softmax => ops::softmax_row(isa, values),
            Gating::Sigmoid => values.iter_mut().for_each(|x| *x = ops::sigmoid_of(*x)),
        }
        let rank = |expert: usize| values[expert] + bias.map_or(0.0, |bias| bias[expert]);
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)).then(a.cmp(&b)));
        order.truncate(experts.used);
        order.sort_unstable();
        let mut weights: Vec<f32> = order.iter().map(|&expert| values[expert]).collect();
        if gating == Gating::Chosen {
            ops::softmax_row(isa, &mut weights);
        }
        if normalized {
            let sum = weights.iter().sum::<f32>();
            // What is no number stays so.
            let divisor = if sum < MIN_WEIGHT_SUM {
                MIN_WEIGHT_SUM
            } else {
                sum
            };
            weights.iter_mut().for_each(|weight| *weight /= divisor);
        }
        if scale != 1.0 {
            weights.iter_mut().for_each(|weight| *weight *= scale);
        }
        order.into_iter().zip(weights).collect()
    }
}
