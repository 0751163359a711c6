// The lanes of a workgroup in teams that add up among themselves: its subgroups,
// of whatever size, full or not.
//
// The kernel defines VALUES and what becomes of the sums, `take`.

const LANES: u32 = 256u;

var<private> team: u32;
var<private> teams: u32;
var<private> team_lane: u32;
var<private> team_lanes: u32;

// Gives the team's sum of values[i] to one of its lanes.
fn add_team(values: ptr<function, array<f32, VALUES>>, tile: u32, token: u32, step: u32, lane: u32) {
    for (var i = 0u; i < VALUES; i += 1u) {
        let sum = subgroupAdd((*values)[i]);
        if team_lane == min(i, team_lanes - 1u) && step < STEPS {
            take(tile, token, step, i, sum);
        }
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) id: u32,
    @builtin(num_subgroups) count: u32,
) {
    team = id;
    teams = count;
    // The lanes that are there, so that none is counted on that is not.
    team_lane = subgroupExclusiveAdd(1u);
    team_lanes = subgroupAdd(1u);
    kernel(workgroup.x + workgroup.y * workgroups.x, workgroup.z, lane);
}
