// Experts with weights that are floats; like matvec_float.

override LANES: u32 = 32u;
const MAX_LANES: u32 = 64u;

@group(0) @binding(1) var<storage, read> x: array<f32>;

fn kernel(tile: u32, item: u32, lane: u32) {
    let row = tile * ROWS;
    var sums: array<f32, VALUES>;
    for (var index = lane * 4u; index < params.inputs; index += LANES * 4u) {
        let at = item / params.sharing * params.inputs + index;
        let values = within(vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), index, params.inputs);
        for (var r = 0u; r < ROWS; r += 1u) {
            let begin = min(slice_row(item, row + r), params.rows - 1u) * params.row_bytes;
            sums[r] += dot(within(weights_4(begin, index), index, params.inputs), values);
        }
    }
    let sum = reduce(&sums, lane);
    if lane < VALUES {
        store(item, row + lane, sum);
    }
}
