//! Mamba-2 in place of attention or beside it.
//!
//! ```text
//! x ─ norm ─┬─ heads, B, C ─┐
//!           ├─ steps ───────┴─ convolution, state space ─(·)─ norm of groups ─ output ─(+)
//!           └─ z ─ silu ─────────────────────────────────┘
//! ```

use super::linear::Linear;
use super::{Config, Hyperparameters, MAX_WIDTH, Norming, keep};
use crate::backend::{Activation, Backend, Device, Norm, SsmInputs, SsmWeights, Step};
use crate::error::ModelError;
use crate::tensors::Loader;
use kernels::recurrent::SsmShape;

/// Its weights in a layer.
pub struct Weights<D: Device> {
    shape: SsmShape,
    /// The rows of one tensor: gates of the results, what is convolved, and steps.
    z: Linear<D>,
    x: Linear<D>,
    steps: Linear<D>,
    conv: D::Vector,
    conv_bias: Option<D::Vector>,
    a: D::Vector,
    dt_bias: D::Vector,
    d: D::Vector,
    norm: Option<Norm<D>>,
    output: Linear<D>,
}

/// Norms of the results of groups.
pub struct GroupNorms {
    /// How they norm.
    pub norming: Norming,
    /// Whether layers may lack them.
    pub may_lack: bool,
}

impl GroupNorms {
    /// That all layers have.
    pub fn all(norming: Norming) -> Self {
        GroupNorms {
            norming,
            may_lack: false,
        }
    }
}

/// Reads and checks the hyperparameters.
pub fn shape_from_file(keys: &Hyperparameters<'_, '_>) -> Result<SsmShape, ModelError> {
    let n_group = keys.require("ssm.group_count", 1..=1024)?;
    let n_head = keys.require("ssm.time_step_rank", n_group..=1024)?;
    let state = keys.require("ssm.state_size", 16..=1024)?;
    let width = keys.require("ssm.conv_kernel", 1..=16)?;
    let values = keys.require("ssm.inner_size", 1..=MAX_WIDTH)?;
    keys.expect(
        n_head.is_multiple_of(n_group),
        "ssm.time_step_rank",
        format!("a multiple of {n_group} groups"),
        n_head,
    )?;
    keys.expect(
        state.is_multiple_of(16),
        "ssm.state_size",
        "a multiple of 16".to_owned(),
        state,
    )?;
    keys.expect(
        values.is_multiple_of(16 * n_head),
        "ssm.inner_size",
        format!("{n_head} heads of a multiple of 16"),
        values,
    )?;
    Ok(SsmShape {
        n_head,
        n_group,
        head_dim: values / n_head,
        state,
        width,
    })
}

/// Finds the tensors of layer `index`.
pub fn load<D: Device>(
    config: &Config,
    shape: &SsmShape,
    norms: &GroupNorms,
    index: usize,
    loader: &Loader<'_, D>,
) -> Result<Weights<D>, ModelError> {
    let SsmShape {
        n_head,
        n_group,
        width,
        ..
    } = *shape;
    let (channels, values) = (shape.channels(), shape.values());
    let name = |tensor: &str| format!("blk.{index}.{tensor}");
    let rows = [values, channels, n_head];
    let [z, x, steps] = Linear::load_stacked(loader, &name("ssm_in"), rows, config.n_embd)?;
    let of_groups = [values / n_group, n_group];
    Ok(Weights {
        shape: *shape,
        z,
        x,
        steps,
        conv: loader.transposed(&name("ssm_conv1d.weight"), [width, channels])?,
        conv_bias: loader.optional_vector(&name("ssm_conv1d.bias"), channels)?,
        a: loader.vector_of(&name("ssm_a"), &[1, n_head])?,
        dt_bias: loader.vector(&name("ssm_dt.bias"), n_head)?,
        d: loader.vector_of(&name("ssm_d"), &[1, n_head])?,
        norm: match norms.may_lack && !loader.has(&name("ssm_norm.weight")) {
            true => None,
            false => Some((norms.norming).load_heads(loader, &name("ssm_norm"), of_groups)?),
        },
        output: Linear::load(loader, &name("ssm_out"), config.n_embd, values)?,
    })
}

/// `x += mamba(normed)`, of the rows that the step keeps, which are those of `x`.
pub fn add<B: Backend>(
    b: &mut B,
    index: usize,
    weights: &Weights<B::Device>,
    normed: &B::Tensor,
    step: &mut Step<'_>,
    sum: &mut B::Tensor,
) {
    let shape = &weights.shape;
    let rows = step.rows();
    let mut z = b.tensor(rows, shape.values());
    let mut x = b.tensor(rows, shape.channels());
    let mut steps = b.tensor(rows, shape.n_head);
    b.matmul(
        normed,
        &mut [
            weights.z.product(&mut z),
            weights.x.product(&mut x),
            weights.steps.product(&mut steps),
        ],
    );
    let mut out = b.tensor(rows, shape.values());
    let of_layer = SsmWeights {
        conv: &weights.conv,
        conv_bias: weights.conv_bias.as_ref(),
        a: &weights.a,
        dt_bias: &weights.dt_bias,
        d: &weights.d,
    };
    let inputs = SsmInputs {
        x: &x,
        steps: &steps,
    };
    b.ssm(index, shape, &of_layer, &inputs, step, &mut out);
    let rows = keep(b, step, [&mut out, &mut z]);
    if rows == 0 {
        return;
    }
    b.gate_mul(Activation::Silu, &mut z, &out);
    if let Some(norm) = &weights.norm {
        let mut normed = b.tensor(rows, shape.values());
        b.norm(&z, norm, &mut normed);
        z = normed;
    }
    weights.output.add(b, &z, None, rows, sum);
}
