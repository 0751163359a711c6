// Puts together what the splits of attention have left, also as 8-bit integers
// for the product that follows. Neighbouring lanes have the fours of a group.

struct Params {
    tokens: u32,
    first_row: u32,
    heads: u32,
    v_quads: u32,
    splits: u32,
    // Whether groups are quantized; `v_quads` is then a multiple of 8.
    quantized: u32,
}

// [splits, tokens, heads, v_quads + 1]; the last is (maximum, sum, 0, 0)
@group(0) @binding(0) var<storage, read> partial: array<vec4<f32>>;
// [rows, heads, v_quads]
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
// [rows, heads, v_quads / 8]
@group(0) @binding(2) var<storage, read_write> quantized: array<Activation>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> quads: array<vec4<f32>, 64>;

fn quad_at(index: u32) -> vec4<f32> {
    return quads[index];
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    let rows = params.tokens * params.heads;
    let count = rows * params.v_quads;
    // Lanes past the end do the last one's work, and store nothing.
    let row = min(index, count - 1u) / params.v_quads;
    let quad = min(index, count - 1u) % params.v_quads;
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
    let at = (params.first_row * params.heads + row) * params.v_quads + quad;
    if index < count {
        out[at] = sum / total;
    }
    if params.quantized != 0u {
        quads[lane] = sum / total;
        workgroupBarrier();
        if (lane & 7u) == 0u && index < count {
            quantized[at / 8u] = quantize_quads(lane);
        }
    }
}
