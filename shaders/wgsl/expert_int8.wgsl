// Experts with weights in a block format; like matvec_int8.

override LANES: u32 = 32u;
const MAX_LANES: u32 = 64u;

@group(0) @binding(1) var<storage, read> x: array<Activation>;

fn kernel(tile: u32, item: u32, lane: u32) {
    let row = tile * ROWS;
    let groups = params.inputs / 32u;
    var sums: array<f32, VALUES>;
    for (var index = lane; index < groups; index += LANES) {
        let activation = x[item / params.sharing * groups + index];
        for (var r = 0u; r < ROWS; r += 1u) {
            let begin = min(slice_row(item, row + r), params.rows - 1u) * params.row_bytes;
            sums[r] = dot_group(group(begin, index), activation, sums[r]);
        }
    }
    let sum = reduce(&sums, lane);
    if lane < VALUES {
        store(item, row + lane, sum);
    }
}
