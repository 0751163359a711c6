// The index of the largest value of a row, the first of equals: what greedy
// generation reads back instead of all logits. A workgroup has a row.

struct Params {
    // Values in a row.
    cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 256u;

var<workgroup> best: array<f32, LANES>;
var<workgroup> place: array<u32, LANES>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let begin = workgroup.x * params.cols;
    var largest = -3.4e38;
    var index = 0u;
    for (var i = lane; i < params.cols; i += LANES) {
        if x[begin + i] > largest {
            largest = x[begin + i];
            index = i;
        }
    }
    best[lane] = largest;
    place[lane] = index;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width >>= 1u) {
        if lane < width {
            let other = lane + width;
            if best[other] > best[lane]
                || (best[other] == best[lane] && place[other] < place[lane]) {
                best[lane] = best[other];
                place[lane] = place[other];
            }
        }
        workgroupBarrier();
    }
    if lane == 0u {
        out[workgroup.x] = place[0];
    }
}
