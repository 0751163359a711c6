// F32: IEEE 754 binary32.

const WEIGHT_BYTES: u32 = 4u;

// Weights index .. index + 4 of the row that begins at byte `row`. `index` is
// a multiple of four. Those past the end of the row: the caller does not use them.
fn weights_4(row: u32, index: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(aligned_16(row + index * WEIGHT_BYTES));
}
