// Q4_K: 256 weights of 4 bits; every 32 have a 6-bit scale and a 6-bit minimum.
//
//     byte   0   1   2      3   4        15   16       143
//          | d f16 | dmin f16 | scales [12] | qs [128]    |
//
//     group g: bytes qs[32 * (g / 2) ..][..32], the low nibbles if g is even,
//         the high ones if it is odd; scales: see scale_min
//     weight = d * sc * nibble - dmin * mn

const OFFSET: u32 = 0u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = true;

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = row + (index >> 3u) * 144u;
    let g = index & 7u;
    let qs = block + 16u + (g >> 1u) * 32u;
    let shift = vec4((g & 1u) * 4u);
    let scaled = scale_min(aligned_16(block), g);
    return Group(
        (aligned_16(qs) >> shift) & LOW_NIBBLES,
        (aligned_16(qs + 16u) >> shift) & LOW_NIBBLES,
        vec2(1),
        scaled.x,
        vec2(-scaled.y),
    );
}
