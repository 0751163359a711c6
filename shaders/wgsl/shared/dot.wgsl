// What a group of weights and the activations of the same 32 positions
// contribute to a dot product. The sum over q is exact.

fn dot_16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y)
        + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

fn dot_group(w: Group, a: Activation, sum: f32) -> f32 {
    let halves = vec2(dot_16(w.low, a.low), dot_16(w.high, a.high));
    let products = w.s * (halves - i32(OFFSET) * a.sums);
    let scaled = fma(w.d * a.d, f32(products.x + products.y), sum);
    if !HAS_MINIMUM {
        return scaled;
    }
    let sums = a.d * vec2<f32>(a.sums);
    return fma(w.m.y, sums.y, fma(w.m.x, sums.x, scaled));
}
