//! Gated DeltaNet in place of attention.
//!
//! ```text
//! x ─ norm ─┬─ q,k,v ──────┐
//!           ├─ alpha, beta ─┴─ convolution, delta rule ─ norm ─(·)─ output ─(+)
//!           └─ z ─ silu ─────────────────────────────────────┘
//! ```

use super::linear::Linear;
use super::{Config, Hyperparameters};
use crate::backend::{Activation, Backend, DeltaInputs, DeltaWeights, Device, Norm, Step};
use crate::error::ModelError;
use crate::tensors::Loader;
use kernels::recurrent::DeltaShape;

/// Its weights in a layer.
pub struct Weights<D: Device> {
    shape: DeltaShape,
    qkv: Linear<D>,
    z: Linear<D>,
    alpha: Linear<D>,
    beta: Linear<D>,
    conv: D::Vector,
    a: D::Vector,
    bias: D::Vector,
    norm: Norm<D>,
    output: Linear<D>,
}

/// Reads and checks the hyperparameters.
pub fn shape_from_file(keys: &Hyperparameters<'_, '_>) -> Result<DeltaShape, ModelError> {
    let n_head_k = keys.require("ssm.group_count", 1..=1024)?;
    let n_head_v = keys.require("ssm.time_step_rank", n_head_k..=1024)?;
    let head_dim = keys.require("ssm.state_size", 16..=1024)?;
    let width = keys.require("ssm.conv_kernel", 1..=16)?;
    let values = keys.require("ssm.inner_size", 1..=super::MAX_WIDTH)?;
    let expect = |holds, name: &str, expected: String, found: usize| match holds {
        true => Ok(()),
        false => Err(ModelError::value(&keys.key(name), expected, found)),
    };
    expect(
        n_head_v.is_multiple_of(n_head_k),
        "ssm.time_step_rank",
        format!("a multiple of {n_head_k} groups"),
        n_head_v,
    )?;
    let sixteens = "a multiple of 16".to_owned();
    expect(
        head_dim.is_multiple_of(16),
        "ssm.state_size",
        sixteens,
        head_dim,
    )?;
    expect(
        values == n_head_v * head_dim,
        "ssm.inner_size",
        format!("{n_head_v} heads of {head_dim}"),
        values,
    )?;
    Ok(DeltaShape {
        n_head_k,
        n_head_v,
        head_dim,
        width,
    })
}

/// Finds the tensors of layer `index`.
pub fn load<D: Device>(
    config: &Config,
    shape: &DeltaShape,
    index: usize,
    loader: &Loader<'_, D>,
) -> Result<Weights<D>, ModelError> {
    let DeltaShape {
        n_head_v,
        head_dim,
        width,
        ..
    } = *shape;
    let (channels, values) = (shape.channels(), shape.values());
    let name = |tensor: &str| format!("blk.{index}.{tensor}");
    let products = [
        (&*name("attn_qkv"), channels),
        (&*name("attn_gate"), values),
        (&*name("ssm_alpha"), n_head_v),
        (&*name("ssm_beta"), n_head_v),
    ];
    let [qkv, z, alpha, beta] = Linear::load_siblings(loader, products, config.n_embd)?;
    Ok(Weights {
        shape: *shape,
        qkv,
        z,
        alpha,
        beta,
        conv: loader.transposed(&name("ssm_conv1d.weight"), [width, channels])?,
        a: loader.vector(&name("ssm_a"), n_head_v)?,
        bias: loader.vector(&name("ssm_dt.bias"), n_head_v)?,
        norm: (config.norming).load_heads(loader, &name("ssm_norm"), [head_dim, 1])?,
        output: Linear::load(loader, &name("ssm_out"), config.n_embd, values)?,
    })
}

/// `x += delta_net(normed)`, of the rows that the step keeps, which are those of `x`.
pub fn add<B: Backend>(
    b: &mut B,
    config: &Config,
    index: usize,
    weights: &Weights<B::Device>,
    normed: &B::Tensor,
    step: &mut Step<'_>,
    x: &mut B::Tensor,
) {
    let shape = &weights.shape;
    let rows = step.rows();
    let mut qkv = b.tensor(rows, shape.channels());
    let mut z = b.tensor(rows, shape.values());
    let mut alpha = b.tensor(rows, shape.n_head_v);
    let mut beta = b.tensor(rows, shape.n_head_v);
    b.matmul(
        normed,
        &mut [
            weights.qkv.product(&mut qkv),
            weights.z.product(&mut z),
            weights.alpha.product(&mut alpha),
            weights.beta.product(&mut beta),
        ],
    );
    let mut out = b.tensor(rows, shape.values());
    let of_layer = DeltaWeights {
        conv: &weights.conv,
        a: &weights.a,
        bias: &weights.bias,
        eps: config.norming.eps,
    };
    let inputs = DeltaInputs {
        qkv: &qkv,
        alpha: &alpha,
        beta: &beta,
    };
    b.delta_net(index, shape, &of_layer, &inputs, step, &mut out);
    let rows = step.rows_kept();
    if rows == 0 {
        return;
    }
    if let Some(kept) = &step.kept {
        out = b.select(&out, kept);
        z = b.select(&z, kept);
    }
    // The norm of every head.
    let mut normed = b.tensor(rows, shape.values());
    b.norm(&out, &weights.norm, &mut normed);
    b.gate_mul(Activation::Silu, &mut z, &normed);
    weights.output.add(b, &z, None, rows, x);
}
