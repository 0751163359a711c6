// IQ4_NL: 32 weights of 4 bits with one scale, through a table of values that
// lie closer together near zero.
//
//     byte   0   1   2        17
//          | d f16 | qs [16]   |     nibbles as in Q4_0
//
//     weight = d * IQ4_VALUES[nibble]

const OFFSET: u32 = 0u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let qs = aligned_16(row + 16u * index);
    return Group(
        look_up(IQ4_VALUES, qs & LOW_NIBBLES),
        look_up(IQ4_VALUES, (qs >> vec4(4u)) & LOW_NIBBLES),
        vec2(1),
        half(half_word(row + 16u * row_groups() + 2u * index)),
        vec2(0.0),
    );
}
