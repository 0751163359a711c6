//! Operations on heads one by one.

use super::context::Buffer;
use super::ops::{GpuBackend, tile_of};
use super::pipelines::Kernel;
use super::products::{format_piece, of_input};
use super::profile::Work;
use super::tensor::Tensor;
use super::weights::GpuMatrix;
use shaders::table::Workgroup;
use shaders::{Op, piece};
use std::sync::Arc;

impl GpuBackend {
    /// What puts pieces of two tensors together, or takes rows of so many values
    /// apart.
    pub(super) fn pieces(
        &mut self,
        op: Op,
        buffers: [&Arc<Buffer>; 3],
        len: usize,
        widths: [usize; 2],
    ) {
        let workgroups = self.elements(op, len);
        let [first, second] = widths.map(|width| width as u32);
        self.recorder.dispatch(
            Kernel::new(op, &[]),
            &buffers,
            &[len as u32, first, second],
            workgroups,
        );
    }

    /// See [`crate::backend::Backend::head_products`].
    pub(super) fn products_of_heads(
        &mut self,
        x: &Tensor,
        weight: &GpuMatrix,
        heads: usize,
        out: &mut Tensor,
    ) {
        let tokens = x.rows / heads;
        assert_eq!(x.cols, weight.cols, "inputs");
        assert_eq!(
            (x.rows, weight.rows),
            (out.rows, heads * out.cols),
            "heads and outputs"
        );
        let op = of_input([Op::HeadsInt8, Op::HeadsFloat], weight.format);
        let input = self.plain_input(x, weight.format);
        let (tile, tokens_piece) = tile_of(piece::TOKENS, tokens);
        let pieces = [format_piece(weight.format), tokens_piece, self.teams()];
        let kernel = Kernel::new(op, &pieces);
        let Workgroup::Rows(rows) = op.shader().workgroup else {
            panic!("{op:?} counts rows");
        };
        let [wide, high, _] = self.spread(out.cols.div_ceil(rows as usize));
        for slice in &weight.slices {
            self.recorder.dispatch(
                kernel,
                &[&slice.buffer, &input, &out.float],
                &[
                    slice.rows.len() as u32,
                    // Where the first head's begin, seen from the slice.
                    0u32.wrapping_sub(slice.rows.start as u32),
                    weight.row_bytes as u32,
                    weight.cols as u32,
                    out.cols as u32,
                    heads as u32,
                    tokens as u32,
                ],
                [wide, high, (heads * tokens.div_ceil(tile)) as u32],
            );
        }
        out.is_written(false);
        self.recorder.count(Work {
            bytes: (weight.rows * weight.row_bytes) as u64,
            multiplications: (x.rows * out.cols * weight.cols) as u64,
        });
    }
}
