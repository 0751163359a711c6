// Cuts rows into pieces that go to two tensors in turn.

struct Params {
    // Values of the rows.
    len: u32,
    // Values of a piece of each of the two.
    first_width: u32,
    second_width: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<f32>;
@group(0) @binding(2) var<storage, read_write> second: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if index < params.len {
        let width = params.first_width + params.second_width;
        let place = index % width;
        if place < params.first_width {
            first[index / width * params.first_width + place] = x[index];
        } else {
            let at = place - params.first_width;
            second[index / width * params.second_width + at] = x[index];
        }
    }
}
