//! Cases of operations on heads one by one.

use super::case::Side;
use super::data::{exact_activations, floats, matrix, read};
use crate::backend::{Backend, Product};
use kernels::Format;

/// Pieces that go to two tensors, and what is put together of them the other way
/// round.
pub(super) fn pieces<B: Backend>(
    side: &mut Side<'_, B>,
    rows: usize,
    widths @ [a, b]: [usize; 2],
) -> Vec<f32> {
    let all = 3 * (a + b);
    let x = side.backend.write(&floats(1, rows * all), all);
    let [mut first, mut second] = [a, b].map(|width| side.backend.tensor(rows, 3 * width));
    side.backend.deal(&x, widths, &mut first, &mut second);
    let mut out = side.backend.tensor(rows, all);
    side.backend.join(&second, &first, [b, a], &mut out);
    let found = [&first, &second, &out].map(|part| read(side.backend, part));
    found.concat()
}

/// Products of three heads, after one of all of them, in which their values have been
/// in rows of another width.
pub(super) fn products<B: Backend>(
    side: &mut Side<'_, B>,
    format: Format,
    tokens: usize,
    outputs: usize,
) -> Vec<f32> {
    let (heads, inputs) = (3, 256);
    let weight = matrix(side.device, format, heads * outputs, inputs, 7);
    let together = matrix(side.device, format, 5, heads * inputs, 8);
    let x = exact_activations(3, tokens * heads * inputs);
    let x = side.backend.write(&x, heads * inputs);
    let mut before = side.backend.tensor(tokens, 5);
    let product = Product {
        weight: &together,
        bias: None,
        out: &mut before,
    };
    side.backend.matmul(&x, &mut [product]);
    let x = side.backend.in_rows_of(x, inputs);
    let mut out = side.backend.tensor(tokens * heads, outputs);
    (side.backend).head_products(&x, &weight, heads, &mut out);
    read(side.backend, &out)
}
