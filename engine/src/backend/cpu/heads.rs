//! Operations on heads one by one.

use super::{CpuBackend, CpuMatrix, Tensor};
use crate::backend::Backend;
use kernels::matmul::{Group, Job, Store};
use kernels::team::MatMut;

impl CpuBackend<'_> {
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
