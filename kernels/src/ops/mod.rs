//! Small operations: norms, rope, softmax, activation functions, sums.
//!
//! Each file states its formula with the order of the `f32` operations, which
//! is the same on every instruction set and for any number of threads and rows.
//! All of them take whole batches: tensors are `[rows, cols]`, one row per
//! token (or per token and head), and work is cut into units of rows or of
//! stretches.

mod argmax;
mod elementary;
mod elementwise;
mod exp;
mod gate;
mod norm;
mod rope;
mod softmax;
mod xielu;

pub use argmax::argmax;
pub(crate) use elementary::{decay_of, softplus_of};
pub use elementary::{ln, sigmoid_of, tanh};
pub use elementwise::{add, add_bias, add_weighted, mul, scale, scale_rows, sigmoid_rows};
pub use exp::{exp, exp_to_one};
pub use gate::{
    gelu, gelu_mul, limited, limited_mul, relu, relu_mul, relu_squared, relu_squared_mul,
    sigmoid_mul, silu, silu_mul,
};
pub use norm::{Norm, NormKind, norm, norm_in_place};
pub use rope::{Pairing, Rope, RopeAngles, RopeError, RopeScaling, Yarn, rope};
pub use softmax::{softmax, softmax_row};
pub use xielu::{Xielu, xielu};

/// Values in a unit of work: enough to be worth a thread's attention.
const UNIT_LEN: usize = 4096;

/// Rows in a unit of work.
fn unit_rows(cols: usize) -> usize {
    (UNIT_LEN / cols.max(1)).max(1)
}

/// The number of rows of `cols` values that `data` holds.
#[track_caller]
fn row_count(data: &[f32], cols: usize) -> usize {
    let rows = data.len().checked_div(cols).unwrap_or(0);
    assert_eq!(rows * cols, data.len(), "values in whole rows of {cols}");
    rows
}

#[cfg(test)]
mod tests;
