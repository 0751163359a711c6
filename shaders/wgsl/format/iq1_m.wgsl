// IQ1_M: 256 weights of 1.75 bits, eight at a time from the codebook of IQ1_S; every 8
// are shifted by an eighth, every 16 have a scale of three bits.
//
//     byte   0       31   32     47   48             55
//          | qs [32]    | qh [16]   | scales [4] u16    |
//
//     weights 8i .. 8i + 8 of group g: the lower eight bits of the index are qs[4g + i];
//         in qh[2g + i / 2], of whose nibbles the low one is for even i, the lower three
//         bits are the upper ones of the index, and the fourth shifts down instead of up
//     scales of the halves of group g: in scales[g / 2], three bits each, from bit
//         6 * (g mod 2) on
//     d: a binary16 number, four bits at a time in the upper four of each of scales
//     weight = d * (2 * scale + 1) * (entry +- 1/8)

const OFFSET: u32 = 9u;
const ENTRIES: u32 = 2048u;
const AHEAD: u32 = 1u;
const HAS_MINIMUM: bool = false;

fn eight_weights(qs: u32, high: u32, i: u32) -> vec2<u32> {
    let nibble = high >> (4u * i);
    let index = ((qs >> (8u * i)) & 255u) | ((nibble & 7u) << 8u);
    return eight_of_one_bit(index, (nibble & 8u) != 0u);
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let qs = word_at(row + 32u * block + 4u * g);
    let high = half_word(row + 32u * blocks + 16u * block + 2u * g);
    let words = pair_at(row + 48u * blocks + 8u * block);
    let scales = half_word(row + 48u * blocks + 8u * block + (g & 6u)) >> ((g & 1u) * 6u);
    let d = ((words.x >> 12u) & 0xfu) | ((words.x >> 24u) & 0xf0u)
        | ((words.y >> 4u) & 0xf00u) | ((words.y >> 16u) & 0xf000u);
    return Group(
        vec4(eight_weights(qs, high, 0u), eight_weights(qs, high, 1u)),
        vec4(eight_weights(qs, high, 2u), eight_weights(qs, high, 3u)),
        vec2(odd(scales & 7u), odd((scales >> 3u) & 7u)),
        half(d) / 8.0,
        vec2(0.0),
    );
}
