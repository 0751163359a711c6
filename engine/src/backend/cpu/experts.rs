//! Mixtures of experts: every token through the few that it chose, all experts at once.

use super::super::{Backend, Experts};
use super::{CpuBackend, CpuMatrix, Tensor, Vector};
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
            used,
            rows,
            terms: chosen,
        }
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
        let plan = Plan::new(self.choose(x, experts), experts.count);
        let slots = plan.rows.len();
        let rows_each = |matrix: &CpuMatrix| matrix.rows / experts.count;
        let mut gate = self.tensor(slots, rows_each(experts.gate));
        let mut up = self.tensor(slots, rows_each(experts.up));
        let mut down = self.tensor(slots, rows_each(experts.down));
        let [gate_bias, up_bias, down_bias] = match &experts.biases {
            Some(biases) => [biases.gate, biases.up, biases.down].map(Some),
            None => [None; 3],
        };
        let gates = jobs(&plan, experts.gate, gate_bias, &mut gate);
        let ups = jobs(&plan, experts.up, up_bias, &mut up);
        if x.rows == 1 {
            self.run(x, gates.chain(ups).collect());
        } else {
            let x = self.select(x, &plan.rows);
            let groups = gates.zip(ups).zip(&plan.used);
            let group = |((gate, up), (_, slots)): ((_, _), &(_, Range<usize>))| {
                x.group(slots.clone(), vec![gate, up])
            };
            self.run_groups(&mut groups.map(group).collect::<Vec<_>>());
        }
        self.gate_mul(experts.activation, &mut gate, &up);
        let downs = jobs(&plan, experts.down, down_bias, &mut down).zip(&plan.used);
        let group =
            |(down, (_, slots)): (_, &(_, Range<usize>))| gate.group(slots.clone(), vec![down]);
        self.run_groups(&mut downs.map(group).collect::<Vec<_>>());
        self.region.label("add_weighted");
        let isa = self.kernels.isa();
        ops::add_weighted(self.region, isa, &mut sum.data, &down.data, &plan.terms);
    }

    /// Which experts each token uses, with what weight: lists of (expert, weight),
    /// experts ascending.
    fn choose(&mut self, x: &Tensor, experts: &Experts<'_, Self>) -> Vec<Vec<(usize, f32)>> {
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
        let mut chosen = vec![Vec::new(); x.rows];
        self.region.chunks_mut(&mut chosen, ROUTED, |unit, chosen| {
            for (row, chosen) in (ROUTED * unit..).zip(chosen) {
                let row = scores.row(row);
                let mut order: Vec<usize> = (0..row.len()).collect();
                let higher = |&a: &usize, &b: &usize| row[b].total_cmp(&row[a]).then(a.cmp(&b));
                if experts.used < order.len() {
                    order.select_nth_unstable_by(experts.used, higher);
                    order.truncate(experts.used);
                }
                order.sort_unstable();
                let mut weights: Vec<f32> = order.iter().map(|&expert| row[expert]).collect();
                ops::softmax_row(isa, &mut weights);
                *chosen = order.into_iter().zip(weights).collect();
            }
        });
        chosen
    }
}

impl Tensor {
    /// Some rows and the products that are to be made of them.
    fn group<'j>(&self, rows: Range<usize>, jobs: Vec<Job<'j>>) -> Group<'_, 'j> {
        Group {
            x: &self.data[rows.start * self.cols..rows.end * self.cols],
            rows: rows.len(),
            jobs,
        }
    }
}

/// A product with each expert's rows of a stack, into its slots.
fn jobs<'a>(
    plan: &'a Plan,
    stack: &'a CpuMatrix,
    bias: Option<&'a Vector>,
    out: &'a mut Tensor,
) -> impl Iterator<Item = Job<'a>> {
    let cols = out.cols;
    let mut rest = &mut out.data[..];
    plan.used.iter().map(move |(expert, slots)| {
        let (out, after) = std::mem::take(&mut rest).split_at_mut(slots.len() * cols);
        rest = after;
        let rows = expert * cols..(expert + 1) * cols;
        Job {
            weight: stack.view().slice_rows(rows.clone()),
            out: MatMut::new(out, slots.len()),
            store: match bias {
                Some(bias) => Store::Bias(&bias.values()[rows]),
                None => Store::Set,
            },
        }
    })
}
