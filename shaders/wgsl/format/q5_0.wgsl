// Q5_0: 32 weights of 5 bits with one scale.
//
//     byte   0   1   2     5   6        21
//          | d f16 | qh u32  | qs [16]   |   qs: low four bits, nibbles as in Q4_0
//                                            qh: bit i is the fifth bit of weight i
//     weight = d * (five bits - 16)

const OFFSET: u32 = 16u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let groups = row_groups();
    let fifth = row + 16u * groups;
    let qs = aligned_16(row + 16u * index);
    let qh = word_at(fifth + 4u * index);
    return Group(
        (qs & LOW_NIBBLES) | (bytes_of_bits(qh) << vec4(4u)),
        ((qs >> vec4(4u)) & LOW_NIBBLES) | (bytes_of_bits(qh >> 16u) << vec4(4u)),
        vec2(1),
        half(half_word(fifth + padded(4u * groups) + 2u * index)),
        vec2(0.0),
    );
}
