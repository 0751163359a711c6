// A few tokens times weights that are floats: matvec_int8 with lanes that take
// four weights at a time.

override LANES: u32 = 32u;
const MAX_LANES: u32 = 64u;
const ROWS: u32 = 4u;
const VALUES: u32 = ROWS * TOKENS;

fn kernel(tile: u32, token_tile: u32, lane: u32) {
    let row = tile * ROWS;
    let token = token_tile * TOKENS;
    var sums: array<f32, VALUES>;
    for (var index = lane * 4u; index < params.inputs; index += LANES * 4u) {
        var values: array<vec4<f32>, TOKENS>;
        for (var t = 0u; t < TOKENS; t += 1u) {
            values[t] = x_4(token + t, index);
        }
        for (var r = 0u; r < ROWS; r += 1u) {
            let w = w_4(row + r, index);
            for (var t = 0u; t < TOKENS; t += 1u) {
                sums[r * TOKENS + t] += dot(w, values[t]);
            }
        }
    }
    let sum = reduce(&sums, lane);
    if lane < VALUES {
        store(row + lane / TOKENS, token + lane % TOKENS, sum);
    }
}
