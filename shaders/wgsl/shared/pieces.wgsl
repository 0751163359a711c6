// Rows cut into pieces that belong to two tensors in turn.

struct Params {
    // Values of the rows.
    len: u32,
    // Values of a piece of each of the two.
    first_width: u32,
    second_width: u32,
}

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
    let width = params.first_width + params.second_width;
    let place = index % width;
    if place < params.first_width {
        of_first(index, index / width * params.first_width + place);
    } else {
        of_second(index, index / width * params.second_width + place - params.first_width);
    }
}
