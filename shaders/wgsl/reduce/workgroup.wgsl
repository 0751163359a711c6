// Sums over a workgroup, through workgroup memory.
//
// The kernel defines LANES (lanes of the workgroup) and VALUES.

var<workgroup> partials: array<f32, VALUES * LANES>;

// Gives lane i, i in 0..VALUES, the sum of everyone's values[i].
fn reduce(values: ptr<function, array<f32, VALUES>>, lane: u32) -> f32 {
    for (var i = 0u; i < VALUES; i += 1u) {
        partials[i * LANES + lane] = (*values)[i];
    }
    workgroupBarrier();
    // Halves are folded until a lane has at most eight to add alone.
    var width = LANES;
    while width > 8u && (width & 1u) == 0u {
        width = width >> 1u;
        if lane < width {
            for (var i = 0u; i < VALUES; i += 1u) {
                partials[i * LANES + lane] += partials[i * LANES + lane + width];
            }
        }
        workgroupBarrier();
    }
    var sum = 0.0;
    if lane < VALUES {
        for (var i = 0u; i < width; i += 1u) {
            sum += partials[lane * LANES + i];
        }
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    kernel(workgroup.x + workgroup.y * workgroups.x, workgroup.z, lane);
}
