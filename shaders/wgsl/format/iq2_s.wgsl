// IQ2_S: 256 weights of 2.56 bits, eight at a time from a codebook of 1024 entries with
// signs beside them; every 16 have a scale of four bits.
//
//     byte   0   1   2       33   34       65   66    73   74       81
//          | d f16 | qs [32]    | signs [32]  | qh [8]   | scales [8] |
//
//     weights 8i .. 8i + 8 of group g: the lower eight bits of the index are qs[4g + i],
//         the upper two are bits 2i and 2i + 1 of qh[g]; bit j of signs[4g + i] is the
//         sign of weight j
//     scales[g]: the low nibble for the first, the high one for the last 16 weights
//     weight = d * (2 * scale + 1) / 8 * +-entry

const OFFSET: u32 = 43u;
const ENTRIES: u32 = 1024u;
const AHEAD: u32 = 1u;
const HAS_MINIMUM: bool = false;

fn eight_weights(qs: u32, high: u32, signs: u32, i: u32) -> vec2<u32> {
    let index = ((qs >> (8u * i)) & 255u) | (((high >> (2u * i)) & 3u) << 8u);
    return eight_of_two_bits(index, signs >> (8u * i));
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let of_group = 32u * block + 4u * g;
    let qs = word_at(row + of_group);
    let signs = word_at(row + 32u * blocks + of_group);
    let planes = row + 64u * blocks;
    let high = byte_at(planes + 8u * block + g);
    let scales = byte_at(planes + padded(8u * blocks) + 8u * block + g);
    return Group(
        vec4(eight_weights(qs, high, signs, 0u), eight_weights(qs, high, signs, 1u)),
        vec4(eight_weights(qs, high, signs, 2u), eight_weights(qs, high, signs, 3u)),
        vec2(odd(scales & 15u), odd(scales >> 4u)),
        half(half_word(planes + 2u * padded(8u * blocks) + 2u * block)) / 8.0,
        vec2(0.0),
    );
}
