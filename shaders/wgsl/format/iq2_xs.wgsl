// IQ2_XS: 256 weights of 2.31 bits, eight at a time from a codebook of 512 entries with
// signs beside them; every 16 have a scale of four bits.
//
//     byte   0   1   2            65   66       73
//          | d f16 | qs [32] u16     | scales [8]  |
//
//     weights 8n .. 8n + 8: the index is in the lower nine bits of qs[n], seven bits of
//         signs are above it
//     scales[g]: the low nibble for the first, the high one for the last 16 weights
//     weight = d * (2 * scale + 1) / 8 * +-entry

const OFFSET: u32 = 43u;
const ENTRIES: u32 = 512u;
const AHEAD: u32 = 1u;
const HAS_MINIMUM: bool = false;

fn eight_weights(qs: u32) -> vec2<u32> {
    return eight_of_two_bits(qs & 511u, even_signs(qs >> 9u));
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let qs = pair_at(row + 64u * block + 8u * g);
    let planes = row + 64u * blocks;
    let scales = byte_at(planes + 8u * block + g);
    return Group(
        vec4(eight_weights(qs.x & 0xffffu), eight_weights(qs.x >> 16u)),
        vec4(eight_weights(qs.y & 0xffffu), eight_weights(qs.y >> 16u)),
        vec2(odd(scales & 15u), odd(scales >> 4u)),
        half(half_word(planes + padded(8u * blocks) + 2u * block)) / 8.0,
        vec2(0.0),
    );
}
