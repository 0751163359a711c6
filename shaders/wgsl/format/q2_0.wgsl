// Q2_0: 64 weights of 2 bits with one scale.
//
//     byte   0   1   2        17
//          | d f16 | qs [16]   |     byte i: weights 4i .. 4i + 4, the lowest two bits first
//
//     weight = d * (two bits - 1)

const OFFSET: u32 = 1u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// The pairs of bits of each byte of a word, a pair in each byte: four copies of a byte, six
// bits apart.
fn pairs_of_bytes(word: u32) -> vec4<u32> {
    let bytes = (vec4(word) >> vec4(0u, 8u, 16u, 24u)) & vec4(0xffu);
    let copies = bytes | (bytes << vec4(6u)) | (bytes << vec4(12u)) | (bytes << vec4(18u));
    return copies & vec4(0x03030303u);
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 1u;
    let qs = row + 8u * index;
    return Group(
        pairs_of_bytes(word_at(qs)),
        pairs_of_bytes(word_at(qs + 4u)),
        vec2(1),
        half(half_word(row + 8u * row_groups() + 2u * block)),
        vec2(0.0),
    );
}
