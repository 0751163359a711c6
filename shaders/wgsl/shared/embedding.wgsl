// Rows of a table of weights as floats: one lane for each stretch of 32 inputs
// of a token.

struct Params {
    // Rows of this slice of the table, and the token of the first.
    rows: u32,
    first_row: u32,
    row_bytes: u32,
    // Width of a row.
    inputs: u32,
    tokens: u32,
}

@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    let stretches = (params.inputs + 31u) / 32u;
    if index >= params.tokens * stretches {
        return;
    }
    // Tokens of other slices wrap around and are skipped.
    let row = tokens[index / stretches] - params.first_row;
    if row < params.rows {
        let first = index % stretches * 32u;
        kernel(row * params.row_bytes, first, index / stretches * params.inputs + first);
    }
}
