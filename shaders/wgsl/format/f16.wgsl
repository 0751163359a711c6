// F16: IEEE 754 binary16.

const WEIGHT_BYTES: u32 = 2u;

// Weights index .. index + 4 of the row that begins at byte `row`. `index` is
// a multiple of four. Those past the end of the row: the caller does not use them.
fn weights_4(row: u32, index: u32) -> vec4<f32> {
    let words = pair_at(row + index * WEIGHT_BYTES);
    return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
}
