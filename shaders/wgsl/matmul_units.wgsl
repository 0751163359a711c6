// Many tokens times weights in a block format, on matrix units. Each step brings
// a group of 64 rows and of 64 tokens into workgroup memory as f16; a subgroup
// has 16 rows for all tokens. There must be one, two or four subgroups, whole
// ones: with fewer than four, all steps are taken again for the rows that are left.
//
// Activations are divided by the scale of the token's largest group, so that they
// stay within 127 however large they are; the sums are multiplied by it again.

const LANES: u32 = 128u;

const STEP: u32 = 32u;
// Halves from one row or token to the next: off the powers of two, so that not
// all begin in the same bank of the memory.
const STRIDE: u32 = STEP + 8u;
const STRIPS: u32 = TILE / UNIT;

// [rows][STEP] and [tokens][STEP]
var<workgroup> w_tile: array<f16, TILE * STRIDE>;
var<workgroup> x_tile: array<f16, TILE * STRIDE>;
var<private> subgroup_lane: u32;
var<private> subgroup_lanes: u32;

// The scale of each token's largest group.
var<workgroup> scales: array<f32, TILE>;
// [STRIPS][tokens of a unit][rows of a unit]
var<workgroup> results: array<f32, STRIPS * UNIT * UNIT>;

fn find_scale(token: u32) -> f32 {
    var largest = 1e-30;
    for (var g = 0u; g < row_groups(); g += 1u) {
        largest = max(largest, activation(input_row(token), g).d);
    }
    return largest;
}

fn fetch_weights(item: u32, row: u32, index: u32) {
    let w = group(weight_row(row + item), index);
    for (var quad = 0u; quad < STEP / 4u; quad += 1u) {
        let four = vec4<f16>(dequantize(w, quad));
        let at = item * STRIDE + quad * 4u;
        for (var i = 0u; i < 4u; i += 1u) {
            w_tile[at + i] = four[i];
        }
    }
}

fn fetch_activations(item: u32, token: u32, index: u32) {
    let a = activation(input_row(token + item), index);
    var words = array<vec4<u32>, 2>(a.low, a.high);
    let scale = a.d / scales[item];
    for (var quad = 0u; quad < STEP / 4u; quad += 1u) {
        let four = vec4<f16>(vec4<f32>(unpack4xI8(words[quad >> 2u][quad & 3u])) * scale);
        let at = item * STRIDE + quad * 4u;
        for (var i = 0u; i < 4u; i += 1u) {
            x_tile[at + i] = four[i];
        }
    }
}

// Stores a subgroup's sums of the 16 tokens from `place` of the tile on.
fn store_unit(sums: Sums, strip: u32, place: u32, row: u32, token: u32) {
    let begin = strip * UNIT * UNIT;
    coopStore(sums, &results[begin], UNIT);
    workgroupBarrier();
    for (var i = subgroup_lane; i < UNIT * UNIT; i += subgroup_lanes) {
        let at = place + i / UNIT;
        store(row + strip * UNIT + i % UNIT, token + at, results[begin + i] * scales[at]);
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) place: u32,
    @builtin(subgroup_size) places: u32,
) {
    subgroup_lane = place;
    subgroup_lanes = places;
    let row = workgroup.x * TILE;
    let token = workgroup.y * TILE;
    if lane < TILE {
        scales[lane] = find_scale(token + lane);
    }
    workgroupBarrier();
    for (var first_strip = 0u; first_strip < STRIPS; first_strip += subgroups) {
        let strip = first_strip + subgroup;
        var sums_0: Sums;
        var sums_1: Sums;
        var sums_2: Sums;
        var sums_3: Sums;
        for (var index = 0u; index < params.inputs / STEP; index += 1u) {
            for (var item = lane; item < 2u * TILE; item += LANES) {
                if item < TILE {
                    fetch_weights(item, row, index);
                } else {
                    fetch_activations(item - TILE, token, index);
                }
            }
            workgroupBarrier();
            for (var k = 0u; k < STEP; k += UNIT) {
                let rows = coopLoadT<Rows>(&w_tile[strip * UNIT * STRIDE + k], STRIDE);
                let tokens_0 = coopLoad<Columns>(&x_tile[k], STRIDE);
                sums_0 = coopMultiplyAdd(rows, tokens_0, sums_0);
                let tokens_1 = coopLoad<Columns>(&x_tile[UNIT * STRIDE + k], STRIDE);
                sums_1 = coopMultiplyAdd(rows, tokens_1, sums_1);
                let tokens_2 = coopLoad<Columns>(&x_tile[2u * UNIT * STRIDE + k], STRIDE);
                sums_2 = coopMultiplyAdd(rows, tokens_2, sums_2);
                let tokens_3 = coopLoad<Columns>(&x_tile[3u * UNIT * STRIDE + k], STRIDE);
                sums_3 = coopMultiplyAdd(rows, tokens_3, sums_3);
            }
            workgroupBarrier();
        }
        store_unit(sums_0, strip, 0u, row, token);
        store_unit(sums_1, strip, UNIT, row, token);
        store_unit(sums_2, strip, 2u * UNIT, row, token);
        store_unit(sums_3, strip, 3u * UNIT, row, token);
    }
}
