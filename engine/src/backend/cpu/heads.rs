//! Operations on heads one by one.

use super::{CpuBackend, CpuMatrix, Tensor};
use crate::backend::{Backend, QueriesAndKeys};
use kernels::matmul::{Group, Job, Store};
use kernels::ops;
use kernels::team::MatMut;

impl CpuBackend<'_> {
    /// Norms and turns heads of queries and, if there are new ones, of keys: see
    /// [`Backend::attention`].
    pub(super) fn prepare(
        &mut self,
        head_dim: usize,
        prepared: &QueriesAndKeys<'_, Self>,
        positions: &[usize],
        q: &mut Tensor,
        mut k: Option<&mut Tensor>,
    ) {
        let norms = prepared.norms.as_ref();
        let after_turn = norms.is_some_and(|norms| norms.after_turn);
        if !after_turn {
            self.norm_heads(prepared, q, &mut k);
        }
        self.region.label("rope");
        if let Some(rope) = prepared.rope {
            let (region, isa) = (self.region, self.kernels.isa());
            let angles = self.angles(rope, positions);
            for x in [Some(&mut *q), k.as_deref_mut()].into_iter().flatten() {
                ops::rope(region, isa, &mut x.data, head_dim, angles);
            }
        }
        if after_turn {
            self.norm_heads(prepared, q, &mut k);
        }
    }

    fn norm_heads(
        &mut self,
        prepared: &QueriesAndKeys<'_, Self>,
        q: &mut Tensor,
        k: &mut Option<&mut Tensor>,
    ) {
        let Some(norms) = &prepared.norms else { return };
        self.region.label("head norms");
        let keys = k.as_deref_mut().zip(norms.k);
        for (x, norm) in [Some((q, norms.q)), keys].into_iter().flatten() {
            let isa = self.kernels.isa();
            ops::norm_in_place(self.region, isa, &norm.view(), &mut x.data);
        }
    }

    /// See [`Backend::deal`].
    pub(super) fn deal_pieces(
        &mut self,
        x: &Tensor,
        [a, b]: [usize; 2],
        first: &mut Tensor,
        second: &mut Tensor,
    ) {
        self.region.label("deal");
        let pieces = x.cols / (a + b);
        let mut rows: Vec<_> = (x.data.chunks_exact(x.cols))
            .zip(first.data.chunks_exact_mut(pieces * a))
            .zip(second.data.chunks_exact_mut(pieces * b))
            .collect();
        self.region.chunks_mut(&mut rows, 1, |_, rows| {
            for ((x, first), second) in rows {
                let parts = first.chunks_exact_mut(a).zip(second.chunks_exact_mut(b));
                for (x, (first, second)) in x.chunks_exact(a + b).zip(parts) {
                    first.copy_from_slice(&x[..a]);
                    second.copy_from_slice(&x[a..]);
                }
            }
        });
    }

    /// See [`Backend::join`].
    pub(super) fn join_pieces(
        &mut self,
        first: &Tensor,
        second: &Tensor,
        [a, b]: [usize; 2],
        out: &mut Tensor,
    ) {
        self.region.label("join");
        let (first, second, cols) = (&first.data, &second.data, out.cols);
        let pieces = cols / (a + b);
        self.region.chunks_mut(&mut out.data, cols, |row, out| {
            for (index, out) in out.chunks_exact_mut(a + b).enumerate() {
                let at = row * pieces + index;
                out[..a].copy_from_slice(&first[at * a..][..a]);
                out[a..].copy_from_slice(&second[at * b..][..b]);
            }
        });
    }

    /// See [`Backend::head_products`].
    pub(super) fn products_of_heads(
        &mut self,
        x: &Tensor,
        weight: &CpuMatrix,
        heads: usize,
        out: &mut Tensor,
    ) {
        let tokens = x.rows / heads;
        if tokens == 1 {
            return self.products_by_head(&x.data, weight, heads, &mut out.data);
        }
        // What meets a matrix lies side by side.
        let mut by_head = self.tensor(x.rows, x.cols);
        self.exchange(x, [tokens, heads], &mut by_head);
        let mut products = self.tensor(out.rows, out.cols);
        self.products_by_head(&by_head.data, weight, heads, &mut products.data);
        self.exchange(&products, [heads, tokens], out);
    }

    /// `[heads, tokens, inputs]` times the matrix of each head.
    fn products_by_head(&mut self, x: &[f32], weight: &CpuMatrix, heads: usize, out: &mut [f32]) {
        let (all, outputs) = (weight.view(), weight.rows / heads);
        let tokens = x.len() / (heads * weight.cols);
        let parts = (x.chunks_exact(tokens * weight.cols))
            .zip(out.chunks_exact_mut(tokens * outputs))
            .enumerate();
        let group = |(head, (x, out))| Group {
            x,
            rows: tokens,
            jobs: vec![Job {
                weight: all.slice_rows(head * outputs..(head + 1) * outputs),
                out: MatMut::new(out, tokens),
                store: Store::Set,
            }],
        };
        self.run_groups(&mut parts.map(group).collect::<Vec<_>>());
    }

    /// `out[j, i] = x[i, j]`, which are rows.
    fn exchange(&mut self, x: &Tensor, [n, m]: [usize; 2], out: &mut Tensor) {
        self.region.label("exchange");
        self.region.chunks_mut(&mut out.data, x.cols, |index, out| {
            let (j, i) = (index / n, index % n);
            out.copy_from_slice(x.row(i * m + j));
        });
    }
}
