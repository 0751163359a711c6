// Sums over a workgroup: within each subgroup by the hardware, then over the
// subgroups through workgroup memory. Right for any subgroup size, 1 included.
//
// The kernel defines LANES (lanes of the workgroup) and VALUES.

var<workgroup> partials: array<f32, VALUES * LANES>;

var<private> subgroup: u32;
var<private> subgroups: u32;
var<private> subgroup_lane: u32;

// Gives lane i, i in 0..VALUES, the sum of everyone's values[i].
fn reduce(values: ptr<function, array<f32, VALUES>>, lane: u32) -> f32 {
    for (var i = 0u; i < VALUES; i += 1u) {
        let sum = subgroupAdd((*values)[i]);
        if subgroup_lane == 0u {
            partials[i * subgroups + subgroup] = sum;
        }
    }
    workgroupBarrier();
    var sum = 0.0;
    if lane < VALUES {
        for (var i = 0u; i < subgroups; i += 1u) {
            sum += partials[lane * subgroups + i];
        }
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) id: u32,
    @builtin(num_subgroups) count: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    subgroup = id;
    subgroups = count;
    subgroup_lane = place;
    kernel(workgroup.x + workgroup.y * workgroups.x, workgroup.z, lane);
}
