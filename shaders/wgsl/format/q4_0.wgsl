// Q4_0: 32 weights of 4 bits with one scale.
//
//     byte   0   1   2        17
//          | d f16 | qs [16]   |     byte i: weight i in the low nibble,
//                                            weight i + 16 in the high nibble
//     weight = d * (nibble - 8)

const BLOCK_BYTES: u32 = 18u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = row + index * BLOCK_BYTES;
    let qs = bytes_16(block + 2u);
    return Group(
        minus(qs & LOW_NIBBLES, 8u),
        minus((qs >> vec4(4u)) & LOW_NIBBLES, 8u),
        vec2(1),
        half(half_word(block)),
        vec2(0.0),
    );
}
