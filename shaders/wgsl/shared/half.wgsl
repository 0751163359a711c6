enable f16;

// Numbers in f16 arithmetic. (A directive stands before everything else.)
//
// Values that are summed up together are divided by a power of two that leaves
// them below 2, so that nothing overflows and weights of 16 bits stay as they
// are; what is far below the largest of them is lost.

// The power of two below or at each of these magnitudes; a tiny one for zero.
fn power_below(magnitudes: vec4<f32>) -> vec4<f32> {
    let exponents = bitcast<vec4<u32>>(max(magnitudes, vec4(1e-30))) & vec4(0x7f800000u);
    return bitcast<vec4<f32>>(exponents);
}

// Its reciprocal, which division would not always give exactly.
fn reciprocal(powers: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4(254u << 23u) - bitcast<vec4<u32>>(powers));
}
