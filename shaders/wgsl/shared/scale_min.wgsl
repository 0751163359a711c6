// The head of a Q4_K or Q5_K block, 16 bytes: the binary16 scale and minimum of
// the block, and twelve bytes with the 6-bit scales and minimums of its eight
// groups, for j in 0..4:
//
//                  bits 7 6          bits 5 4 3 2 1 0
//     byte j       sc[j+4] top two   sc[j]
//     byte j + 4   mn[j+4] top two   mn[j]
//     byte j + 8   mn[j+4] low four in the high nibble, sc[j+4] low four in the low one

// Scale and minimum of group `g`.
fn scale_min(head: vec4<u32>, g: u32) -> vec2<f32> {
    let bytes = (head.yzw >> vec3((g & 3u) * 8u)) & vec3(0xffu);
    var found = bytes.xy & vec2(63u);
    if g >= 4u {
        found = ((bytes.xy >> vec2(6u)) << vec2(4u)) | vec2(bytes.z & 15u, bytes.z >> 4u);
    }
    return unpack2x16float(head.x) * vec2<f32>(found);
}
