// Q1_0: 128 weights of 1 bit with one scale.
//
//     byte   0   1   2        17
//          | d f16 | qs [16]   |     byte i: weights 8i .. 8i + 8, the lowest bit first
//
//     weight = d if the bit is set, else -d

const OFFSET: u32 = 1u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// Twice the bits of nibbles, one in each byte: four copies of a nibble, seven bits apart,
// do not overlap.
fn twos_of_bits(nibbles: vec4<u32>) -> vec4<u32> {
    return ((nibbles * 0x00204081u) & vec4(0x01010101u)) << vec4(1u);
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 2u;
    let bits = vec4(word_at(row + 4u * index));
    return Group(
        twos_of_bits((bits >> vec4(0u, 4u, 8u, 12u)) & vec4(15u)),
        twos_of_bits((bits >> vec4(16u, 20u, 24u, 28u)) & vec4(15u)),
        vec2(1),
        half(half_word(row + 4u * row_groups() + 2u * block)),
        vec2(0.0),
    );
}
