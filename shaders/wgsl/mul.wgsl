// Multiplies values with factors, of which each value, or each row, has one.

// Whether factors are the sigmoid of what is there.
override SIGMOID: bool = false;

struct Params {
    len: u32,
    // Values that share a factor.
    width: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> factors: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if index >= params.len {
        return;
    }
    let factor = factors[index / params.width];
    if SIGMOID {
        x[index] /= 1.0 + exp(-factor);
    } else {
        x[index] *= factor;
    }
}
