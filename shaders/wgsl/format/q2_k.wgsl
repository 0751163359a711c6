// Q2_K: 256 weights of 2 bits; every 16 have a 4-bit scale and a 4-bit minimum.
//
//     byte   0         15   16      79   80  81   82     83
//          | scales [16]  | qs [64]    | d f16  | dmin f16 |
//
//     group g, with h = g / 4 and j = g mod 4:
//         weight i: bits 2j and 2j + 1 of qs[32h + i]
//         scales[2g], scales[2g + 1]: sc in the low nibble, mn in the high one
//     weight = d * sc * (two bits) - dmin * mn

const OFFSET: u32 = 0u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = true;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let qs = row + 64u * block + (g >> 2u) * 32u;
    let shift = vec4((g & 3u) * 2u);
    // Two scales begin at an even address: one half word.
    let both = half_word(row + 64u * blocks + 16u * block + 2u * g);
    let scales = vec2(both & 0xffu, both >> 8u);
    let d_dmin = unpack2x16float(word_at(row + 80u * blocks + 4u * block));
    return Group(
        (aligned_16(qs) >> shift) & vec4(0x03030303u),
        (aligned_16(qs + 16u) >> shift) & vec4(0x03030303u),
        vec2<i32>(scales & vec2(15u)),
        d_dmin.x,
        -(d_dmin.y * vec2<f32>(scales >> vec2(4u))),
    );
}
