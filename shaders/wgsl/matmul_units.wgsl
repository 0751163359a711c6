// Many tokens times weights in a block format, on matrix units. Each step brings 64
// inputs of TILE_ROWS rows and TILE_TOKENS tokens into workgroup memory as f16;
// while the units multiply them, the next step's are on their way into registers.
// A subgroup of 32 lanes computes 64 rows for 32 tokens: four matrices by two, so
// that each it loads is used twice or four times.
//
// Another file says which groups of a row a workgroup multiplies (`begin_groups`,
// `end_groups`): all, or those of its split.
//
// Workgroup memory holds fours: with scalars, stores take most of the time.

const STEP: u32 = 64u;
const GROUPS: u32 = STEP / 32u;
const EIGHTS: u32 = STEP / 8u;
// Fours from one row or token to the next: off the powers of two, so that not all
// begin in the same bank of the memory.
const STRIDE: u32 = STEP / 4u + 2u;
const STRIP_ROWS: u32 = 4u * UNIT;
const STRIP_TOKENS: u32 = 2u * UNIT;
const STRIPS: u32 = TILE_ROWS / STRIP_ROWS;
const SUBGROUP: u32 = 32u;
const SUBGROUPS: u32 = STRIPS * TILE_TOKENS / STRIP_TOKENS;
const LANES: u32 = SUBGROUPS * SUBGROUP;
// Groups of weights, one or two, and eights of activations that a lane brings.
const OWN_GROUPS: u32 = TILE_ROWS * GROUPS / LANES;
const OWN_EIGHTS: u32 = TILE_TOKENS * EIGHTS / LANES;

// [tokens, inputs / 4], from halves.wgsl
@group(0) @binding(1) var<storage, read> x: array<vec4<f16>>;

// [rows][STEP] and [tokens][STEP]
var<workgroup> w_tile: array<vec4<f16>, TILE_ROWS * STRIDE>;
var<workgroup> x_tile: array<vec4<f16>, TILE_TOKENS * STRIDE>;
// [subgroups][tokens of a unit][rows of a unit]
var<workgroup> results: array<f32, SUBGROUPS * UNIT * UNIT>;

// Four weights, the second and third in each other's place. In f16, a byte below
// 1024's mantissa is 1024 and that byte: subtracting makes it a number, exactly.
fn four(word: u32, scale: f32, minimum: f32) -> vec4<f16> {
    var bytes = word;
    var zero = f16(f32(1024u + OFFSET));
    if OFFSET == 0u {
        // Signed bytes, which begin at -128.
        bytes ^= 0x80808080u;
        zero = 1152.0h;
    }
    let even = vec2<f16>(unpack2x16float((bytes & 0x00ff00ffu) | 0x64006400u));
    let odd = vec2<f16>(unpack2x16float(((bytes >> 8u) & 0x00ff00ffu) | 0x64006400u));
    let q = vec4(even, odd) - vec4(zero);
    if HAS_MINIMUM {
        return fma(q, vec4(f16(scale)), vec4(f16(minimum)));
    }
    return q * vec4(f16(scale));
}

// The split of the inputs that a workgroup multiplies.
var<private> split: u32;

// The group that is an item of the step from group `first` on; past the end of the
// row, zeros.
fn fetch_weights(item: u32, row: u32, first: u32) -> Group {
    let index = first + item / TILE_ROWS;
    var w: Group;
    if index < row_groups() {
        w = group(weight_row(row + item % TILE_ROWS), index);
    }
    return w;
}

fn put_weights(w: Group, item: u32) {
    let at = item % TILE_ROWS * STRIDE + item / TILE_ROWS * 8u;
    let low = w.d * f32(w.s.x);
    let high = w.d * f32(w.s.y);
    w_tile[at] = four(w.low.x, low, w.m.x);
    w_tile[at + 1u] = four(w.low.y, low, w.m.x);
    w_tile[at + 2u] = four(w.low.z, low, w.m.x);
    w_tile[at + 3u] = four(w.low.w, low, w.m.x);
    w_tile[at + 4u] = four(w.high.x, high, w.m.y);
    w_tile[at + 5u] = four(w.high.y, high, w.m.y);
    w_tile[at + 6u] = four(w.high.z, high, w.m.y);
    w_tile[at + 7u] = four(w.high.w, high, w.m.y);
}

// Where the eight is that is an item of the step from group `first` on; past the
// end of the row, its last, which meets weights of zero.
fn place_of_eight(item: u32, token: u32, first: u32) -> u32 {
    let eights = row_groups() * 4u;
    let eight = min(first * 4u + item % EIGHTS, eights - 1u);
    return (input_row(token + item / EIGHTS) * eights + eight) * 2u;
}

// Stores the sums of 16 rows and 16 tokens from these on. All lanes come here
// together.
fn store_unit(sums: Sums, subgroup: u32, place: u32, row: u32, token: u32) {
    let begin = subgroup * UNIT * UNIT;
    coopStore(sums, &results[begin], UNIT);
    workgroupBarrier();
    for (var i = place; i < UNIT * UNIT; i += SUBGROUP) {
        let t = token + i / UNIT;
        store(row + i % UNIT, t, results[begin + i] * scales[input_row(t)]);
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    let row = workgroup.x * TILE_ROWS;
    let token = workgroup.y * TILE_TOKENS;
    split = workgroup.z;
    let begin = begin_groups();
    let end = end_groups();
    let strip_row = subgroup % STRIPS * STRIP_ROWS;
    let strip_token = subgroup / STRIPS * STRIP_TOKENS;
    var sums_0_0: Sums;
    var sums_0_1: Sums;
    var sums_1_0: Sums;
    var sums_1_1: Sums;
    var sums_2_0: Sums;
    var sums_2_1: Sums;
    var sums_3_0: Sums;
    var sums_3_1: Sums;

    var fours: array<vec4<f16>, 2u * OWN_EIGHTS>;
    for (var i = 0u; i < OWN_EIGHTS; i += 1u) {
        let at = place_of_eight(lane + i * LANES, token, begin);
        fours[2u * i] = x[at];
        fours[2u * i + 1u] = x[at + 1u];
    }
    var w_0 = fetch_weights(lane, row, begin);
    var w_1: Group;
    if OWN_GROUPS == 2u {
        w_1 = fetch_weights(lane + LANES, row, begin);
    }
    for (var first = begin; first < end; first += GROUPS) {
        for (var i = 0u; i < OWN_EIGHTS; i += 1u) {
            let item = lane + i * LANES;
            let at = item / EIGHTS * STRIDE + item % EIGHTS * 2u;
            x_tile[at] = fours[2u * i];
            x_tile[at + 1u] = fours[2u * i + 1u];
        }
        put_weights(w_0, lane);
        if OWN_GROUPS == 2u {
            put_weights(w_1, lane + LANES);
        }
        workgroupBarrier();
        // After the last step, something that nobody uses.
        let next = min(first + GROUPS, end - 1u);
        for (var i = 0u; i < OWN_EIGHTS; i += 1u) {
            let at = place_of_eight(lane + i * LANES, token, next);
            fours[2u * i] = x[at];
            fours[2u * i + 1u] = x[at + 1u];
        }
        w_0 = fetch_weights(lane, row, next);
        if OWN_GROUPS == 2u {
            w_1 = fetch_weights(lane + LANES, row, next);
        }
        // The step's four times 16 inputs, written out: the driver unrolls no loop over
        // matrices, and with one the units do a fifth less.
        {
            let w = strip_row * STRIDE;
            let rows_0 = coopLoadT<Rows>(&w_tile[w], STRIDE);
            let rows_1 = coopLoadT<Rows>(&w_tile[w + UNIT * STRIDE], STRIDE);
            let rows_2 = coopLoadT<Rows>(&w_tile[w + 2u * UNIT * STRIDE], STRIDE);
            let rows_3 = coopLoadT<Rows>(&w_tile[w + 3u * UNIT * STRIDE], STRIDE);
            let a = strip_token * STRIDE;
            let tokens_0 = coopLoad<Columns>(&x_tile[a], STRIDE);
            sums_0_0 = coopMultiplyAdd(rows_0, tokens_0, sums_0_0);
            sums_1_0 = coopMultiplyAdd(rows_1, tokens_0, sums_1_0);
            sums_2_0 = coopMultiplyAdd(rows_2, tokens_0, sums_2_0);
            sums_3_0 = coopMultiplyAdd(rows_3, tokens_0, sums_3_0);
            let tokens_1 = coopLoad<Columns>(&x_tile[a + UNIT * STRIDE], STRIDE);
            sums_0_1 = coopMultiplyAdd(rows_0, tokens_1, sums_0_1);
            sums_1_1 = coopMultiplyAdd(rows_1, tokens_1, sums_1_1);
            sums_2_1 = coopMultiplyAdd(rows_2, tokens_1, sums_2_1);
            sums_3_1 = coopMultiplyAdd(rows_3, tokens_1, sums_3_1);
        }
        {
            let w = strip_row * STRIDE + UNIT / 4u;
            let rows_0 = coopLoadT<Rows>(&w_tile[w], STRIDE);
            let rows_1 = coopLoadT<Rows>(&w_tile[w + UNIT * STRIDE], STRIDE);
            let rows_2 = coopLoadT<Rows>(&w_tile[w + 2u * UNIT * STRIDE], STRIDE);
            let rows_3 = coopLoadT<Rows>(&w_tile[w + 3u * UNIT * STRIDE], STRIDE);
            let a = strip_token * STRIDE + UNIT / 4u;
            let tokens_0 = coopLoad<Columns>(&x_tile[a], STRIDE);
            sums_0_0 = coopMultiplyAdd(rows_0, tokens_0, sums_0_0);
            sums_1_0 = coopMultiplyAdd(rows_1, tokens_0, sums_1_0);
            sums_2_0 = coopMultiplyAdd(rows_2, tokens_0, sums_2_0);
            sums_3_0 = coopMultiplyAdd(rows_3, tokens_0, sums_3_0);
            let tokens_1 = coopLoad<Columns>(&x_tile[a + UNIT * STRIDE], STRIDE);
            sums_0_1 = coopMultiplyAdd(rows_0, tokens_1, sums_0_1);
            sums_1_1 = coopMultiplyAdd(rows_1, tokens_1, sums_1_1);
            sums_2_1 = coopMultiplyAdd(rows_2, tokens_1, sums_2_1);
            sums_3_1 = coopMultiplyAdd(rows_3, tokens_1, sums_3_1);
        }
        {
            let w = strip_row * STRIDE + 2u * UNIT / 4u;
            let rows_0 = coopLoadT<Rows>(&w_tile[w], STRIDE);
            let rows_1 = coopLoadT<Rows>(&w_tile[w + UNIT * STRIDE], STRIDE);
            let rows_2 = coopLoadT<Rows>(&w_tile[w + 2u * UNIT * STRIDE], STRIDE);
            let rows_3 = coopLoadT<Rows>(&w_tile[w + 3u * UNIT * STRIDE], STRIDE);
            let a = strip_token * STRIDE + 2u * UNIT / 4u;
            let tokens_0 = coopLoad<Columns>(&x_tile[a], STRIDE);
            sums_0_0 = coopMultiplyAdd(rows_0, tokens_0, sums_0_0);
            sums_1_0 = coopMultiplyAdd(rows_1, tokens_0, sums_1_0);
            sums_2_0 = coopMultiplyAdd(rows_2, tokens_0, sums_2_0);
            sums_3_0 = coopMultiplyAdd(rows_3, tokens_0, sums_3_0);
            let tokens_1 = coopLoad<Columns>(&x_tile[a + UNIT * STRIDE], STRIDE);
            sums_0_1 = coopMultiplyAdd(rows_0, tokens_1, sums_0_1);
            sums_1_1 = coopMultiplyAdd(rows_1, tokens_1, sums_1_1);
            sums_2_1 = coopMultiplyAdd(rows_2, tokens_1, sums_2_1);
            sums_3_1 = coopMultiplyAdd(rows_3, tokens_1, sums_3_1);
        }
        {
            let w = strip_row * STRIDE + 3u * UNIT / 4u;
            let rows_0 = coopLoadT<Rows>(&w_tile[w], STRIDE);
            let rows_1 = coopLoadT<Rows>(&w_tile[w + UNIT * STRIDE], STRIDE);
            let rows_2 = coopLoadT<Rows>(&w_tile[w + 2u * UNIT * STRIDE], STRIDE);
            let rows_3 = coopLoadT<Rows>(&w_tile[w + 3u * UNIT * STRIDE], STRIDE);
            let a = strip_token * STRIDE + 3u * UNIT / 4u;
            let tokens_0 = coopLoad<Columns>(&x_tile[a], STRIDE);
            sums_0_0 = coopMultiplyAdd(rows_0, tokens_0, sums_0_0);
            sums_1_0 = coopMultiplyAdd(rows_1, tokens_0, sums_1_0);
            sums_2_0 = coopMultiplyAdd(rows_2, tokens_0, sums_2_0);
            sums_3_0 = coopMultiplyAdd(rows_3, tokens_0, sums_3_0);
            let tokens_1 = coopLoad<Columns>(&x_tile[a + UNIT * STRIDE], STRIDE);
            sums_0_1 = coopMultiplyAdd(rows_0, tokens_1, sums_0_1);
            sums_1_1 = coopMultiplyAdd(rows_1, tokens_1, sums_1_1);
            sums_2_1 = coopMultiplyAdd(rows_2, tokens_1, sums_2_1);
            sums_3_1 = coopMultiplyAdd(rows_3, tokens_1, sums_3_1);
        }
        workgroupBarrier();
    }
    let r = row + strip_row;
    let t = token + strip_token;
    store_unit(sums_0_0, subgroup, place, r, t);
    store_unit(sums_1_0, subgroup, place, r + UNIT, t);
    store_unit(sums_2_0, subgroup, place, r + 2u * UNIT, t);
    store_unit(sums_3_0, subgroup, place, r + 3u * UNIT, t);
    store_unit(sums_0_1, subgroup, place, r, t + UNIT);
    store_unit(sums_1_1, subgroup, place, r + UNIT, t + UNIT);
    store_unit(sums_2_1, subgroup, place, r + 2u * UNIT, t + UNIT);
    store_unit(sums_3_1, subgroup, place, r + 3u * UNIT, t + UNIT);
}
