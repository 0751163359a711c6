// Products, from what splits of their inputs have left, which are added in their
// order: of one matrix, or of two or three whose rows follow each other. A lane has
// four rows of a token.

struct Params {
    // Rows of all matrices.
    rows: u32,
    tokens: u32,
    splits: u32,
    // Of the first matrix, the output that row 0 makes, and the width of a row of
    // `out`.
    first_row: u32,
    outputs: u32,
    // The first rows of the second and of the third matrix; `rows` if there is
    // none.
    second: u32,
    third: u32,
}

// [splits, tokens, fours of rows]
@group(0) @binding(0) var<storage, read> partial: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> second_bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_out: array<f32>;
@group(0) @binding(5) var<storage, read> third_bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> third_out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether the products of the first matrix are added to what `out` holds: the
// residual.
override ADD: bool = false;
// Whether all products have a bias added.
override BIAS: bool = false;

// Splits that a lane loads before it uses the first.
const AHEAD: u32 = 8u;

// Stores the product of a row and a token where the row's matrix has it.
fn store(row: u32, token: u32, product: f32) {
    var value = product;
    if row < params.second {
        let output = params.first_row + row;
        let at = token * params.outputs + output;
        if BIAS {
            value += bias[output];
        }
        if ADD {
            value += out[at];
        }
        out[at] = value;
    } else if row < params.third {
        let output = row - params.second;
        if BIAS {
            value += second_bias[output];
        }
        second_out[token * (params.third - params.second) + output] = value;
    } else if row < params.rows {
        let output = row - params.third;
        if BIAS {
            value += third_bias[output];
        }
        third_out[token * (params.rows - params.third) + output] = value;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    let quads = (params.rows + 3u) / 4u;
    let count = params.tokens * quads;
    if index >= count {
        return;
    }
    var sum: vec4<f32>;
    for (var first = 0u; first < params.splits; first += AHEAD) {
        var parts: array<vec4<f32>, AHEAD>;
        for (var i = 0u; i < AHEAD; i += 1u) {
            // Splits past the end are the last one again, which then counts nothing.
            parts[i] = partial[min(first + i, params.splits - 1u) * count + index];
        }
        for (var i = 0u; i < AHEAD; i += 1u) {
            if first + i < params.splits {
                sum += parts[i];
            }
        }
    }
    let row = index % quads * 4u;
    let token = index / quads;
    store(row, token, sum.x);
    store(row + 1u, token, sum.y);
    store(row + 2u, token, sum.z);
    store(row + 3u, token, sum.w);
}
