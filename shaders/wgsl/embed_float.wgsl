// Embedding from floats.

fn kernel(row: u32, first: u32, at: u32) {
    for (var quad = 0u; quad < 32u; quad += 4u) {
        let values = weights_4(row, first + quad);
        for (var i = 0u; i < 4u; i += 1u) {
            if first + quad + i < params.inputs {
                out[at + quad + i] = values[i];
            }
        }
    }
}
