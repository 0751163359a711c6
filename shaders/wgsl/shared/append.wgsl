// What is done before a token of a sequence attends: its key and its value go to the
// cache, by the workgroup that has the last keys and before it reads them, the key
// turned to its position, as the queries are.
//
// The operation says how they are stored (`store_key`, `store_value`).

// [rows, key heads, k_quads] and [rows, key heads, v_quads]
@group(0) @binding(6) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> v: array<vec4<f32>>;
// Cosines [rows, 2 * pairs] at both dimensions of a pair, then signed sines: those
// of the second dimensions are as they are, those of the first negative. In fours:
// `pairs` is even, and a multiple of four if pairs are (i, i + pairs).
@group(0) @binding(8) var<storage, read> angles: array<vec4<f32>>;

// What a row's turn makes of fours, `halfway` being those that their dimensions turn
// with if pairs are (i, i + pairs).
fn turned_4(row: u32, quad: u32, four: vec4<f32>, halfway: vec4<f32>) -> vec4<f32> {
    let width = params.pairs / 2u;
    let at = row * width + min(quad, width - 1u);
    let other = select(four.yxwz, halfway, params.halves != 0u);
    let result = fma(four, angles[at], other * angles[params.rows * width + at]);
    return select(four, result, quad < width);
}

// The fours that turn with those of a head if pairs are (i, i + pairs); those of
// dimensions that stay turn with themselves.
fn halfway(quad: u32) -> u32 {
    let half = params.pairs / 4u;
    let other = select(quad - half, quad + half, quad < half);
    return select(quad, other, params.halves != 0u && quad < 2u * half);
}

fn query_4(row: u32, head: u32, quad: u32) -> vec4<f32> {
    let begin = head * params.k_quads;
    return turned_4(row, quad, q[begin + quad], q[begin + halfway(quad)]);
}

fn key_to_store(row: u32, head: u32, quad: u32) -> vec4<f32> {
    let begin = head * params.k_quads;
    return turned_4(row, quad, k[begin + quad], k[begin + halfway(quad)]);
}

fn prepare(part: Part, kv_head: u32, begin: u32, end: u32, lane: u32) {
    let kv_heads = params.heads / params.group;
    let row = params.first_row + part.first;
    let head = row * kv_heads + kv_head;
    let cache_head = part.position * kv_heads + kv_head;
    let k_blocks = params.k_quads / QUADS;
    let v_blocks = params.v_quads / QUADS;
    if begin <= part.position && end == part.position + 1u {
        for (var block = lane; block < k_blocks + v_blocks; block += LANES) {
            let is_key = block < k_blocks;
            let first = select(block - k_blocks, block, is_key) * QUADS;
            var fours: array<vec4<f32>, QUADS>;
            for (var i = 0u; i < QUADS; i += 1u) {
                if is_key {
                    fours[i] = key_to_store(row, head, first + i);
                } else {
                    fours[i] = v[head * params.v_quads + first + i];
                }
            }
            var stored = narrow(&fours);
            let width = select(params.v_quads, params.k_quads, is_key);
            let at = place(cache_head * width + first);
            for (var i = 0u; i < ELEMENTS; i += 1u) {
                if is_key {
                    store_key(part, at + i, stored[i]);
                } else {
                    store_value(part, at + i, stored[i]);
                }
            }
        }
    }
    storageBarrier();
}
