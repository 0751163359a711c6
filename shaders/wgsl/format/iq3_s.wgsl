// IQ3_S: 256 weights of 3.44 bits, four at a time from a codebook of 512 entries with
// signs beside them; every 32 have a scale of four bits.
//
//     byte   0   1   2       65   66    73   74       105   106     109
//          | d f16 | qs [64]    | qh [8]   | signs [32]   | scales [4]  |
//
//     weights 4i .. 4i + 4 of group g: the lower eight bits of the index are qs[8g + i],
//         the upper one is bit i of qh[g]
//     weights 8i .. 8i + 8 of group g: bit j of signs[4g + i] is the sign of weight j
//     scale of group g: in scales[g / 2], the low nibble if g is even, else the high one
//     weight = d * (2 * scale + 1) * +-entry

const OFFSET: u32 = 15u;
const ENTRIES: u32 = 512u;
const AHEAD: u32 = 1u;
const HAS_MINIMUM: bool = false;

// Magnitudes 1, 3, 5 and so on.
fn four_weights(low: u32, high: u32, signs: u32) -> u32 {
    let places = threes_of_bits(entry((low & 255u) | ((high & 1u) << 8u)));
    return raised(0x01010101u + 2u * places, signs);
}

// Weights 16 * half .. of a group.
fn half_group(qs: u32, high: u32, signs: u32) -> vec4<u32> {
    return vec4(
        four_weights(qs, high, signs),
        four_weights(qs >> 8u, high >> 1u, signs >> 4u),
        four_weights(qs >> 16u, high >> 2u, signs >> 8u),
        four_weights(qs >> 24u, high >> 3u, signs >> 12u),
    );
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let qs = pair_at(row + 64u * block + 8u * g);
    let qh = row + 64u * blocks;
    let high = byte_at(qh + 8u * block + g);
    let all_signs = qh + padded(8u * blocks);
    let signs = word_at(all_signs + 32u * block + 4u * g);
    let all_scales = all_signs + 32u * blocks;
    let scales = byte_at(all_scales + 4u * block + (g >> 1u)) >> ((g & 1u) * 4u);
    return Group(
        half_group(qs.x, high, signs),
        half_group(qs.y, high >> 4u, signs >> 16u),
        vec2(odd(scales & 15u)),
        half(half_word(all_scales + padded(4u * blocks) + 2u * block)),
        vec2(0.0),
    );
}
