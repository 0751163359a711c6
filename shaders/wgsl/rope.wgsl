// Rotates pairs of a head's dimensions, in place; the other dimensions stay.
//
//     a' = a * cos - b * sin           b' = a * sin + b * cos
//
// The angles come from the CPU, which computes them in f64: one table for all
// layers of a step.

struct Params {
    tokens: u32,
    heads: u32,
    head_dim: u32,
    // Pairs of a head that turn.
    pairs: u32,
    // Whether pairs are (i, i + pairs) rather than (2i, 2i + 1).
    halves: u32,
}

// [tokens, heads * head_dim]
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
// Cosine and sine, [tokens, pairs].
@group(0) @binding(1) var<storage, read> angles: array<vec2<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if index >= params.tokens * params.heads * params.pairs {
        return;
    }
    let pair = index % params.pairs;
    let head = index / params.pairs;
    let turn = angles[head / params.heads * params.pairs + pair];
    let begin = head * params.head_dim;
    let first = begin + select(2u * pair, pair, params.halves != 0u);
    let second = first + select(1u, params.pairs, params.halves != 0u);
    let a = x[first];
    let b = x[second];
    x[first] = a * turn.x - b * turn.y;
    x[second] = fma(b, turn.x, a * turn.y);
}
