// What a layer's state is before a step: as the last one left it, which is saved;
// what was saved, if that step failed; what was marked; or nothing. It is marked, if
// that is asked for.

struct Params {
    len: u32,
    // 0: as it is, 1: saved, 2: marked, 3: nothing.
    source: u32,
    mark: u32,
}

@group(0) @binding(0) var<storage, read_write> state: array<f32>;
@group(0) @binding(1) var<storage, read_write> saved: array<f32>;
@group(0) @binding(2) var<storage, read_write> marked: array<f32>;
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
    var value = 0.0;
    switch params.source {
        case 0u: { value = state[index]; }
        case 1u: { value = saved[index]; }
        case 2u: { value = marked[index]; }
        default: {}
    }
    state[index] = value;
    saved[index] = value;
    if params.mark != 0u {
        marked[index] = value;
    }
}
