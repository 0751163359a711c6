// Heads times matrices of their own, which lie one after the other in one tensor.
//
// A head's tokens are taken a tile at a time, so that they share its weights: a slot
// is a token of a head, and those of a head are whole tiles.

struct Params {
    // Rows of this slice of all heads' matrices, and where those of the first head
    // begin, seen from there.
    rows: u32,
    first_row: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Outputs n of a head.
    outputs: u32,
    heads: u32,
    tokens: u32,
}

// [tokens, heads, outputs]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const ROWS: u32 = 8u;
const AT_ONCE: u32 = 1u;
const STEPS: u32 = ROWS / AT_ONCE;
const WEIGHTS_FIRST: bool = false;

// Slots of a head.
fn slots() -> u32 {
    return (params.tokens + TOKENS - 1u) / TOKENS * TOKENS;
}

// The row of the slice that holds row `row` of the matrix of a slot's head. Rows of
// other slices wrap around to numbers that the slice does not have.
fn slice_row(slot: u32, row: u32) -> u32 {
    return slot / slots() * params.outputs + params.first_row + row;
}

// The row of x that belongs to a slot: past the tokens, the last one's.
fn input_row(slot: u32) -> u32 {
    return min(slot % slots(), params.tokens - 1u) * params.heads + slot / slots();
}

fn step_row(tile: u32, slot: u32, step: u32, r: u32) -> u32 {
    let row = slice_row(slot, tile * ROWS + step * AT_ONCE + r);
    return min(row, params.rows - 1u) * params.row_bytes;
}

fn take(tile: u32, first_slot: u32, step: u32, i: u32, product: f32) {
    let row = tile * ROWS + step * AT_ONCE + i / TOKENS;
    let slot = first_slot + i % TOKENS;
    let is_there = row < params.outputs && slice_row(slot, row) < params.rows;
    if is_there && slot % slots() < params.tokens {
        out[input_row(slot) * params.outputs + row] = product;
    }
}

fn finish(tile: u32, slot: u32, lane: u32) {}
