// Sums over four neighbouring lanes, through workgroup memory. All lanes come here
// together.

var<workgroup> shared_values: array<f32, LANES>;

fn add_four(x: f32, lane: u32) -> f32 {
    workgroupBarrier();
    shared_values[lane] = x;
    workgroupBarrier();
    let first = lane & ~3u;
    return (shared_values[first] + shared_values[first + 1u])
        + (shared_values[first + 2u] + shared_values[first + 3u]);
}
