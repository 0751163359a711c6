// Gate and up, a matrix each: the rows of `up` follow those of `gate` in one buffer.

struct Params {
    // Rows of both matrices, and where in the buffer the first of them is.
    rows: u32,
    begin: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Tokens m.
    tokens: u32,
    // Outputs n: rows of each matrix.
    outputs: u32,
    // Whether groups are quantized; `outputs` is then a multiple of 32.
    quantized: u32,
}

@group(1) @binding(0) var<uniform> params: Params;

// The byte at which the row that makes an output begins, of gate (0) and up (1).
fn gated_row(token: u32, output: u32, which: u32) -> u32 {
    return weight_row(output + which * params.outputs);
}

fn gated_bias(token: u32, output: u32) -> u32 {
    return output;
}

fn hidden_rows() -> u32 {
    return params.tokens;
}
