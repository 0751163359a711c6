// A workgroup of 16 by 16 lanes computes 64 rows for 64 tokens. Lane (i, j) has
// rows i, i + 16, i + 32, i + 48 and tokens j, j + 16, j + 32, j + 48, so that
// neighbouring lanes read neighbouring words of workgroup memory and write
// neighbouring outputs.

const TILE: u32 = 64u;
const SIDE: u32 = 16u;

// Stores a lane's sums: component r of sums[t] is row i + 16r, token j + 16t.
fn store_tile(row: u32, token: u32, lane: u32, sums: ptr<function, array<vec4<f32>, 4>>) {
    for (var t = 0u; t < 4u; t += 1u) {
        for (var r = 0u; r < 4u; r += 1u) {
            store(row + lane % SIDE + r * SIDE, token + lane / SIDE + t * SIDE, (*sums)[t][r]);
        }
    }
}
