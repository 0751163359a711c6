// Heads made wider with zeros, or narrower, so that attention finds them in the
// widths that it works in.

struct Params {
    // Heads of all rows.
    heads: u32,
    // Dimensions of a head, before and after.
    head_dim: u32,
    new_dim: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if index < params.heads * params.new_dim {
        let dim = index % params.new_dim;
        let at = index / params.new_dim * params.head_dim + min(dim, params.head_dim - 1u);
        out[index] = select(0.0, x[at], dim < params.head_dim);
    }
}
