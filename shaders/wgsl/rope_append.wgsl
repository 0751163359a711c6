// Turns the queries of a sequence's tokens to their positions, in place, and
// appends its keys, turned, and its values to its cache. A turn rotates pairs of
// a head's dimensions; the other dimensions stay.
//
//     a' = a * cos - b * sin           b' = a * sin + b * cos
//
// The angles come from the CPU, which computes them in f64: one table for all
// layers of a step. A lane has a pair of a query, or the values of a key or of a
// value that are stored together.

struct Params {
    // Tokens of the sequence in this step, the row of the first, its position.
    tokens: u32,
    first_row: u32,
    position: u32,
    // Query heads of a token, and heads of its keys and values.
    heads: u32,
    kv_heads: u32,
    // Dimensions of a query or key head and of a value head.
    k_dim: u32,
    v_dim: u32,
    // Fours of a key and of a value head in the cache: wide enough, the rest zeros.
    k_quads: u32,
    v_quads: u32,
    // Pairs of a head that turn: none if keys come as they are to be stored.
    pairs: u32,
    // Whether pairs are (i, i + pairs) rather than (2i, 2i + 1).
    halves: u32,
    // Rows of the step: of all its sequences.
    rows: u32,
}

// [rows, heads, k_dim]
@group(0) @binding(0) var<storage, read_write> q: array<f32>;
// [rows, kv_heads, k_dim] and [rows, kv_heads, v_dim]
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
// Cosines and sines: see `turned`.
@group(0) @binding(3) var<storage, read> angles: array<f32>;
// [positions, kv_heads, k_quads] and [positions, kv_heads, v_quads], as stored
@group(0) @binding(4) var<storage, read_write> keys: array<Stored>;
@group(0) @binding(5) var<storage, read_write> values: array<Stored>;
@group(1) @binding(0) var<uniform> params: Params;

fn turn_query(index: u32) {
    let pair = index % params.pairs;
    let head = params.first_row * params.heads + index / params.pairs;
    let row = head / params.heads;
    let a_dim = select(2u * pair, pair, params.halves != 0u);
    let b_dim = partner(a_dim);
    let begin = head * params.k_dim;
    let a = q[begin + a_dim];
    let b = q[begin + b_dim];
    q[begin + a_dim] = turned(row, a_dim, a, b);
    q[begin + b_dim] = turned(row, b_dim, b, a);
}

// A dimension of a key head, turned.
fn key(head: u32, dim: u32) -> f32 {
    let begin = head * params.k_dim;
    if dim >= params.k_dim {
        return 0.0;
    }
    if dim >= 2u * params.pairs {
        return k[begin + dim];
    }
    return turned(head / params.kv_heads, dim, k[begin + dim], k[begin + partner(dim)]);
}

fn value(head: u32, dim: u32) -> f32 {
    if dim >= params.v_dim {
        return 0.0;
    }
    return v[head * params.v_dim + dim];
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    let turning = params.tokens * params.heads * params.pairs;
    if index < turning {
        turn_query(index);
        return;
    }
    index -= turning;
    // The first of the heads to append, and which head of the cache it becomes.
    let first_head = params.first_row * params.kv_heads;
    let cache_head = params.position * params.kv_heads;
    let heads = params.tokens * params.kv_heads;
    var fours: array<vec4<f32>, QUADS>;
    let k_blocks = params.k_quads / QUADS;
    if index < heads * k_blocks {
        let dim = index % k_blocks * QUADS * 4u;
        for (var i = 0u; i < QUADS * 4u; i += 1u) {
            fours[i >> 2u][i & 3u] = key(first_head + index / k_blocks, dim + i);
        }
        var stored = narrow(&fours);
        let at = place(cache_head * params.k_quads + index * QUADS);
        for (var i = 0u; i < ELEMENTS; i += 1u) {
            keys[at + i] = stored[i];
        }
        return;
    }
    index -= heads * k_blocks;
    let v_blocks = params.v_quads / QUADS;
    if index < heads * v_blocks {
        let dim = index % v_blocks * QUADS * 4u;
        for (var i = 0u; i < QUADS * 4u; i += 1u) {
            fours[i >> 2u][i & 3u] = value(first_head + index / v_blocks, dim + i);
        }
        var stored = narrow(&fours);
        let at = place(cache_head * params.v_quads + index * QUADS);
        for (var i = 0u; i < ELEMENTS; i += 1u) {
            values[at + i] = stored[i];
        }
    }
}
