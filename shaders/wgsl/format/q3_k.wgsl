// Q3_K: 256 weights of 3 bits; every 16 have a 6-bit scale.
//
//     byte   0        31   32      95   96      107   108 109
//          | hmask [32]  | qs [64]    | scales [12] | d f16  |
//
//     group g, with h = g / 4 and j = g mod 4:
//         weight i: low two bits in qs[32h + i], bits 2j and 2j + 1;
//                   third bit: bit g of hmask[i]
//     scale k (2g and 2g + 1): low four bits in scales[k mod 8], the low nibble
//         if k < 8, else the high one; upper two in scales[8 + k mod 4], bits
//         2 * (k / 4) and 2 * (k / 4) + 1
//     weight = d * (scale - 32) * (three bits - 4)

const OFFSET: u32 = 4u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = false;

fn scale(scales: u32, k: u32) -> i32 {
    let low = (byte_at(scales + (k & 7u)) >> ((k >> 3u) * 4u)) & 15u;
    let high = (byte_at(scales + 8u + (k & 3u)) >> ((k >> 2u) * 2u)) & 3u;
    return i32((high << 4u) | low) - 32;
}

fn three_bits(hmask: u32, qs: u32, g: u32) -> vec4<u32> {
    let low = (aligned_16(qs) >> vec4((g & 3u) * 2u)) & vec4(0x03030303u);
    let high = (aligned_16(hmask) >> vec4(g)) & vec4(0x01010101u);
    return low | (high << vec4(2u));
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let qs = row + 64u * block + (g >> 2u) * 32u;
    let hmask = row + 64u * blocks + 32u * block;
    let all_scales = row + 96u * blocks;
    let scales = all_scales + 12u * block;
    return Group(
        three_bits(hmask, qs, g),
        three_bits(hmask + 16u, qs + 16u, g),
        vec2(scale(scales, 2u * g), scale(scales, 2u * g + 1u)),
        half(half_word(all_scales + padded(12u * blocks) + 2u * block)),
        vec2(0.0),
    );
}
