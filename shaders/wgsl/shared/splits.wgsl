// Sums over splits of the inputs, which different workgroups leave: of one matrix, or
// of several whose rows follow each other in one buffer. Another operation adds
// them up (add_splits.wgsl).

struct Params {
    // Rows, and where in the buffer the first of them is.
    rows: u32,
    begin: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Tokens m.
    tokens: u32,
    // Inputs of a split: whole steps. The last may have fewer, or none.
    split_inputs: u32,
}

// [splits, tokens, rows], a token's rows padded to fours
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
// What a token's products are multiplied with in the end.
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

fn begin_groups() -> u32 {
    return split * (params.split_inputs / 32u);
}

fn end_groups() -> u32 {
    return min(begin_groups() + params.split_inputs / 32u, row_groups());
}

// Stores what a row and a token have in the workgroup's split.
fn store(row: u32, token: u32, sum: f32) {
    if row < params.rows && token < params.tokens {
        let width = (params.rows + 3u) / 4u * 4u;
        partial[(split * params.tokens + token) * width + row] = sum;
    }
}
