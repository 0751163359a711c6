//! Layers of Gated DeltaNet, and what they remember.

use super::GpuError;
use super::context::{Buffer, Context};
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::tensor::Tensor;
use crate::backend::{Backend, DeltaInputs, DeltaWeights, Step};
use crate::cache::StateSource;
use kernels::delta::{DeltaShape, DeltaState};
use shaders::Op;
use std::sync::Arc;

/// What `shaders/wgsl/delta_rule.wgsl` and `delta_keep.wgsl` have room for.
const MOST_DIM: usize = 128;
const MOST_WIDTH: usize = 16;

/// The state of a layer: as the last step left it, as it was before that, and as it
/// was when it was marked.
pub struct GpuDeltaState {
    state: Arc<Buffer>,
    saved: Arc<Buffer>,
    marked: Arc<Buffer>,
    /// Whether a step has begun with it that has not succeeded.
    begun: bool,
}

impl GpuDeltaState {
    pub(super) fn new(context: &Arc<Context>, shape: &DeltaShape) -> Result<Self, GpuError> {
        let len_bytes = 4 * shape.state_len().iter().sum::<usize>() as u64;
        let buffer = || context.try_storage("a state", len_bytes);
        Ok(GpuDeltaState {
            state: buffer()?,
            saved: buffer()?,
            marked: buffer()?,
            begun: false,
        })
    }

    /// Whether these layers can be computed.
    pub(super) fn check(shape: &DeltaShape) -> Result<(), GpuError> {
        match shape.head_dim <= MOST_DIM && shape.width <= MOST_WIDTH {
            true => Ok(()),
            false => Err(GpuError::Layers {
                what: "Gated DeltaNet with such wide heads or convolutions",
            }),
        }
    }

    /// Takes over what the CPU has.
    pub(super) fn fill(&self, context: &Context, state: &DeltaState, marked: Option<&DeltaState>) {
        context.fill(&self.state, 0, bytemuck::cast_slice(&state.values()));
        if let Some(marked) = marked {
            context.fill(&self.marked, 0, bytemuck::cast_slice(&marked.values()));
        }
    }

    /// The step that it began has succeeded.
    pub fn advance(&mut self) {
        self.begun = false;
    }
}

impl GpuBackend {
    /// A layer of Gated DeltaNet: see [`Backend::delta_net`].
    pub(super) fn delta(
        &mut self,
        layer: usize,
        shape: &DeltaShape,
        weights: &DeltaWeights<'_, GpuBackend>,
        inputs: &DeltaInputs<'_, GpuBackend>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        let channels = shape.channels();
        let mixed = self.tensor(inputs.qkv.rows, channels);
        for sequence in &mut step.sequences {
            let (source, mark) = sequence.cache.next_source();
            let layer = sequence.cache.gpu_state_mut(layer);
            self.begin_state(layer, shape, source, mark);
            let params = [
                sequence.rows.len(),
                sequence.rows.start,
                channels,
                shape.width,
            ];
            let params = params.map(|param| param as u32);
            let x = &inputs.qkv.float;
            let workgroups = self.elements(Op::DeltaMix, sequence.rows.len() * channels);
            self.recorder.dispatch(
                Kernel::new(Op::DeltaMix, &[]),
                &[x, &weights.conv.buffer, &layer.state, &mixed.float],
                &params,
                workgroups,
            );
            let workgroups = self.elements(Op::DeltaKeep, channels);
            self.recorder.dispatch(
                Kernel::new(Op::DeltaKeep, &[]),
                &[x, &layer.state],
                &params,
                workgroups,
            );
            let [inputs_len, _] = shape.state_len();
            let workgroups = self.spread(shape.values() / 16);
            self.recorder.dispatch(
                Kernel::new(Op::DeltaRule, &[]),
                &[
                    &mixed.float,
                    &inputs.alpha.float,
                    &inputs.beta.float,
                    &weights.a.buffer,
                    &weights.bias.buffer,
                    &layer.state,
                    &out.float,
                ],
                &[
                    params[0],
                    params[1],
                    shape.n_head_k as u32,
                    shape.n_head_v as u32,
                    shape.head_dim as u32,
                    channels as u32,
                    inputs_len as u32,
                    weights.eps.to_bits(),
                ],
                workgroups,
            );
        }
        out.is_written(false);
    }

    /// Brings a state to where the step goes on from.
    fn begin_state(
        &mut self,
        layer: &mut GpuDeltaState,
        shape: &DeltaShape,
        source: StateSource,
        mark: bool,
    ) {
        let source = match source {
            StateSource::Last if !layer.begun => 0,
            StateSource::Last => 1,
            StateSource::Mark => 2,
            StateSource::Nothing => 3,
        };
        let len = shape.state_len().iter().sum();
        let workgroups = self.elements(Op::DeltaBegin, len);
        self.recorder.dispatch(
            Kernel::new(Op::DeltaBegin, &[]),
            &[&layer.state, &layer.saved, &layer.marked],
            &[len as u32, source, u32::from(mark)],
            workgroups,
        );
        layer.begun = true;
    }
}
