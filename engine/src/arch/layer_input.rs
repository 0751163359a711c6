//! What a layer adds to the residual stream of an embedding that tokens have for it
//! alone.
//!
//! ```text
//! embedding ─ projection ─ norm ─(+)─ a layer's part ─┐
//! table ──────────────────────────┘                   │            once for each step
//! x ─┬─ gate ─ gelu ─────────────────────────────────(·)─ projection ─ norm ─(+)─ x
//!    └────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The upper half, [`crate::layer_inputs`], comes before the layers.
//!
//! Source: the published implementation of Gemma 3n (2025).

use super::linear::{Linear, Norm};
use crate::backend::{Activation, Backend, Device, LayerInputs, Step};
use crate::error::ModelError;
use crate::tensors::Loader;

/// Its weights in a layer.
pub struct Weights<D: Device> {
    gate: Linear<D>,
    projection: Linear<D>,
    norm: D::Vector,
}

/// Finds the tensors of layer `index`, whose embeddings are so wide.
pub fn load<D: Device>(
    n_embd: usize,
    width: usize,
    index: usize,
    loader: &Loader<'_, D>,
) -> Result<Weights<D>, ModelError> {
    let name = |tensor: &str| format!("blk.{index}.{tensor}");
    Ok(Weights {
        gate: Linear::load(loader, &name("inp_gate"), width, n_embd)?,
        projection: Linear::load(loader, &name("proj"), n_embd, width)?,
        norm: loader.vector(&name("post_norm.weight"), n_embd)?,
    })
}

/// Adds it, to the rows that the step keeps.
pub fn add<B: Backend>(
    b: &mut B,
    index: usize,
    weights: &Weights<B::Device>,
    inputs: &LayerInputs<'_, B::Tensor>,
    (eps, n_embd): (f32, usize),
    step: &Step<'_>,
    x: &mut B::Tensor,
) {
    let of_layer = |row: usize| row * inputs.layers + index;
    let rows: Vec<usize> = match &step.kept {
        Some(kept) => kept.iter().copied().map(of_layer).collect(),
        None => (0..step.rows()).map(of_layer).collect(),
    };
    let input = b.select(inputs.values, &rows);
    let mut gate = b.tensor(rows.len(), inputs.width);
    b.matmul(x, &mut [weights.gate.product(&mut gate)]);
    b.gate_mul(Activation::Gelu, &mut gate, &input);
    let norm = Norm {
        weight: &weights.norm,
        eps,
        width: n_embd,
    };
    (weights.projection).add(b, &gate, Some(norm), rows.len(), x);
}
