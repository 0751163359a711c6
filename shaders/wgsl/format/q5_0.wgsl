// Q5_0: 32 weights of 5 bits with one scale.
//
//     byte   0   1   2     5   6        21
//          | d f16 | qh u32  | qs [16]   |   qs: low four bits, nibbles as in Q4_0
//                                            qh: bit i is the fifth bit of weight i
//     weight = d * (five bits - 16)

const BLOCK_BYTES: u32 = 22u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = row + index * BLOCK_BYTES;
    let qh = bytes_4(block + 2u);
    let qs = bytes_16(block + 6u);
    return Group(
        minus((qs & LOW_NIBBLES) | fifth_bits(qh), 16u),
        minus(((qs >> vec4(4u)) & LOW_NIBBLES) | fifth_bits(qh >> 16u), 16u),
        vec2(1),
        half(half_word(block)),
        vec2(0.0),
    );
}
