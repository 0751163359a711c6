//! Products whose inputs are split over workgroups, and the sums of what the splits
//! leave: matrix units compute so where tiles alone make too few workgroups.

use super::context::Buffer;
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::products::{Factors, Targets, format_piece, set};
use super::units::Plan;
use super::weights::MOST_SIBLINGS;
use shaders::Op;
use std::sync::Arc;

impl GpuBackend {
    /// Products by a plan that splits their inputs.
    pub(super) fn product_in_splits(
        &mut self,
        plan: &Plan,
        factors: &Factors<'_>,
        targets: &Targets,
    ) {
        let Factors {
            x,
            weight,
            slice,
            rows,
        } = *factors;
        let [halves, scales] = x.halves();
        let values = plan.splits * x.rows * rows.next_multiple_of(4);
        let partial = self.pool.take((values * 4) as u64);
        let pieces = [format_piece(weight.format), &plan.tile.piece];
        self.recorder.dispatch(
            Kernel::new(Op::SplitMatmulUnits, &pieces),
            &[&slice.buffer, halves, &partial, scales],
            &[
                rows as u32,
                slice.begin as u32,
                weight.row_bytes as u32,
                weight.cols as u32,
                x.rows as u32,
                plan.split_inputs as u32,
            ],
            plan.workgroups,
        );
        self.count(x, weight, rows);
        self.add_splits(&partial, [plan.splits, x.rows, rows], targets);
        self.pool.give(partial);
    }

    /// Adds up what splits have left, `[splits, tokens, rows]`, and stores the
    /// products.
    pub(super) fn add_splits(
        &mut self,
        partial: &Arc<Buffer>,
        [splits, tokens, rows]: [usize; 3],
        targets: &Targets,
    ) {
        let mut kernel = Kernel::new(Op::AddSplits, &[]);
        kernel.constants[0] = set("BIAS", targets.bias);
        kernel.constants[1] = set("ADD", targets.add);
        let unused = [self.recorder.unread(), self.recorder.unwritten()];
        let mut buffers = vec![partial];
        let bound = targets.buffers.iter().chain(unused.iter().cycle());
        buffers.extend(bound.take(2 * MOST_SIBLINGS));
        let workgroups = self.elements(Op::AddSplits, tokens * rows.div_ceil(4));
        self.recorder.dispatch(
            kernel,
            &buffers,
            &[
                rows as u32,
                tokens as u32,
                splits as u32,
                targets.first_row as u32,
                targets.outputs as u32,
                targets.second as u32,
                targets.third as u32,
            ],
            workgroups,
        );
    }
}
