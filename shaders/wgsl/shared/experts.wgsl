// Matrices of experts, one after the other in one tensor, and where their products go. An
// item is a token and one of its experts.

struct Params {
    // Rows of this slice of all experts' matrices, and where those of the first expert
    // begin, seen from there.
    rows: u32,
    first_row: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Rows that the tensor has of an expert.
    rows_each: u32,
    // Outputs n: those of them that are the matrix.
    outputs: u32,
    // Consecutive items that share a row of x, or of the sum of their products.
    sharing: u32,
    // Tokens m: the most items that an expert can have.
    tokens: u32,
}

@group(0) @binding(3) var<storage, read_write> out: array<f32>;
// [experts, outputs]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether products have a bias added.
override BIAS: bool = false;

// The row of the slice that holds row `row` of an expert. Rows of other slices wrap
// around to numbers that the slice does not have.
fn slice_row(expert: u32, row: u32) -> u32 {
    return expert * params.rows_each + params.first_row + row;
}

// The byte at which it begins; past the end of the slice that of its last, whose products
// nobody stores.
fn expert_row(expert: u32, row: u32) -> u32 {
    return min(slice_row(expert, row), params.rows - 1u) * params.row_bytes;
}

fn store_item(item: u32, expert: u32, row: u32, product: f32) {
    if row >= params.outputs || slice_row(expert, row) >= params.rows {
        return;
    }
    var value = product;
    if BIAS {
        value += bias[expert * params.outputs + row];
    }
    out[item * params.outputs + row] = value;
}
