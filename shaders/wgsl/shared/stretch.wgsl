// One lane for each four values of a row, which lack some at its end if it is no
// whole number of fours. The operation says what becomes of them (`kernel`).

struct Params {
    rows: u32,
    // Values in a row.
    cols: u32,
    // Whether groups are quantized; `cols` is then a multiple of 32.
    quantized: u32,
}

@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 256u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    let quads = (params.cols + 3u) / 4u;
    let row = index / quads;
    let quad = index % quads;
    var four: vec4<f32>;
    if row < params.rows {
        four = kernel(row * params.cols + quad * 4u, min(4u, params.cols - quad * 4u));
    }
    if params.quantized != 0u {
        quantize(four, lane, row, quad, params.cols / 32u, row < params.rows);
    }
}
