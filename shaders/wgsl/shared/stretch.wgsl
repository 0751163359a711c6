// One lane for each stretch of up to 32 values of a row.

struct Params {
    rows: u32,
    // Values in a row.
    cols: u32,
    // Whether groups are quantized; `cols` is then a multiple of 32.
    quantized: u32,
}

@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    let stretches = (params.cols + 31u) / 32u;
    if index < params.rows * stretches {
        let first = index % stretches * 32u;
        kernel(index, index / stretches * params.cols + first, min(32u, params.cols - first));
    }
}
