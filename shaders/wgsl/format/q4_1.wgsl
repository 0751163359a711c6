// Q4_1: 32 weights of 4 bits with one scale and one minimum.
//
//     byte   0   1   2   3   4        19
//          | d f16 | m f16 | qs [16]   |     nibbles as in Q4_0
//
//     weight = d * nibble + m

const OFFSET: u32 = 0u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = true;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let qs = aligned_16(row + 16u * index);
    let dm = unpack2x16float(word_at(row + 16u * row_groups() + 4u * index));
    return Group(
        qs & LOW_NIBBLES,
        (qs >> vec4(4u)) & LOW_NIBBLES,
        vec2(1),
        dm.x,
        vec2(dm.y),
    );
}
