// TQ1_0: 256 weights of -1, 0 and 1 with one scale, five of them to a byte.
//
//     byte   0        31   32      47   48     51   52 53
//          | fives [32]  | more [16]  | fours [4] | d f16 |
//
//     weights 32n + i:       digit n of fives[i]     (n in 0..5)
//     weights 160 + 16n + i: digit n of more[i]      (n in 0..5)
//     weights 240 + 4n + i:  digit n of fours[i]     (n in 0..4)
//     digit n of a byte: (byte * 3^n mod 256) * 3 / 256
//     weight = d * (digit - 1)

const OFFSET: u32 = 1u;
const AHEAD: u32 = 2u;
const HAS_MINIMUM: bool = false;

// Digits of bytes, after those that the power of three stands for. Every other byte has
// room for its products.
fn digits(bytes: vec4<u32>, power: vec4<u32>) -> vec4<u32> {
    let room = vec4(0x00ff00ffu);
    let even = ((bytes & room) * power) & room;
    let odd = (((bytes >> vec4(8u)) & room) * power) & room;
    return (((even * 3u) >> vec4(8u)) & vec4(0x00030003u)) | ((odd * 3u) & vec4(0x03000300u));
}

fn power(n: u32) -> vec4<u32> {
    const POWERS: vec4<u32> = vec4(1u, 3u, 9u, 27u);
    return vec4(select(81u, POWERS[n & 3u], n < 4u));
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let block = index >> 3u;
    let g = index & 7u;
    let blocks = row_blocks();
    let fives = row + 48u * block;
    let fours = row + 48u * blocks;
    let d = half(half_word(fours + padded(4u * blocks) + 2u * block));
    var first: vec4<u32>;
    var last: vec4<u32>;
    if g < 5u {
        first = digits(aligned_16(fives), power(g));
        last = digits(aligned_16(fives + 16u), power(g));
    } else {
        let more = aligned_16(fives + 32u);
        let n = 2u * (g - 5u);
        first = digits(more, power(n));
        if g < 7u {
            last = digits(more, power(n + 1u));
        } else {
            last = digits(vec4(word_at(fours + 4u * block)), vec4(1u, 3u, 9u, 27u));
        }
    }
    return Group(first, last, vec2(1), d, vec2(0.0));
}
