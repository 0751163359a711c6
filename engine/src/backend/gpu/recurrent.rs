//! Layers that remember a state: convolutions, Gated DeltaNet and Mamba-2.

use super::GpuError;
use super::context::{Buffer, Context};
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::products::set;
use super::tensor::Tensor;
use super::weights::GpuVector;
use crate::backend::{Backend, DeltaInputs, DeltaWeights, SsmInputs, SsmWeights, Step};
use crate::cache::StateSource;
use kernels::recurrent::{ConvShape, DeltaShape, RecurrentShape, SsmShape, State};
use shaders::Op;
use std::sync::Arc;

/// What `shaders/wgsl/delta_rule.wgsl`, `ssm_scan.wgsl` and `conv_keep.wgsl` have room
/// for.
const MOST_DIM: usize = 128;
const MOST_STATE: usize = 256;
const MOST_WIDTH: usize = 16;

/// The state of a layer: as the last step left it, as it was before that, and as it
/// was when it was marked.
pub struct GpuState {
    state: Arc<Buffer>,
    saved: Arc<Buffer>,
    marked: Arc<Buffer>,
    /// Whether a step has begun with it that has not succeeded.
    begun: bool,
}

impl GpuState {
    pub(super) fn new(context: &Arc<Context>, shape: &RecurrentShape) -> Result<Self, GpuError> {
        let len_bytes = 4 * shape.state_len().iter().sum::<usize>() as u64;
        let buffer = || context.try_storage("a state", len_bytes);
        Ok(GpuState {
            state: buffer()?,
            saved: buffer()?,
            marked: buffer()?,
            begun: false,
        })
    }

    /// Whether these layers can be computed.
    pub(super) fn check(shape: &RecurrentShape) -> Result<(), GpuError> {
        let what = match shape {
            _ if shape.conv().width > MOST_WIDTH => "convolutions of such width",
            RecurrentShape::Delta(delta) if delta.head_dim > MOST_DIM => {
                "Gated DeltaNet with such wide heads"
            }
            RecurrentShape::Ssm(ssm) if ssm.state > MOST_STATE => "Mamba-2 with such large states",
            _ => return Ok(()),
        };
        Err(GpuError::Layers { what })
    }

    /// Takes over what the CPU has.
    pub(super) fn fill(&self, context: &Context, state: &State, marked: Option<&State>) {
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
        let mut mixed = self.tensor(inputs.qkv.rows, channels);
        let of_layer = RecurrentShape::Delta(*shape);
        let conv = (weights.conv, None);
        self.conv(layer, &of_layer, conv, inputs.qkv, step, &mut mixed);
        for sequence in &mut step.sequences {
            let layer = sequence.cache.gpu_state_mut(layer);
            let [inputs_len, _] = of_layer.state_len();
            let workgroups = self.columns(Op::DeltaRule, shape.values());
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
                    sequence.rows.len() as u32,
                    sequence.rows.start as u32,
                    shape.n_head_k as u32,
                    shape.n_head_v as u32,
                    shape.head_dim as u32,
                    channels as u32,
                    inputs_len as u32,
                    weights.eps.to_bits(),
                    shape.in_a_row() as u32,
                ],
                workgroups,
            );
        }
        out.is_written(false);
    }

    /// A layer of Mamba-2: see [`Backend::ssm`].
    pub(super) fn scan(
        &mut self,
        layer: usize,
        shape: &SsmShape,
        weights: &SsmWeights<'_, GpuBackend>,
        inputs: &SsmInputs<'_, GpuBackend>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        let channels = shape.channels();
        let mut mixed = self.tensor(inputs.x.rows, channels);
        let of_layer = RecurrentShape::Ssm(*shape);
        let conv = (weights.conv, weights.conv_bias);
        self.conv(layer, &of_layer, conv, inputs.x, step, &mut mixed);
        for sequence in &mut step.sequences {
            let layer = sequence.cache.gpu_state_mut(layer);
            let [inputs_len, _] = of_layer.state_len();
            let workgroups = self.columns(Op::SsmScan, shape.values());
            self.recorder.dispatch(
                Kernel::new(Op::SsmScan, &[]),
                &[
                    &mixed.float,
                    &inputs.steps.float,
                    &weights.a.buffer,
                    &weights.dt_bias.buffer,
                    &weights.d.buffer,
                    &layer.state,
                    &out.float,
                ],
                &[
                    sequence.rows.len() as u32,
                    sequence.rows.start as u32,
                    shape.n_head as u32,
                    shape.n_group as u32,
                    shape.head_dim as u32,
                    shape.state as u32,
                    channels as u32,
                    inputs_len as u32,
                ],
                workgroups,
            );
        }
        out.is_written(false);
    }

    /// The convolution of a layer, which its states begin a step with; silu follows
    /// where it is not all of the layer.
    pub(super) fn conv(
        &mut self,
        layer: usize,
        shape: &RecurrentShape,
        (weights, bias): (&GpuVector, Option<&GpuVector>),
        x: &Tensor,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        let ConvShape { channels, width } = shape.conv();
        let mut kernel = Kernel::new(Op::Conv, &[]);
        kernel.constants[0] = set("SILU", !matches!(shape, RecurrentShape::Conv(_)));
        kernel.constants[1] = set("BIAS", bias.is_some());
        let bias = self.bias(bias);
        for sequence in &mut step.sequences {
            let (source, mark) = sequence.cache.next_source();
            let layer = sequence.cache.gpu_state_mut(layer);
            self.begin_state(layer, shape, source, mark);
            let tokens = sequence.rows.len();
            let params = [tokens, sequence.rows.start, channels, width];
            let params = params.map(|param| param as u32);
            let workgroups = self.elements(Op::Conv, tokens * channels);
            self.recorder.dispatch(
                kernel,
                &[&x.float, &weights.buffer, &layer.state, &out.float, &bias],
                &params,
                workgroups,
            );
            let workgroups = self.elements(Op::ConvKeep, channels);
            self.recorder.dispatch(
                Kernel::new(Op::ConvKeep, &[]),
                &[&x.float, &layer.state],
                &params,
                workgroups,
            );
        }
        out.is_written(false);
    }

    /// Brings a state to where the step goes on from.
    fn begin_state(
        &mut self,
        layer: &mut GpuState,
        shape: &RecurrentShape,
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
        let workgroups = self.elements(Op::StateBegin, len);
        self.recorder.dispatch(
            Kernel::new(Op::StateBegin, &[]),
            &[&layer.state, &layer.saved, &layer.marked],
            &[len as u32, source, u32::from(mark)],
            workgroups,
        );
        layer.begun = true;
    }
}
