//! Gated DeltaNet in place of attention.
//!
//! ```text
//! x ─ norm ─┬─ q,k,v ──────┐
//!           ├─ alpha, beta ─┴─ convolution, delta rule ─ norm ─(·)─ output ─(+)
//!           └─ z ─ silu ─────────────────────────────────────┘
//! ```

use super::linear::Linear;
use super::{Config, Hyperparameters, keep};
use crate::backend::{Activation, Backend, DeltaInputs, DeltaWeights, Device, Norm, Step};
use crate::error::ModelError;
use crate::tensors::Loader;
use kernels::recurrent::DeltaShape;

/// Its weights in a layer.
pub struct Weights<D: Device> {
    shape: DeltaShape,
    products: Products<D>,
    conv: D::Vector,
    a: D::Vector,
    bias: D::Vector,
    norm: Norm<D>,
    output: Linear<D>,
}

/// What makes everything of what the layer sees. Heads of keys are in one matrix with
/// what belongs to them alone only where heads of values follow those that they share.
enum Products<D: Device> {
    /// Queries, keys and values; z; alpha; beta.
    Four([Linear<D>; 4]),
    /// Alpha and beta in one: of each head of keys the betas, then the alphas.
    Three([Linear<D>; 3]),
    /// The others in one, too: of each head of keys its query, its key, its values and
    /// its z.
    Two([Linear<D>; 2]),
}

/// What they make.
struct Made<T> {
    qkv: T,
    z: T,
    alpha: T,
    beta: T,
}

/// Reads and checks the hyperparameters; `grouped` is how heads of values lie.
pub fn shape_from_file(
    keys: &Hyperparameters<'_, '_>,
    grouped: bool,
) -> Result<DeltaShape, ModelError> {
    let n_head_k = keys.require("ssm.group_count", 1..=1024)?;
    let n_head_v = keys.require("ssm.time_step_rank", n_head_k..=1024)?;
    let head_dim = keys.require("ssm.state_size", 16..=1024)?;
    let width = keys.require("ssm.conv_kernel", 1..=16)?;
    let values = keys.require("ssm.inner_size", 1..=super::MAX_WIDTH)?;
    keys.expect(
        n_head_v.is_multiple_of(n_head_k),
        "ssm.time_step_rank",
        format!("a multiple of {n_head_k} groups"),
        n_head_v,
    )?;
    let sixteens = "a multiple of 16".to_owned();
    keys.expect(
        head_dim.is_multiple_of(16),
        "ssm.state_size",
        sixteens,
        head_dim,
    )?;
    keys.expect(
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
        grouped,
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
    Ok(Weights {
        shape: *shape,
        products: Products::load(config.n_embd, shape, index, loader)?,
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
    let Made {
        qkv,
        mut z,
        alpha,
        beta,
    } = weights.products.make(b, shape, normed, rows);
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
    let rows = keep(b, step, [&mut out, &mut z]);
    if rows == 0 {
        return;
    }
    // The norm of every head.
    let mut normed = b.tensor(rows, shape.values());
    b.norm(&out, &weights.norm, &mut normed);
    b.gate_mul(Activation::Silu, &mut z, &normed);
    weights.output.add(b, &z, None, rows, x);
}

impl<D: Device> Products<D> {
    /// Finds the tensors of layer `index`.
    fn load(
        n_embd: usize,
        shape: &DeltaShape,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Self, ModelError> {
        let (channels, values) = (shape.channels(), shape.values());
        let heads = shape.n_head_v;
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let qkv = (&*name("attn_qkv"), channels);
        let z = (&*name("attn_gate"), values);
        let together = (&*name("ssm_in"), channels + values);
        let gates = (&*name("ssm_ba"), 2 * heads);
        Ok(if !shape.grouped {
            let alpha = (&*name("ssm_alpha"), heads);
            let beta = (&*name("ssm_beta"), heads);
            let all = [qkv, z, alpha, beta];
            Products::Four(Linear::load_siblings(loader, all, n_embd)?)
        } else if loader.has(&name("ssm_in.weight")) {
            // As older files have it.
            Products::Two(Linear::load_siblings(loader, [together, gates], n_embd)?)
        } else {
            Products::Three(Linear::load_siblings(loader, [qkv, z, gates], n_embd)?)
        })
    }

    fn make<B: Backend<Device = D>>(
        &self,
        b: &mut B,
        shape: &DeltaShape,
        normed: &B::Tensor,
        rows: usize,
    ) -> Made<B::Tensor> {
        let (channels, keys, values) = (shape.channels(), shape.keys(), shape.values());
        let (heads, per_key) = (shape.n_head_v, shape.per_key());
        // Pieces of rows, in turn, of which there are as many as heads of keys.
        let deal = |b: &mut B, x: &B::Tensor, widths: [usize; 2]| {
            let [mut first, mut second] =
                widths.map(|width| b.tensor(rows, shape.n_head_k * width));
            b.deal(x, widths, &mut first, &mut second);
            [first, second]
        };
        match self {
            Products::Four(linears) => {
                let widths = [channels, values, heads, heads];
                let [qkv, z, alpha, beta] = Linear::products_of(linears, b, normed, widths, rows);
                Made {
                    qkv,
                    z,
                    alpha,
                    beta,
                }
            }
            Products::Three(linears) => {
                let widths = [channels, values, 2 * heads];
                let [qkv, z, gates] = Linear::products_of(linears, b, normed, widths, rows);
                let [beta, alpha] = deal(b, &gates, [per_key; 2]);
                Made {
                    qkv,
                    z,
                    alpha,
                    beta,
                }
            }
            Products::Two(linears) => {
                let widths = [channels + values, 2 * heads];
                let [all, gates] = Linear::products_of(linears, b, normed, widths, rows);
                let [beta, alpha] = deal(b, &gates, [per_key; 2]);
                let (of_key, of_values) = (shape.head_dim, per_key * shape.head_dim);
                let [qk, vz] = deal(b, &all, [2 * of_key, 2 * of_values]);
                let [q, k] = deal(b, &qk, [of_key; 2]);
                let [v, z] = deal(b, &vz, [of_values; 2]);
                let mut qk = b.tensor(rows, 2 * keys);
                b.join(&q, &k, [keys; 2], &mut qk);
                let mut qkv = b.tensor(rows, channels);
                b.join(&qk, &v, [2 * keys, values], &mut qkv);
                Made {
                    qkv,
                    z,
                    alpha,
                    beta,
                }
            }
        }
    }
}
