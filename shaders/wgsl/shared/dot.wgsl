// What a group of weights and the activations of the same 32 positions
// contribute to a dot product. The sum over q is exact.

fn dot_16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y)
        + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

fn dot_group(w: Group, x: Activation, sum: f32) -> f32 {
    let q = w.s.x * dot_16(w.low, x.low) + w.s.y * dot_16(w.high, x.high);
    let scaled = fma(w.d * x.d, f32(q), sum);
    if !HAS_MINIMUM {
        return scaled;
    }
    return fma(w.m.y, x.sum_high, fma(w.m.x, x.sum_low, scaled));
}
