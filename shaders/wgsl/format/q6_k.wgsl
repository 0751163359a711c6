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

const BLOCK_BYTES: u32 = 210u;
const HAS_MINIMUM: bool = false;

fn six_bits(ql: u32, qh: u32, j: u32) -> vec4<u32> {
    let low = (bytes_16(ql) >> vec4((j >> 1u) * 4u)) & LOW_NIBBLES;
    let high = (bytes_16(qh) >> vec4(j * 2u)) & vec4(0x03030303u);
    return minus(low | (high << vec4(4u)), 32u);
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = row + (index >> 3u) * BLOCK_BYTES;
    let g = index & 7u;
    let j = g & 3u;
    let ql = block + (g >> 2u) * 64u + (j & 1u) * 32u;
    let qh = block + 128u + (g >> 2u) * 32u;
    // Two scales begin at an even address: one half word.
    let scales = half_word(block + 192u + 2u * g);
    return Group(
        six_bits(ql, qh, j),
        six_bits(ql + 16u, qh + 16u, j),
        vec2(signed(scales), signed(scales >> 8u)),
        half(half_word(block + 208u)),
        vec2(0.0),
    );
}
