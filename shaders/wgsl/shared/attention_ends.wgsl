// What attention takes, beside the cache, and what it leaves, whatever computes it.

// [rows, heads, k_quads]
@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
// [rows, heads, v_quads]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
// [splits, tokens, heads, v_quads + 1]; the last is (maximum, sum, 0, 0)
@group(0) @binding(4) var<storage, read_write> partial: array<vec4<f32>>;
// [rows, heads, v_quads / 8] activations
@group(0) @binding(5) var<storage, read_write> quantized: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

// The first position that the token at a position sees; 0 without a window.
fn first_seen(position: u32) -> u32 {
    return select(0u, position + 1u - params.window, position >= params.window);
}

// A four of scores, or less, below the cap.
fn capped(scores: vec4<f32>) -> vec4<f32> {
    if params.cap == 0.0 {
        return scores;
    }
    return params.cap * tanh(scores / params.cap);
}

// Where the first split of the keys begins, for tokens from a position on.
fn first_split(position: u32) -> u32 {
    return first_seen(position) / CHUNK * CHUNK;
}
