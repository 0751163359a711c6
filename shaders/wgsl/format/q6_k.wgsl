// Q6_K: 256 weights of 6 bits; every 16 have an 8-bit scale.
//
//     byte   0      127   128    191   192           207   208 209
//          | ql [128]   | qh [64]    | scales [16] i8    | d f16  |
//
//     group g, with h = g / 4 and j = g mod 4:
//         weight i: low four bits in ql[64h + 32 * (j mod 2) + i], the low nibble
//                   if j < 2, else the high one;
//                   upper two in qh[32h + i], bits 2j and 2j + 1
//     weight = d * scale * (six bits - 32)

const OFFSET: u32 = 32u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = false;

fn six_bits(ql: u32, qh: u32, j: u32) -> vec4<u32> {
    let low = (aligned_16(ql) >> vec4((j >> 1u) * 4u)) & LOW_NIBBLES;
    let high = (aligned_16(qh) >> vec4(j * 2u)) & vec4(0x03030303u);
    return low | (high << vec4(4u));
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let j = g & 3u;
    let blocks = row_blocks();
    let ql = row + 128u * block + (g >> 2u) * 64u + (j & 1u) * 32u;
    let qh = row + 128u * blocks + 64u * block + (g >> 2u) * 32u;
    // Two scales begin at an even address: one half word.
    let scales = half_word(row + 192u * blocks + 16u * block + 2u * g);
    return Group(
        six_bits(ql, qh, j),
        six_bits(ql + 16u, qh + 16u, j),
        vec2(signed(scales), signed(scales >> 8u)),
        half(half_word(row + 208u * blocks + 2u * block)),
        vec2(0.0),
    );
}
