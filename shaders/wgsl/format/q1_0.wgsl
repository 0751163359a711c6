// Q1_0: 128 weights of 1 bit with one scale.
//
//     byte   0   1   2        17
//          | d f16 | qs [16]   |     byte i: weights 8i .. 8i + 8, the lowest bit first
//
//     weight = d if the bit is set, else -d

const OFFSET: u32 = 1u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 2u;
    let bits = word_at(row + 4u * index);
    return Group(
        bytes_of_bits(bits) << vec4(1u),
        bytes_of_bits(bits >> 16u) << vec4(1u),
        vec2(1),
        half(half_word(row + 4u * row_groups() + 2u * block)),
        vec2(0.0),
    );
}
