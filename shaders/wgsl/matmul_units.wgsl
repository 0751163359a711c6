// Many tokens times weights in a block format, on matrix units. Each step brings 64
// inputs of TILE_ROWS rows and TILE_TOKENS tokens into workgroup memory as f16;
// while the units multiply them, the next step's are on their way into registers.
// A subgroup of 32 lanes computes a strip of the tile; another file has its sums
// and multiplies (`multiply`, `store_strip`).
//
// Another file says which groups of a row a workgroup multiplies (`begin_groups`,
// `end_groups`): all, or those of its split.
//
// Workgroup memory holds fours: with scalars, stores take most of the time.

const STEP: u32 = 64u;
const GROUPS: u32 = STEP / 32u;
const QUADS: u32 = STEP / 4u;
// Fours from one row or token to the next: off the powers of two, so that not all
// begin in the same bank of the memory.
const STRIDE: u32 = QUADS + 2u;
const STRIPS: u32 = TILE_ROWS / STRIP_ROWS;
const SUBGROUP: u32 = 32u;
const SUBGROUPS: u32 = STRIPS * TILE_TOKENS / STRIP_TOKENS;
const LANES: u32 = SUBGROUPS * SUBGROUP;
// Fours of activations that a lane brings, beside one group of weights: strips are
// such that there are as many lanes as groups.
const OWN_QUADS: u32 = TILE_TOKENS * QUADS / LANES;

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
    let index = first + item % GROUPS;
    var w: Group;
    if index < row_groups() {
        w = group(weight_row(row + item / GROUPS), index);
    }
    return w;
}

fn put_weights(w: Group, item: u32) {
    let at = item / GROUPS * STRIDE + item % GROUPS * 8u;
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

// The four of activations that is an item of the step from group `first` on; past
// the end of the row its last, which meets weights of zero.
fn fetch_four(item: u32, token: u32, first: u32) -> vec4<f16> {
    let quads = row_groups() * 8u;
    let quad = min(first * 8u + item % QUADS, quads - 1u);
    return x[input_row(token + item / QUADS) * quads + quad];
}

// 16 rows or tokens of the step, in 16 of its inputs.
fn row_unit(row: u32, unit: u32) -> Rows {
    return coopLoadT<Rows>(&w_tile[row * STRIDE + unit * UNIT / 4u], STRIDE);
}

fn token_unit(token: u32, unit: u32) -> Columns {
    return coopLoad<Columns>(&x_tile[token * STRIDE + unit * UNIT / 4u], STRIDE);
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
    if !has_work(row, token, workgroup.z) {
        return;
    }
    split = workgroup.z;
    let begin = begin_groups();
    let end = end_groups();
    let strip_row = subgroup % STRIPS * STRIP_ROWS;
    let strip_token = subgroup / STRIPS * STRIP_TOKENS;

    var fours: array<vec4<f16>, OWN_QUADS>;
    for (var i = 0u; i < OWN_QUADS; i += 1u) {
        fours[i] = fetch_four(lane + i * LANES, token, begin);
    }
    var w = fetch_weights(lane, row, begin);
    for (var first = begin; first < end; first += GROUPS) {
        for (var i = 0u; i < OWN_QUADS; i += 1u) {
            let item = lane + i * LANES;
            x_tile[item / QUADS * STRIDE + item % QUADS] = fours[i];
        }
        put_weights(w, lane);
        workgroupBarrier();
        // After the last step, something that nobody uses.
        let next = min(first + GROUPS, end - 1u);
        for (var i = 0u; i < OWN_QUADS; i += 1u) {
            fours[i] = fetch_four(lane + i * LANES, token, next);
        }
        w = fetch_weights(lane, row, next);
        // Written out: the driver unrolls no loop over matrices, and with one the units
        // do a fifth less.
        multiply(strip_row, strip_token, 0u);
        multiply(strip_row, strip_token, 1u);
        multiply(strip_row, strip_token, 2u);
        multiply(strip_row, strip_token, 3u);
        workgroupBarrier();
    }
    store_strip(subgroup, place, row + strip_row, token + strip_token);
}
