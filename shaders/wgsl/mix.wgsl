// The sum of the outputs of a token's experts, each times its weight.

struct Params {
    tokens: u32,
    cols: u32,
    // Experts of a token.
    used: u32,
}

// [tokens, used, cols]
@group(0) @binding(0) var<storage, read> x: array<f32>;
// [tokens, used] expert, and its weight as the bits of an f32
@group(0) @binding(1) var<storage, read> routes: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether what they make is added to what was there.
override ADDS: bool = false;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if index >= params.tokens * params.cols {
        return;
    }
    let item = index / params.cols * params.used;
    var value = 0.0;
    if ADDS {
        value = sum[index];
    }
    for (var i = item; i < item + params.used; i += 1u) {
        value = fma(bitcast<f32>(routes[i].y), x[i * params.cols + index % params.cols], value);
    }
    sum[index] = value;
}
