// gate and up that are floats; like matvec_float.

fn add_products(row: u32, token: u32, sums: ptr<function, array<f32, VALUES>>) {
    for (var index = team_lane * 4u; index < params.inputs; index += team_lanes * 4u) {
        var values: array<vec4<f32>, TOKENS>;
        for (var t = 0u; t < TOKENS; t += 1u) {
            values[t] = x_4(token + t, index);
        }
        for (var r = 0u; r < 2u * PAIRS; r += 1u) {
            let begin = paired_row(row + r / 2u, r % 2u);
            let w = within(weights_4(begin, index), index, params.inputs);
            for (var t = 0u; t < TOKENS; t += 1u) {
                (*sums)[r * TOKENS + t] += dot(w, values[t]);
            }
        }
    }
}
