// out[m, n] = sum over k of x[m, k] * w[n, k], for a slice of the rows n.

struct Params {
    // Rows of the slice, where in the buffer the first of them is, and the output
    // that it makes.
    rows: u32,
    begin: u32,
    first_row: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Outputs n: width of a row of `out`.
    outputs: u32,
    // Tokens m.
    tokens: u32,
}

@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether the product is added to what `out` holds: the residual.
override ADD: bool = false;
// Whether `bias` is added.
override BIAS: bool = false;

// Stores the product of a row of the slice and a token.
fn store(row: u32, token: u32, product: f32) {
    if row >= params.rows || token >= params.tokens {
        return;
    }
    let output = params.first_row + row;
    let at = token * params.outputs + output;
    var value = product;
    if BIAS {
        value += bias[output];
    }
    if ADD {
        value += out[at];
    }
    out[at] = value;
}
