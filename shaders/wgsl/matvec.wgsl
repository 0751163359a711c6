// A few tokens times a matrix, or times several that share their input.

const ROWS: u32 = 8u;
const AT_ONCE: u32 = 1u;
const STEPS: u32 = ROWS / AT_ONCE;
const WEIGHTS_FIRST: bool = false;

fn step_row(tile: u32, token: u32, step: u32, r: u32) -> u32 {
    return weight_row(tile * ROWS + step * AT_ONCE + r);
}

fn take(tile: u32, token: u32, step: u32, i: u32, product: f32) {
    let row = tile * ROWS + step * AT_ONCE + i / TOKENS;
    store(row, token + i % TOKENS, product);
}

fn finish(tile: u32, token: u32, lane: u32) {}
