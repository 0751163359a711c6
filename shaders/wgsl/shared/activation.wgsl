// Activations as 8-bit integers: what block formats are multiplied with.
//
// 32 values share a scale: d = amax / 127, q = round(x * 127 / amax).

struct Activation {
    // q, 0..16 and 16..32, signed bytes.
    low: vec4<u32>,
    high: vec4<u32>,
    d: f32,
    // d * sum of q, of the first and the last 16.
    sum_low: f32,
    sum_high: f32,
    unused: u32,
}

// Below this, a group's largest magnitude counts as zero.
const AMAX_FLOOR: f32 = 1e-30;
