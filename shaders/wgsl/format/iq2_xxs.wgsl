// IQ2_XXS: 256 weights of 2.06 bits, eight at a time from a codebook of 256 entries
// with signs beside them; every 32 have a scale of four bits.
//
//     byte   0   1   2                        65
//          | d f16 | qs [64]                    |   eight bytes for each group
//
//     group g: bytes 8g .. 8g + 4 of qs are the indices of its four times eight weights;
//         the u32 after them has seven bits of signs for each eight, from the lowest on,
//         and the scale in its upper four
//     weight = d * (2 * scale + 1) / 8 * +-entry

const OFFSET: u32 = 43u;
const ENTRIES: u32 = 256u;
const AHEAD: u32 = 1u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let words = pair_at(row + 64u * block + 8u * g);
    let signs = words.y;
    let a = eight_of_two_bits(words.x & 255u, even_signs(signs));
    let b = eight_of_two_bits((words.x >> 8u) & 255u, even_signs(signs >> 7u));
    let c = eight_of_two_bits((words.x >> 16u) & 255u, even_signs(signs >> 14u));
    let e = eight_of_two_bits(words.x >> 24u, even_signs(signs >> 21u));
    return Group(
        vec4(a, b),
        vec4(c, e),
        vec2(odd(signs >> 28u)),
        half(half_word(row + 64u * blocks + 2u * block)) / 8.0,
        vec2(0.0),
    );
}
