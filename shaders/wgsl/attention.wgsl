// Attention over a cache that has the keys and values of the step already.

// [positions, key heads, k_quads] and [positions, key heads, v_quads], as stored
@group(0) @binding(1) var<storage, read> keys: array<Stored>;
@group(0) @binding(2) var<storage, read> values: array<Stored>;

fn prepare(part: Part, kv_head: u32, begin: u32, end: u32, lane: u32) {}

fn query_4(row: u32, head: u32, quad: u32) -> vec4<f32> {
    return q[head * params.k_quads + quad];
}
