// Products with the experts that tokens are routed to: item i, one of a token's
// experts, is a vector times the matrix of its expert.

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
    // Consecutive items that share a row of x.
    sharing: u32,
}

// [items] expert, and its weight as the bits of an f32
@group(0) @binding(2) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
// [experts, outputs]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether products have a bias added.
override BIAS: bool = false;

const TOKENS: u32 = 1u;
const ROWS: u32 = 8u;
const AT_ONCE: u32 = 1u;
const STEPS: u32 = ROWS / AT_ONCE;
const WEIGHTS_FIRST: bool = false;

// The row of the slice that holds row `row` of an item's expert. Rows of other
// slices wrap around to numbers that the slice does not have.
fn slice_row(item: u32, row: u32) -> u32 {
    return routes[item].x * params.rows_each + params.first_row + row;
}

// The row of x that belongs to an item.
fn input_row(item: u32) -> u32 {
    return item / params.sharing;
}

fn step_row(tile: u32, item: u32, step: u32, r: u32) -> u32 {
    let row = slice_row(item, tile * ROWS + step * AT_ONCE + r);
    return min(row, params.rows - 1u) * params.row_bytes;
}

fn take(tile: u32, item: u32, step: u32, i: u32, product: f32) {
    let row = tile * ROWS + step * AT_ONCE + i;
    if row < params.outputs && slice_row(item, row) < params.rows {
        var value = product;
        if BIAS {
            value += bias[routes[item].x * params.outputs + row];
        }
        out[item * params.outputs + row] = value;
    }
}

fn finish(tile: u32, item: u32, lane: u32) {}
