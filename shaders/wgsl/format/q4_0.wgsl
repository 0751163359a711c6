// Q4_0: 32 weights of 4 bits with one scale.
//
//     byte   0   1   2        17
//          | d f16 | qs [16]   |     byte i: weight i in the low nibble,
//                                            weight i + 16 in the high nibble
//     weight = d * (nibble - 8)

const OFFSET: u32 = 8u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let qs = aligned_16(row + 16u * index);
    return Group(
        qs & LOW_NIBBLES,
        (qs >> vec4(4u)) & LOW_NIBBLES,
        vec2(1),
        half(half_word(row + 16u * row_groups() + 2u * index)),
        vec2(0.0),
    );
}
