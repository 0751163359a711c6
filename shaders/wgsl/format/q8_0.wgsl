// Q8_0: 32 weights of 8 bits with one scale.
//
//     byte   0   1   2           33
//          | d f16 | qs [32] i8   |
//
//     weight = d * q

const OFFSET: u32 = 0u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = false;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let groups = row_groups();
    return Group(
        aligned_16(row + 16u * index),
        aligned_16(row + 16u * (groups + index)),
        vec2(1),
        half(half_word(row + 32u * groups + 2u * index)),
        vec2(0.0),
    );
}
