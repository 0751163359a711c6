// Q8_0: 32 weights of 8 bits with one scale.
//
//     byte   0   1   2           33
//          | d f16 | qs [32] i8   |
//
//     weight = d * q

const BLOCK_BYTES: u32 = 34u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = row + index * BLOCK_BYTES;
    return Group(
        bytes_16(block + 2u),
        bytes_16(block + 18u),
        vec2(1),
        half(half_word(block)),
        vec2(0.0),
    );
}
