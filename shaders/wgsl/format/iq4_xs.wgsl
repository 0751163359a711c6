// IQ4_XS: 256 weights of 4 bits through the table of IQ4_NL; every 32 have a
// 6-bit scale.
//
//     byte   0   1   2          3   4            7   8       135
//          | d f16 | scales_h u16 | scales_l [4]   | qs [128]   |
//
//     group g: nibbles of qs[16g ..][..16], as in Q4_0; scale: low four bits in
//         scales_l[g / 2], the low nibble if g is even, the high one if it is
//         odd; upper two in bits 2g and 2g + 1 of scales_h
//     weight = d * (scale - 32) * IQ4_VALUES[nibble]

const OFFSET: u32 = 0u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let head = row + 128u * row_blocks() + 8u * block;
    let word = word_at(head);
    let low = (word_at(head + 4u) >> (g * 4u)) & 15u;
    let high = (word >> (16u + g * 2u)) & 3u;
    let scale = i32((high << 4u) | low) - 32;
    let qs = aligned_16(row + 128u * block + g * 16u);
    return Group(
        look_up(IQ4_VALUES, qs & LOW_NIBBLES),
        look_up(IQ4_VALUES, (qs >> vec4(4u)) & LOW_NIBBLES),
        vec2(1),
        half(word) * f32(scale),
        vec2(0.0),
    );
}
