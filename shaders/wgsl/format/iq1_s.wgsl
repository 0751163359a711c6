// IQ1_S: 256 weights of 1.56 bits, eight at a time from a codebook of 2048 entries of
// -1, 0 and 1; every 32 have a scale of three bits and are all shifted by an eighth.
//
//     byte   0   1   2       33   34          49
//          | d f16 | qs [32]    | qh [8] u16     |
//
//     weights 8i .. 8i + 8 of group g: the lower eight bits of the index are qs[4g + i],
//         the upper three are bits 3i to 3i + 2 of qh[g]
//     qh[g]: bits 12 to 14 are the scale; bit 15 shifts down instead of up
//     weight = d * (2 * scale + 1) * (entry +- 1/8)

const OFFSET: u32 = 9u;
const ENTRIES: u32 = 2048u;
const AHEAD: u32 = 1u;
const HAS_MINIMUM: bool = false;

fn eight_weights(qs: u32, rest: u32, i: u32) -> vec2<u32> {
    let index = ((qs >> (8u * i)) & 255u) | (((rest >> (3u * i)) & 7u) << 8u);
    return eight_of_one_bit(index, (rest & 0x8000u) != 0u);
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let qs = word_at(row + 32u * block + 4u * g);
    let rest = half_word(row + 32u * blocks + 16u * block + 2u * g);
    return Group(
        vec4(eight_weights(qs, rest, 0u), eight_weights(qs, rest, 1u)),
        vec4(eight_weights(qs, rest, 2u), eight_weights(qs, rest, 3u)),
        vec2(odd((rest >> 12u) & 7u)),
        half(half_word(row + 48u * blocks + 2u * block)) / 8.0,
        vec2(0.0),
    );
}
