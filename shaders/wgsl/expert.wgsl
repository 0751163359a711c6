// Products with the experts that tokens are routed to: item i, one of a token's
// experts, is a vector times the matrix of its expert.

// [items] expert, and its weight as the bits of an f32
@group(0) @binding(2) var<storage, read> routes: array<vec2<u32>>;

const TOKENS: u32 = 1u;
const ROWS: u32 = 8u;
const AT_ONCE: u32 = 1u;
const STEPS: u32 = ROWS / AT_ONCE;
const WEIGHTS_FIRST: bool = false;

// The row of x that belongs to an item.
fn input_row(item: u32) -> u32 {
    return item / params.sharing;
}

fn step_row(tile: u32, item: u32, step: u32, r: u32) -> u32 {
    return expert_row(routes[item].x, tile * ROWS + step * AT_ONCE + r);
}

fn take(tile: u32, item: u32, step: u32, i: u32, product: f32) {
    store_item(item, routes[item].x, tile * ROWS + step * AT_ONCE + i, product);
}

fn finish(tile: u32, item: u32, lane: u32) {}
