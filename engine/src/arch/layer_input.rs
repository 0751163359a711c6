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

use super::Config;
use super::linear::Linear;
use crate::backend::{Activation, Backend, Device, LayerInputs, Norm, Step};
use crate::error::ModelError;
use crate::tensors::Loader;

/// Its weights in a layer.
pub struct Weights<D: Device> {
    gate: Linear<D>,
    projection: Linear<D>,
    norm: Norm<D>,
}

/// Finds the tensors of layer `index`, whose embeddings are so wide.
pub fn load<D: Device>(
    config: &Config,
    width: usize,
    index: usize,
    loader: &Loader<'_, D>,
) -> Result<Weights<D>, ModelError> {
    let n_embd = config.n_embd;
    let name = |tensor: &str| format!("blk.{index}.{tensor}");
    Ok(Weights {
        gate: Linear::load(loader, &name("inp_gate"), width, n_embd)?,
        projection: Linear::load(loader, &name("proj"), n_embd, width)?,
        norm: config.norming.load(loader, &name("post_norm"), n_embd)?,
    })
}

/// Adds it, to the rows that the step keeps.
pub fn add<B: Backend>(
    b: &mut B,
    index: usize,
    weights: &Weights<B::Device>,
    inputs: &LayerInputs<'_, B::Tensor>,
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
    let norm = Some(&weights.norm);
    (weights.projection).add(b, &gate, norm, rows.len(), x);
}
