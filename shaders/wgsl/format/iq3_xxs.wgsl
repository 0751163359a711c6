// IQ3_XXS: 256 weights of 3.06 bits, four at a time from a codebook of 256 entries with
// signs beside them; every 32 have a scale of four bits.
//
//     byte   0   1   2       65   66             97
//          | d f16 | qs [64]    | signs [8] u32     |
//
//     group g: bytes 8g .. 8g + 8 of qs are the indices of its eight times four weights;
//         signs[g] has seven bits of signs for each eight, from the lowest on, and the
//         scale in its upper four
//     weight = d * (2 * scale + 1) / 4 * +-entry

const OFFSET: u32 = 62u;
const ENTRIES: u32 = 256u;
const AHEAD: u32 = 1u;
const HAS_MINIMUM: bool = false;

// Magnitudes 4, 12, 20 and so on to 52, and 62.
fn four_weights(index: u32, signs: u32) -> u32 {
    let places = threes_of_bits(entry(index & 255u));
    let last = (places & (places >> 1u) & (places >> 2u)) & 0x01010101u;
    return raised(0x04040404u + 8u * places + 2u * last, signs);
}

// Weights 16 * half .. of a group.
fn half_group(indices: u32, signs: u32) -> vec4<u32> {
    let first = even_signs(signs);
    let last = even_signs(signs >> 7u);
    return vec4(
        four_weights(indices, first),
        four_weights(indices >> 8u, first >> 4u),
        four_weights(indices >> 16u, last),
        four_weights(indices >> 24u, last >> 4u),
    );
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let qs = pair_at(row + 64u * block + 8u * g);
    let signs = word_at(row + 64u * blocks + 32u * block + 4u * g);
    return Group(
        half_group(qs.x, signs),
        half_group(qs.y, signs >> 14u),
        vec2(odd(signs >> 28u)),
        half(half_word(row + 96u * blocks + 2u * block)) / 4.0,
        vec2(0.0),
    );
}
