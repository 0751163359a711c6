// TQ2_0: 256 weights of 2 bits with one scale, made for weights of -1, 0 and 1.
//
//     byte   0        63   64 65
//          | qs [64]     | d f16 |
//
//     group g, with h = g / 4 and j = g mod 4:
//         weight i: bits 2j and 2j + 1 of qs[32h + i]
//     weight = d * (two bits - 1)

const OFFSET: u32 = 1u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let qs = row + 64u * block + (g >> 2u) * 32u;
    let shift = vec4((g & 3u) * 2u);
    return Group(
        (aligned_16(qs) >> shift) & vec4(0x03030303u),
        (aligned_16(qs + 16u) >> shift) & vec4(0x03030303u),
        vec2(1),
        half(half_word(row + 64u * row_blocks() + 2u * block)),
        vec2(0.0),
    );
}
