// F16: IEEE 754 binary16.

const WEIGHT_BYTES: u32 = 2u;

// Weights index .. index + 4 of the row that begins at byte `row`. Those past
// the end of the row belong to the next: the caller does not use them.
fn weights_4(row: u32, index: u32) -> vec4<f32> {
    let byte = row + index * WEIGHT_BYTES;
    return vec4(unpack2x16float(bytes_4(byte)), unpack2x16float(bytes_4(byte + 4u)));
}
