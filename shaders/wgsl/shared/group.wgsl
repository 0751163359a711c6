// 32 consecutive weights of a row, as integers and their scales: what every
// block format is read as.
//
//     weight[i] = d * s[i / 16] * (q[i] - OFFSET) + m[i / 16]       i in 0..32
//
// `low` and `high` hold q as bytes, 0..16 and 16..32: signed ones if OFFSET, the
// format's, is zero, else of 0..128. Few tokens subtract it from sums of products
// rather than from weights. AHEAD groups a lane loads at once: what registers hold.

struct Group {
    low: vec4<u32>,
    high: vec4<u32>,
    s: vec2<i32>,
    d: f32,
    m: vec2<f32>,
}

const LOW_NIBBLES: vec4<u32> = vec4(0x0f0f0f0fu);

// Groups, and blocks of 256, of a row.
fn row_groups() -> u32 {
    return params.inputs / 32u;
}

fn row_blocks() -> u32 {
    return params.inputs / 256u;
}

// Where the next plane begins.
fn padded(bytes: u32) -> u32 {
    return (bytes + 15u) & ~15u;
}

// Bytes below 128 minus the offset, byte by byte. The top bit keeps a borrow from
// leaving its byte.
fn minus_offset(bytes: vec4<u32>) -> vec4<u32> {
    if OFFSET == 0u {
        return bytes;
    }
    let top = vec4(0x80808080u);
    return ((bytes | top) - vec4(OFFSET * 0x01010101u)) ^ top;
}

// Four values of `0..16` spread over the bytes of a word, each replaced by its
// entry in a table of signed bytes.
fn look_up(values: vec4<u32>, nibbles: vec4<u32>) -> vec4<u32> {
    var table = values;
    var found = vec4(0u);
    for (var byte = 0u; byte < 32u; byte += 8u) {
        for (var lane = 0u; lane < 4u; lane += 1u) {
            let index = (nibbles[lane] >> byte) & 15u;
            found[lane] |= ((table[index >> 2u] >> ((index & 3u) * 8u)) & 0xffu) << byte;
        }
    }
    return found;
}

// Weights 4 * quad .. 4 * quad + 4 of a group as floats.
fn dequantize(group: Group, quad: u32) -> vec4<f32> {
    var words = array<vec4<u32>, 2>(group.low, group.high);
    let half = quad >> 2u;
    let q = unpack4xI8(words[half][quad & 3u]) - vec4(i32(OFFSET));
    return group.d * f32(group.s[half]) * vec4<f32>(q) + vec4(group.m[half]);
}
