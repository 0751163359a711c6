// Puts together what the splits of attention have left.

struct Params {
    tokens: u32,
    first_row: u32,
    heads: u32,
    v_quads: u32,
    splits: u32,
}

// [splits, tokens, heads, v_quads + 1]; the last is (maximum, sum, 0, 0)
@group(0) @binding(0) var<storage, read> partial: array<vec4<f32>>;
// [rows, heads, v_quads]
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    let rows = params.tokens * params.heads;
    if index >= rows * params.v_quads {
        return;
    }
    let row = index / params.v_quads;
    let quad = index % params.v_quads;
    let width = params.v_quads + 1u;
    var largest = partial[row * width + params.v_quads].x;
    for (var split = 1u; split < params.splits; split += 1u) {
        largest = max(largest, partial[(split * rows + row) * width + params.v_quads].x);
    }
    var sum = vec4(0.0);
    var total = 0.0;
    for (var split = 0u; split < params.splits; split += 1u) {
        let at = (split * rows + row) * width;
        let last = partial[at + params.v_quads];
        // A split whose keys nobody may see has left zeros.
        let weight = exp(last.x - largest);
        sum = fma(vec4(weight), partial[at + quad], sum);
        total = fma(weight, last.y, total);
    }
    out[(params.first_row * params.heads + row) * params.v_quads + quad] = sum / total;
}
