// Gate and up of the experts that tokens are routed to, in one buffer. An item is a token
// and one of its experts.

struct Params {
    // The first row of the first expert's gate.
    first_row: u32,
    // Rows from a row of gate to that of up.
    up: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Rows from an expert's to the next one's.
    rows_each: u32,
    // Outputs n: rows of each matrix.
    outputs: u32,
    // Consecutive items that share a row of x.
    sharing: u32,
    items: u32,
    // Whether groups are quantized; `outputs` is then a multiple of 32.
    quantized: u32,
}

// [items] expert, and its weight as the bits of an f32
@group(0) @binding(6) var<storage, read> routes: array<vec2<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

const TOKENS: u32 = 1u;

fn input_row(item: u32) -> u32 {
    return item / params.sharing;
}

// The byte at which the row that makes an output begins, of gate (0) and up (1); past
// the last output that of the last, which nobody stores.
fn gated_row(item: u32, output: u32, which: u32) -> u32 {
    let first = routes[item].x * params.rows_each + params.first_row + which * params.up;
    return (first + min(output, params.outputs - 1u)) * params.row_bytes;
}

fn gated_bias(item: u32, output: u32) -> u32 {
    return routes[item].x * params.outputs + output;
}

fn hidden_rows() -> u32 {
    return params.items;
}
