// Rows of blocks times activations as 8-bit integers: a lane takes every
// team_lanes-th group, several of them at a time, so that so many loads are under
// way: AHEAD, the format's, of one token.
//
// Either the tokens' activations are loaded first and meet a row's weights at a time,
// or the rows' weights are and meet a token's (WEIGHTS_FIRST, the operation's).

const GROUPS: u32 = max(1u, AHEAD / TOKENS);

fn add_products(tile: u32, step: u32, token: u32, sums: ptr<function, array<f32, VALUES>>) {
    let groups = row_groups();
    for (var first = team_lane; first < groups; first += GROUPS * team_lanes) {
        for (var ahead = 0u; ahead < GROUPS; ahead += 1u) {
            let index = min(first + ahead * team_lanes, groups - 1u);
            let counts = first + ahead * team_lanes < groups;
            if WEIGHTS_FIRST {
                var w: array<Group, AT_ONCE>;
                for (var r = 0u; r < AT_ONCE; r += 1u) {
                    w[r] = group(step_row(tile, token, step, r), index);
                }
                for (var t = 0u; t < TOKENS; t += 1u) {
                    var a = activation(input_row(token + t), index);
                    a.d = select(0.0, a.d, counts);
                    for (var r = 0u; r < AT_ONCE; r += 1u) {
                        let at = r * TOKENS + t;
                        (*sums)[at] = dot_group(w[r], a, (*sums)[at]);
                    }
                }
                continue;
            }
            var activations: array<Activation, TOKENS>;
            for (var t = 0u; t < TOKENS; t += 1u) {
                activations[t] = activation(input_row(token + t), index);
                activations[t].d = select(0.0, activations[t].d, counts);
            }
            for (var r = 0u; r < AT_ONCE; r += 1u) {
                let w = group(step_row(tile, token, step, r), index);
                for (var t = 0u; t < TOKENS; t += 1u) {
                    let at = r * TOKENS + t;
                    (*sums)[at] = dot_group(w, activations[t], (*sums)[at]);
                }
            }
        }
    }
}
