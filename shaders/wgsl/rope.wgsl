// Rotates pairs of a head's dimensions, in place, of one tensor or of two: of
// queries and keys. The other dimensions stay.
//
//     a' = a * cos - b * sin           b' = a * sin + b * cos
//
// The angles come from the CPU, which computes them in f64: one table for all
// layers of a step.

struct Params {
    tokens: u32,
    // Heads of a token in the one and in the other.
    heads: u32,
    other_heads: u32,
    head_dim: u32,
    // Pairs of a head that turn.
    pairs: u32,
    // Whether pairs are (i, i + pairs) rather than (2i, 2i + 1).
    halves: u32,
}

// [tokens, heads * head_dim]
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
// Cosines [tokens, 2 * pairs] at both dimensions of a pair, then signed sines
// [tokens, 2 * pairs]: those of the second dimensions are as they are.
@group(0) @binding(1) var<storage, read> angles: array<f32>;
// [tokens, other_heads * head_dim]
@group(0) @binding(2) var<storage, read_write> other: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    let heads = params.heads + params.other_heads;
    if index >= params.tokens * heads * params.pairs {
        return;
    }
    let pair = index % params.pairs;
    let token = index / params.pairs / heads;
    let head = index / params.pairs % heads;
    let a_dim = select(2u * pair, pair, params.halves != 0u);
    let b_dim = a_dim + select(1u, params.pairs, params.halves != 0u);
    let turned = 2u * params.pairs;
    let row = token * turned + b_dim;
    let cosine = angles[row];
    let sine = angles[params.tokens * turned + row];
    if head < params.heads {
        let begin = (token * params.heads + head) * params.head_dim;
        let a = x[begin + a_dim];
        let b = x[begin + b_dim];
        x[begin + a_dim] = fma(a, cosine, -(b * sine));
        x[begin + b_dim] = fma(b, cosine, a * sine);
    } else {
        let begin = (token * params.other_heads + head - params.heads) * params.head_dim;
        let a = other[begin + a_dim];
        let b = other[begin + b_dim];
        other[begin + a_dim] = fma(a, cosine, -(b * sine));
        other[begin + b_dim] = fma(b, cosine, a * sine);
    }
}
