// The lanes of a workgroup in teams of 32 that add up among themselves, through
// workgroup memory.
//
// The kernel defines VALUES and what becomes of the sums, `take`.

const TEAM: u32 = 32u;
const LANES: u32 = 64u;
const teams: u32 = LANES / TEAM;
const team_lanes: u32 = TEAM;

var<workgroup> partials: array<f32, VALUES * LANES>;

var<private> team: u32;
var<private> team_lane: u32;

// Gives the team's sum of values[i] to one of its lanes.
fn add_team(values: ptr<function, array<f32, VALUES>>, tile: u32, token: u32, step: u32, lane: u32) {
    for (var i = 0u; i < VALUES; i += 1u) {
        partials[i * LANES + lane] = (*values)[i];
    }
    workgroupBarrier();
    for (var i = team_lane; i < VALUES; i += TEAM) {
        let begin = i * LANES + team * TEAM;
        var sum = 0.0;
        for (var at = begin; at < begin + TEAM; at += 1u) {
            sum += partials[at];
        }
        take(tile, token, step, i, sum);
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    team = lane / TEAM;
    team_lane = lane % TEAM;
    kernel(workgroup.x + workgroup.y * workgroups.x, workgroup.z, lane);
}
