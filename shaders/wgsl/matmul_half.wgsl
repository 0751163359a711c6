// Many tokens times weights that are floats, in f16. Each step brings 32 inputs
// of 64 rows and of 64 tokens into workgroup memory, as f16 and with a scale for
// each row and token. The 32 products are summed up in f16, the steps in f32.
//
// 128 lanes fetch weights while the other 128 fetch activations: a lane has four
// inputs of four rows or tokens, and leaves them as fours of rows or tokens.

const STEP: u32 = 32u;
const QUADS: u32 = STEP / 4u;
const FOURS: u32 = TILE / 4u;
const ITEMS: u32 = QUADS * FOURS;

// [rows, tokens][STEP][FOURS]
var<workgroup> tiles: array<vec4<f16>, 2u * STEP * FOURS>;
// [rows, tokens][QUADS][FOURS]
var<workgroup> largest: array<vec4<f32>, 2u * ITEMS>;
// [rows, tokens][FOURS]
var<workgroup> scales: array<vec4<f32>, 2u * FOURS>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x * TILE;
    let token = workgroup.y * TILE;
    if !has_work(row, token, workgroup.z) {
        return;
    }
    let i = lane % SIDE;
    let j = lane / SIDE;
    // What the lane fetches: of rows or of tokens, which inputs, which four.
    let side = lane / ITEMS;
    let quad = lane % ITEMS / FOURS;
    let four = lane % FOURS;
    var sums: array<vec4<f32>, 4>;
    for (var first = 0u; first < params.inputs; first += STEP) {
        let index = first + quad * 4u;
        var values: array<vec4<f32>, 4>;
        var most: vec4<f32>;
        for (var r = 0u; r < 4u; r += 1u) {
            if side == 0u {
                values[r] = w_4(row + four * 4u + r, index);
            } else {
                values[r] = x_4(input_row(token + four * 4u + r), index);
            }
            let magnitudes = abs(values[r]);
            most[r] = max(max(magnitudes.x, magnitudes.y), max(magnitudes.z, magnitudes.w));
        }
        largest[lane] = most;
        workgroupBarrier();
        for (var q = 0u; q < QUADS; q += 1u) {
            most = max(most, largest[side * ITEMS + q * FOURS + four]);
        }
        let scale = power_below(most);
        if quad == 0u {
            scales[side * FOURS + four] = scale;
        }
        for (var k = 0u; k < 4u; k += 1u) {
            let turned = vec4(values[0][k], values[1][k], values[2][k], values[3][k]);
            let at = (side * STEP + quad * 4u + k) * FOURS + four;
            tiles[at] = vec4<f16>(turned * reciprocal(scale));
        }
        workgroupBarrier();
        var products: array<vec4<f16>, 4>;
        for (var k = 0u; k < STEP; k += 1u) {
            let w = tiles[k * FOURS + i];
            let a = tiles[(STEP + k) * FOURS + j];
            for (var t = 0u; t < 4u; t += 1u) {
                products[t] = fma(w, vec4(a[t]), products[t]);
            }
        }
        for (var t = 0u; t < 4u; t += 1u) {
            let both = scales[i] * scales[FOURS + j][t];
            sums[t] = fma(both, vec4<f32>(products[t]), sums[t]);
        }
    }
    for (var t = 0u; t < 4u; t += 1u) {
        for (var r = 0u; r < 4u; r += 1u) {
            store(row + i * 4u + r, token + j * 4u + t, sums[t][r]);
        }
    }
}
