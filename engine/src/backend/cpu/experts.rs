//! Mixtures of experts: every token through the few that it chose, all experts at once.

use super::{CpuBackend, Tensor};
use crate::backend::{Backend, ExpertGroups, Experts, Gating, MIN_WEIGHT_SUM, Routing, Stack};
use crate::tensors::Vector;
use kernels::Isa;
use kernels::matmul::{Group, Job, Store};
use kernels::ops;
use kernels::team::MatMut;
use std::cmp::Reverse;
use std::ops::Range;

/// Tokens whose experts a thread chooses in one go.
const ROUTED: usize = 8;

/// Who goes where. Every use of an expert by a token has a *slot*, those of an expert
/// one after the other.
struct Plan {
    /// Experts there are.
    count: usize,
    /// Experts that are used, those of most tokens first, and their slots.
    used: Vec<(usize, Range<usize>)>,
    /// The token of each slot.
    rows: Vec<usize>,
    /// Of each token its slots and their weights, experts ascending.
    terms: Vec<Vec<(usize, f32)>>,
}

impl Plan {
    /// From what tokens chose among `count` experts: lists of (expert, weight),
    /// experts ascending.
    fn new(mut chosen: Vec<Vec<(usize, f32)>>, count: usize) -> Plan {
        let mut uses = vec![0; count];
        for &(expert, _) in chosen.iter().flatten() {
            uses[expert] += 1;
        }
        // The same place in this order has about the same number of tokens from layer to
        // layer, and with it buffers of about the same size.
        let mut order: Vec<usize> = (0..count).filter(|&expert| uses[expert] > 0).collect();
        order.sort_by_key(|&expert| Reverse(uses[expert]));
        let mut next = vec![0; count];
        let mut slots = 0;
        let mut used = Vec::with_capacity(order.len());
        for expert in order {
            next[expert] = slots;
            slots += uses[expert];
            used.push((expert, next[expert]..slots));
        }
        let mut rows = vec![0; slots];
        for (row, chosen) in chosen.iter_mut().enumerate() {
            for (expert, _) in chosen {
                let slot = next[*expert];
                next[*expert] += 1;
                rows[slot] = row;
                *expert = slot;
            }
        }
        Plan {
            count,
            used,
            rows,
            terms: chosen,
        }
    }

    /// A product with each expert's rows of a stack, into its slots.
    fn jobs<'a>(
        &'a self,
        stack: &'a Stack<'_, CpuBackend<'_>>,
        bias: Option<&'a Vector>,
        out: &'a mut Tensor,
    ) -> impl Iterator<Item = Job<'a>> {
        let cols = out.cols;
        let mut rest = &mut out.data[..];
        self.used.iter().map(move |(expert, slots)| {
            let (out, after) = std::mem::take(&mut rest).split_at_mut(slots.len() * cols);
            rest = after;
            let first = expert * (stack.matrix.rows / self.count) + stack.rows.start;
            Job {
                weight: stack.matrix.view().slice_rows(first..first + cols),
                out: MatMut::new(out, slots.len()),
                store: match bias {
                    Some(bias) => Store::Bias(&bias.values()[expert * cols..][..cols]),
                    None => Store::Set,
                },
            }
        })
    }

    /// Each expert's products, of the rows of its slots.
    fn groups<'x, 'j>(
        &self,
        x: &'x Tensor,
        jobs: impl Iterator<Item = Vec<Job<'j>>>,
    ) -> Vec<Group<'x, 'j>> {
        let group = |(jobs, (_, slots)): (_, &(usize, Range<usize>))| Group {
            x: &x.data[slots.start * x.cols..slots.end * x.cols],
            rows: slots.len(),
            jobs,
        };
        jobs.zip(&self.used).map(group).collect()
    }
}

impl CpuBackend<'_> {
    /// See [`Backend::experts`].
    pub(super) fn add_experts(
        &mut self,
        x: &Tensor,
        experts: &Experts<'_, Self>,
        sum: &mut Tensor,
    ) {
        let chosen = self.route(experts.router_input.unwrap_or(x), experts);
        let plan = Plan::new(chosen, experts.count);
        let slots = plan.rows.len();
        let width = experts.up.rows.len();
        let mut gate = self.tensor(experts.gate.as_ref().map_or(0, |_| slots), width);
        let mut up = self.tensor(slots, width);
        let mut down = self.tensor(slots, experts.down.rows.len());
        let [gate_bias, up_bias, down_bias] = match &experts.biases {
            Some(biases) => [biases.gate, biases.up, biases.down].map(Some),
            None => [None; 3],
        };
        {
            let ups = plan.jobs(&experts.up, up_bias, &mut up);
            let gates = experts.gate.as_ref();
            let mut gates = gates.map(|stack| plan.jobs(stack, gate_bias, &mut gate));
            if x.rows == 1 {
                self.run(x, gates.into_iter().flatten().chain(ups).collect());
            } else {
                let x = self.select(x, &plan.rows);
                let mut next_gate = || gates.as_mut().and_then(Iterator::next);
                let jobs = ups.map(|up| next_gate().into_iter().chain([up]).collect());
                self.run_groups(&mut plan.groups(&x, jobs));
            }
        }
        let hidden = match &experts.gate {
            Some(_) => {
                self.gate_mul(experts.activation, &mut gate, &up);
                &gate
            }
            None => {
                self.activate(experts.activation, &mut up);
                &up
            }
        };
        let downs = plan.jobs(&experts.down, down_bias, &mut down);
        self.run_groups(&mut plan.groups(hidden, downs.map(|down| vec![down])));
        self.region.label("add_weighted");
        let isa = self.kernels.isa();
        if !experts.adds {
            let rows = |_, row: &mut [f32]| row.fill(0.0);
            self.region.chunks_mut(&mut sum.data, sum.cols, rows);
        }
        ops::add_weighted(self.region, isa, &mut sum.data, &down.data, &plan.terms);
    }

    /// Which experts each token uses, with what weight: lists of (expert, weight),
    /// experts ascending.
    fn route(&mut self, x: &Tensor, experts: &Experts<'_, Self>) -> Vec<Vec<(usize, f32)>> {
        let mut scores = self.tensor(x.rows, experts.count);
        let out = MatMut::new(&mut scores.data, x.rows);
        self.run(
            x,
            vec![Job {
                weight: experts.router.view(),
                out,
                store: match &experts.biases {
                    Some(biases) => Store::Bias(biases.router.values()),
                    None => Store::Set,
                },
            }],
        );
        self.region.label("choose");
        let isa = self.kernels.isa();
        let bias = experts.selection_bias.map(Vector::values);
        let factors = experts.factors.map(Vector::values);
        let (used, routing) = (experts.used, &experts.routing);
        let rows = scores.data.chunks_exact_mut(experts.count);
        let mut tokens: Vec<_> = rows.map(|scores| (scores, Vec::new())).collect();
        self.region.chunks_mut(&mut tokens, ROUTED, |_, tokens| {
            for (scores, chosen) in tokens {
                *chosen = choose(isa, scores, bias, used, routing);
                if let Some(factors) = factors {
                    let chosen = chosen.iter_mut();
                    chosen.for_each(|(expert, weight)| *weight *= factors[*expert]);
                }
            }
        });
        tokens.into_iter().map(|(_, chosen)| chosen).collect()
    }
}

/// The experts that a token's scores choose, ascending, with their weights.
fn choose(
    isa: Isa,
    values: &mut [f32],
    bias: Option<&[f32]>,
    used: usize,
    routing: &Routing,
) -> Vec<(usize, f32)> {
    let Routing {
        gating,
        normalized,
        scale,
        groups,
    } = *routing;
    match gating {
        Gating::Chosen => {}
        Gating::Softmax => ops::softmax_row(isa, values),
        Gating::Sigmoid => values.iter_mut().for_each(|x| *x = ops::sigmoid_of(*x)),
    }
    let rank = |expert: usize| values[expert] + bias.map_or(0.0, |bias| bias[expert]);
    let mut order = match groups {
        Some(groups) => of_groups(groups, values.len(), rank),
        None => (0..values.len()).collect(),
    };
    let higher = |&a: &usize, &b: &usize| rank(b).total_cmp(&rank(a)).then(a.cmp(&b));
    if used < order.len() {
        order.select_nth_unstable_by(used, higher);
        order.truncate(used);
    }
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

/// Those of `count` experts that are in groups which a token uses.
fn of_groups(groups: ExpertGroups, count: usize, rank: impl Fn(usize) -> f32) -> Vec<usize> {
    let size = count / groups.count;
    let experts = |group: usize| group * size..(group + 1) * size;
    let score = |group: usize| {
        let mut ranks: Vec<f32> = experts(group).map(&rank).collect();
        ranks.sort_unstable_by(|a, b| b.total_cmp(a));
        ranks[0] + ranks[1]
    };
    let scores: Vec<f32> = (0..groups.count).map(score).collect();
    let mut order: Vec<usize> = (0..groups.count).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let used = order.into_iter().take(groups.used);
    used.flat_map(experts).collect()
}
