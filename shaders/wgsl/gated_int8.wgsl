// gate and up in a block format; like matvec_int8.

@group(0) @binding(1) var<storage, read> x: array<Activation>;

fn add_products(row: u32, token: u32, sums: ptr<function, array<f32, VALUES>>) {
    let groups = params.inputs / 32u;
    for (var index = team_lane; index < groups; index += team_lanes) {
        var activations: array<Activation, TOKENS>;
        for (var t = 0u; t < TOKENS; t += 1u) {
            activations[t] = x[min(token + t, params.tokens - 1u) * groups + index];
        }
        for (var r = 0u; r < 2u * PAIRS; r += 1u) {
            let w = group(paired_row(row + r / 2u, r % 2u), index);
            for (var t = 0u; t < TOKENS; t += 1u) {
                let at = r * TOKENS + t;
                (*sums)[at] = dot_group(w, activations[t], (*sums)[at]);
            }
        }
    }
}
