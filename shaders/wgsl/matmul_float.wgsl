// Many tokens times weights that are floats. Each step brings 16 inputs of 64
// rows and of 64 tokens into workgroup memory.

const STEP: u32 = 16u;

// [STEP][TILE]
var<workgroup> w_tile: array<f32, STEP * TILE>;
var<workgroup> x_tile: array<f32, STEP * TILE>;

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
    var sums: array<vec4<f32>, 4>;
    for (var first = 0u; first < params.inputs; first += STEP) {
        let quad = lane / TILE * 4u;
        let w = w_4(row + lane % TILE, first + quad);
        let a = x_4(input_row(token + lane % TILE), first + quad);
        for (var k = 0u; k < 4u; k += 1u) {
            w_tile[(quad + k) * TILE + lane % TILE] = w[k];
            x_tile[(quad + k) * TILE + lane % TILE] = a[k];
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP * TILE; k += TILE) {
            let at = k + i;
            let w4 = vec4(w_tile[at], w_tile[at + SIDE], w_tile[at + 2u * SIDE], w_tile[at + 3u * SIDE]);
            for (var t = 0u; t < 4u; t += 1u) {
                sums[t] = fma(w4, vec4(x_tile[k + j + t * SIDE]), sums[t]);
            }
        }
        workgroupBarrier();
    }
    store_tile(row, token, lane, &sums);
}
