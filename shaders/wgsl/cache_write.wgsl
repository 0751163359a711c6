// Appends keys and values of a sequence's tokens to its cache. A lane has the
// values that are stored together.

struct Params {
    // Tokens to append, the row of the first, and its position in the cache.
    tokens: u32,
    first_row: u32,
    position: u32,
    // A token's keys and values, in fours.
    k_quads: u32,
    v_quads: u32,
}

// [rows, k_quads] and [rows, v_quads]
@group(0) @binding(0) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> v: array<vec4<f32>>;
// [positions, k_quads] and [positions, v_quads], as stored
@group(0) @binding(2) var<storage, read_write> keys: array<Stored>;
@group(0) @binding(3) var<storage, read_write> values: array<Stored>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    var fours: array<vec4<f32>, QUADS>;
    if index < params.tokens * params.k_quads / QUADS {
        for (var i = 0u; i < QUADS; i += 1u) {
            fours[i] = k[params.first_row * params.k_quads + index * QUADS + i];
        }
        let to = place(params.position * params.k_quads + index * QUADS);
        var stored = narrow(&fours);
        for (var i = 0u; i < ELEMENTS; i += 1u) {
            keys[to + i] = stored[i];
        }
    }
    if index < params.tokens * params.v_quads / QUADS {
        for (var i = 0u; i < QUADS; i += 1u) {
            fours[i] = v[params.first_row * params.v_quads + index * QUADS + i];
        }
        let to = place(params.position * params.v_quads + index * QUADS);
        var stored = narrow(&fours);
        for (var i = 0u; i < ELEMENTS; i += 1u) {
            values[to + i] = stored[i];
        }
    }
}
