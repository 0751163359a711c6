// Activations in f16, for matrix units: from 8-bit integers, so that products are
// of the same values as without such units. A token is divided by the scale of its
// largest group and so stays within 127, however large it is; what it was divided
// by is left in `scales`.
//
// Of every four, the second and the third stand in each other's place, as they do
// with the weights (matmul_units.wgsl).

struct Params {
    rows: u32,
    // Values in a row, a multiple of 32.
    cols: u32,
}

// Planes of activations: shared/activation.wgsl.
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> halves: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 128u;

var<workgroup> largest: array<f32, LANES>;

// Eight values in f16.
fn eight(first: u32, second: u32, scale: f32) -> vec4<u32> {
    let a = vec4<f32>(unpack4xI8(first)) * scale;
    let b = vec4<f32>(unpack4xI8(second)) * scale;
    return vec4(
        pack2x16float(a.xz),
        pack2x16float(a.yw),
        pack2x16float(b.xz),
        pack2x16float(b.yw),
    );
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x;
    let groups = params.cols / 32u;
    let low = row * PLANES * groups;
    let high = low + groups;
    let ds = high + groups;
    // A token of zeros is divided by something, too.
    var most = AMAX_FLOOR;
    for (var g = lane; g < groups; g += LANES) {
        most = max(most, bitcast<f32>(x[ds + g].x));
    }
    largest[lane] = most;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if lane < width {
            largest[lane] = max(largest[lane], largest[lane + width]);
        }
        workgroupBarrier();
    }
    most = largest[0];
    for (var g = lane; g < groups; g += LANES) {
        let scale = bitcast<f32>(x[ds + g].x) / most;
        let at = (row * groups + g) * 4u;
        halves[at] = eight(x[low + g].x, x[low + g].y, scale);
        halves[at + 1u] = eight(x[low + g].z, x[low + g].w, scale);
        halves[at + 2u] = eight(x[high + g].x, x[high + g].y, scale);
        halves[at + 3u] = eight(x[high + g].z, x[high + g].w, scale);
    }
    if lane == 0u {
        scales[row] = most;
    }
}
