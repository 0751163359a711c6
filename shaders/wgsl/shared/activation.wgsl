// Activations as 8-bit integers: what block formats are multiplied with.
//
// 32 values share a scale: d = amax / 127, rounded up to few bits, and
// q = round(x / d). A row of groups lies in three planes of vectors, so that
// neighbouring lanes read and write neighbouring vectors:
//
//     | q 0..16 of every group | q 16..32 of every group | (d, sum, sum, -) |
//
// the sums being those of q, of the first and the last 16, as integers.

const PLANES: u32 = 3u;

struct Activation {
    // q, 0..16 and 16..32, signed bytes.
    low: vec4<u32>,
    high: vec4<u32>,
    d: f32,
    // Sums of q, of the first and the last 16.
    sums: vec2<i32>,
}

// Below this, a group's largest magnitude counts as zero.
const AMAX_FLOOR: f32 = 1e-30;
