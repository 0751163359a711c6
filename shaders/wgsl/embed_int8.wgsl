// Embedding from a block format.

fn kernel(row: u32, first: u32, at: u32) {
    let weights = group(row, first / 32u);
    for (var quad = 0u; quad < 8u; quad += 1u) {
        let values = dequantize(weights, quad);
        for (var i = 0u; i < 4u; i += 1u) {
            out[at + quad * 4u + i] = values[i];
        }
    }
}
