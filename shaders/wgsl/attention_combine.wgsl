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
@group(0) @binding(2) var<storage, read_write> quantized: array<u32>;
@group(0) @binding(3) var<storage, read> sinks: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether every head has a score that takes its share and adds nothing.
override SINKS: bool = false;

const LANES: u32 = 64u;
// Splits that a lane loads before it uses the first.
const AHEAD: u32 = 16u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    let rows = params.tokens * params.heads;
    let count = rows * params.v_quads;
    // Lanes past the end do the last one's work, and store nothing.
    let row = min(index, count - 1u) / params.v_quads;
    let quad = min(index, count - 1u) % params.v_quads;
    let width = params.v_quads + 1u;
    var largest = -3.4e38;
    var sum = vec4(0.0);
    var total = 0.0;
    for (var first = 0u; first < params.splits; first += AHEAD) {
        var parts: array<vec4<f32>, AHEAD>;
        var lasts: array<vec2<f32>, AHEAD>;
        var highest = largest;
        for (var i = 0u; i < AHEAD; i += 1u) {
            // Splits past the end are the last one again, which then counts nothing.
            let at = (min(first + i, params.splits - 1u) * rows + row) * width;
            parts[i] = partial[at + quad];
            lasts[i] = partial[at + params.v_quads].xy;
            highest = max(highest, lasts[i].x);
        }
        let rescale = exp(largest - highest);
        sum *= rescale;
        total *= rescale;
        largest = highest;
        for (var i = 0u; i < AHEAD; i += 1u) {
            if first + i < params.splits {
                // A split whose keys nobody may see has left zeros.
                let weight = exp(lasts[i].x - largest);
                sum = fma(vec4(weight), parts[i], sum);
                total = fma(weight, lasts[i].y, total);
            }
        }
    }
    if SINKS {
        let sink = sinks[row % params.heads];
        let highest = max(largest, sink);
        let rescale = exp(largest - highest);
        sum *= rescale;
        total = fma(total, rescale, exp(sink - highest));
    }
    let at = (params.first_row * params.heads + row) * params.v_quads + quad;
    if index < count {
        out[at] = sum / total;
    }
    if params.quantized != 0u {
        let token = params.first_row + row / params.heads;
        let place = row % params.heads * params.v_quads + quad;
        let groups = params.heads * params.v_quads / 8u;
        quantize(sum / total, lane, token, place, groups, index < count);
    }
}
