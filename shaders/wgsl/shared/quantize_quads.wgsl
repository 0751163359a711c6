// Makes an Activation of what lanes have left in workgroup memory: eight fours
// from `first` on. The operation defines `quad_at`.
fn quantize_quads(first: u32) -> Activation {
    var values: array<f32, 32>;
    for (var quad = 0u; quad < 8u; quad += 1u) {
        let four = quad_at(first + quad);
        for (var i = 0u; i < 4u; i += 1u) {
            values[quad * 4u + i] = four[i];
        }
    }
    return quantize(&values);
}
