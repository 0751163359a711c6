// A few tokens times weights in a block format: reading the weights is all the
// work there is. A workgroup computes ROWS rows; its lanes take the groups of
// these rows in turn, so that the activations are loaded once for all of them
// and ROWS independent streams of weights are under way.

override LANES: u32 = 32u;
const MAX_LANES: u32 = 64u;
const ROWS: u32 = 4u;
const VALUES: u32 = ROWS * TOKENS;

@group(0) @binding(1) var<storage, read> x: array<Activation>;

fn kernel(tile: u32, token_tile: u32, lane: u32) {
    let row = tile * ROWS;
    let token = token_tile * TOKENS;
    let groups = params.inputs / 32u;
    var sums: array<f32, VALUES>;
    for (var index = lane; index < groups; index += LANES) {
        var activations: array<Activation, TOKENS>;
        for (var t = 0u; t < TOKENS; t += 1u) {
            activations[t] = x[min(token + t, params.tokens - 1u) * groups + index];
        }
        for (var r = 0u; r < ROWS; r += 1u) {
            let w = group(weight_row(row + r), index);
            for (var t = 0u; t < TOKENS; t += 1u) {
                sums[r * TOKENS + t] = dot_group(w, activations[t], sums[r * TOKENS + t]);
            }
        }
    }
    let sum = reduce(&sums, lane);
    if lane < VALUES {
        store(row + lane / TOKENS, token + lane % TOKENS, sum);
    }
}
