// Rows of floats times floats: a lane takes four weights at a time.

fn add_products(tile: u32, step: u32, token: u32, sums: ptr<function, array<f32, VALUES>>) {
    for (var index = team_lane * 4u; index < params.inputs; index += team_lanes * 4u) {
        var values: array<vec4<f32>, TOKENS>;
        for (var t = 0u; t < TOKENS; t += 1u) {
            values[t] = x_4(input_row(token + t), index);
        }
        for (var r = 0u; r < AT_ONCE; r += 1u) {
            let w = within(weights_4(step_row(tile, token, step, r), index), index, params.inputs);
            for (var t = 0u; t < TOKENS; t += 1u) {
                (*sums)[r * TOKENS + t] += dot(w, values[t]);
            }
        }
    }
}
