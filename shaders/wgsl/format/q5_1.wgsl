// Q5_1: 32 weights of 5 bits with one scale and one minimum.
//
//     byte   0   1   2   3   4     7   8        23
//          | d f16 | m f16 | qh u32  | qs [16]   |   qh and qs as in Q5_0
//
//     weight = d * (five bits) + m

const OFFSET: u32 = 0u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = true;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let groups = row_groups();
    let fifth = row + 16u * groups;
    let qs = aligned_16(row + 16u * index);
    let qh = word_at(fifth + 4u * index);
    let dm = unpack2x16float(word_at(fifth + padded(4u * groups) + 4u * index));
    return Group(
        (qs & LOW_NIBBLES) | (bytes_of_bits(qh) << vec4(4u)),
        ((qs >> vec4(4u)) & LOW_NIBBLES) | (bytes_of_bits(qh >> 16u) << vec4(4u)),
        vec2(1),
        dm.x,
        vec2(dm.y),
    );
}
