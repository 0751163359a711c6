//! A gated convolution over the last inputs in place of attention.
//!
//! ```text
//! x ─ norm ─┬─ b ─(·)─ convolution ─(·)─ output ─(+)
//!           ├─ x ──┘                 │
//!           └─ c ────────────────────┘
//! ```

use super::keep;
use super::linear::Linear;
use crate::backend::{Backend, Device, Step};
use crate::error::ModelError;
use crate::tensors::Loader;
use kernels::recurrent::ConvShape;

/// Its weights in a layer.
pub struct Weights<D: Device> {
    shape: ConvShape,
    /// What is convolved, its gate, and the gate of the results: the rows of one tensor.
    b: Linear<D>,
    c: Linear<D>,
    x: Linear<D>,
    conv: D::Vector,
    output: Linear<D>,
}

/// Finds the tensors of layer `index`.
pub fn load<D: Device>(
    shape: &ConvShape,
    index: usize,
    loader: &Loader<'_, D>,
) -> Result<Weights<D>, ModelError> {
    let ConvShape { channels, width } = *shape;
    let name = |tensor: &str| format!("blk.{index}.shortconv.{tensor}");
    let [b, c, x] = Linear::load_stacked(loader, &name("in_proj"), [channels; 3], channels)?;
    Ok(Weights {
        shape: *shape,
        b,
        c,
        x,
        conv: loader.transposed(&name("conv.weight"), [width, channels])?,
        output: Linear::load(loader, &name("out_proj"), channels, channels)?,
    })
}

/// `x += short_conv(normed)`, of the rows that the step keeps, which are those of `x`.
pub fn add<B: Backend>(
    b: &mut B,
    index: usize,
    weights: &Weights<B::Device>,
    normed: &B::Tensor,
    step: &mut Step<'_>,
    x: &mut B::Tensor,
) {
    let shape = &weights.shape;
    let [mut gated, mut gate, mut input] = [(); 3].map(|()| b.tensor(step.rows(), shape.channels));
    b.matmul(
        normed,
        &mut [
            weights.b.product(&mut gated),
            weights.c.product(&mut gate),
            weights.x.product(&mut input),
        ],
    );
    b.mul(&mut gated, &input);
    let mut out = input;
    b.short_conv(index, shape, &weights.conv, &gated, step, &mut out);
    let rows = keep(b, step, [&mut out, &mut gate]);
    if rows == 0 {
        return;
    }
    b.mul(&mut out, &gate);
    weights.output.add(b, &out, None, rows, x);
}
