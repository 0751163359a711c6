// The 6-bit scales and minimums of the eight groups of a Q4_K or Q5_K block,
// twelve bytes, for j in 0..4:
//
//                  bits 7 6          bits 5 4 3 2 1 0
//     byte j       sc[j+4] top two   sc[j]
//     byte j + 4   mn[j+4] top two   mn[j]
//     byte j + 8   mn[j+4] low four in the high nibble, sc[j+4] low four in the low one

// Scale and minimum of group `g`; `scales` is a multiple of four.
fn scale_min(scales: u32, g: u32) -> vec2<f32> {
    let word = scales >> 2u;
    let shift = (g & 3u) * 8u;
    let a = (weights[word] >> shift) & 0xffu;
    let b = (weights[word + 1u] >> shift) & 0xffu;
    if g < 4u {
        return vec2(f32(a & 63u), f32(b & 63u));
    }
    let c = (weights[word + 2u] >> shift) & 0xffu;
    return vec2(f32(((a >> 6u) << 4u) | (c & 15u)), f32(((b >> 6u) << 4u) | (c >> 4u)));
}
