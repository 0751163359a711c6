// Q5_K: 256 weights of 5 bits; every 32 have a 6-bit scale and a 6-bit minimum.
//
//     byte   0   1   2      3   4        15   16     47   48      175
//          | d f16 | dmin f16 | scales [12] | qh [32]   | qs [128]   |
//
//     group g: low four bits as in Q4_K; fifth bit of weight i: bit g of qh[i];
//         scales: see scale_min
//     weight = d * sc * (five bits) - dmin * mn

const OFFSET: u32 = 0u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = true;

fn five_bits(qh: u32, qs: u32, g: u32) -> vec4<u32> {
    let low = (aligned_16(qs) >> vec4((g & 1u) * 4u)) & LOW_NIBBLES;
    let high = (aligned_16(qh) >> vec4(g)) & vec4(0x01010101u);
    return low | (high << vec4(4u));
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = row + (index >> 3u) * 176u;
    let g = index & 7u;
    let qh = block + 16u;
    let qs = block + 48u + (g >> 1u) * 32u;
    let scaled = scale_min(aligned_16(block), g);
    return Group(
        five_bits(qh, qs, g),
        five_bits(qh + 16u, qs + 16u, g),
        vec2(1),
        scaled.x,
        vec2(-scaled.y),
    );
}
