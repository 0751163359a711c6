// A few tokens times a matrix, or times several that share their input.

const ROWS: u32 = 16u;
const AT_ONCE: u32 = 2u;
const STEPS: u32 = ROWS / AT_ONCE;

fn step_row(tile: u32, token: u32, step: u32, r: u32) -> u32 {
    return weight_row(tile * ROWS + step * AT_ONCE + r);
}

fn finish(tile: u32, token: u32, lane: u32) {
    for (var i = lane; i < ROWS * TOKENS; i += LANES) {
        store(tile * ROWS + i / TOKENS, token + i % TOKENS, products[i]);
    }
}
