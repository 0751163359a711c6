// What attention takes and leaves, whatever computes it: parameters, queries,
// results. The operation has the cache, `keys` and `values`.

struct Params {
    // Tokens of the sequence in this step, the row of the first, its position.
    tokens: u32,
    first_row: u32,
    position: u32,
    // Query heads, and how many of them share a key head.
    heads: u32,
    group: u32,
    // Dimensions of a key and of a value head, in fours.
    k_quads: u32,
    v_quads: u32,
    // Splits of the keys, and keys in each: a multiple of the chunk.
    splits: u32,
    split_keys: u32,
    scale: f32,
    // Whether groups are quantized; `v_quads` is then a multiple of 8.
    quantized: u32,
    // Of one token that is appended before: pairs of a head that turn, whether pairs are (i, i + pairs) rather than
    // (2i, 2i + 1), and rows of the step.
    pairs: u32,
    halves: u32,
    rows: u32,
}

// [rows, heads, k_quads]
@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
// [rows, heads, v_quads]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
// [splits, tokens, heads, v_quads + 1]; the last is (maximum, sum, 0, 0)
@group(0) @binding(4) var<storage, read_write> partial: array<vec4<f32>>;
// [rows, heads, v_quads / 8] activations
@group(0) @binding(5) var<storage, read_write> quantized: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

fn key_4(quad: u32) -> vec4<f32> {
    return widen(keys[place(quad)], keys[scale_place(quad)]);
}

fn value_4(quad: u32) -> vec4<f32> {
    return widen(values[place(quad)], values[scale_place(quad)]);
}
