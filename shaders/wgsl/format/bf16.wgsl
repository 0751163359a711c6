// BF16: the upper half of a binary32.

const WEIGHT_BYTES: u32 = 2u;

// Weights index .. index + 4 of the row that begins at byte `row`. `index` is
// a multiple of four. Those past the end of the row: the caller does not use them.
fn weights_4(row: u32, index: u32) -> vec4<f32> {
    let words = pair_at(row + index * WEIGHT_BYTES);
    let low = words << vec2(16u);
    let high = words & vec2(0xffff0000u);
    return bitcast<vec4<f32>>(vec4(low.x, high.x, low.y, high.y));
}
