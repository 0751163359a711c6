// IQ4_NL: 32 weights of 4 bits with one scale, through a table of values that
// lie closer together near zero.
//
//     byte   0   1   2        17
//          | d f16 | qs [16]   |     nibbles as in Q4_0
//
//     weight = d * IQ4_VALUES[nibble]

const BLOCK_BYTES: u32 = 18u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = row + index * BLOCK_BYTES;
    let qs = bytes_16(block + 2u);
    return Group(
        look_up(IQ4_VALUES, qs & LOW_NIBBLES),
        look_up(IQ4_VALUES, (qs >> vec4(4u)) & LOW_NIBBLES),
        vec2(1),
        half(half_word(block)),
        vec2(0.0),
    );
}
