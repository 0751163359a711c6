// Many tokens times weights in a block format. Each step brings two groups of
// 64 rows and of 64 tokens into workgroup memory, where every weight is used 64
// times; 128 lanes unpack weights while the other 128 fetch activations.

const STEP: u32 = 2u;
const ITEMS: u32 = STEP * TILE;

// Quants [STEP][8 words][TILE]; scales and minimums [STEP][TILE].
var<workgroup> w_q: array<u32, ITEMS * 8u>;
var<workgroup> w_d: array<f32, ITEMS>;
var<workgroup> w_s: array<vec2<i32>, ITEMS>;
var<workgroup> w_m: array<vec2<f32>, ITEMS>;
var<workgroup> x_q: array<u32, ITEMS * 8u>;
var<workgroup> x_d: array<f32, ITEMS>;
var<workgroup> x_sum: array<vec2<f32>, ITEMS>;

fn fetch_weights(item: u32, row: u32, index: u32, groups: u32) {
    var w: Group;
    if index < groups {
        w = group(weight_row(row + item % TILE), index);
    }
    let low = minus_offset(w.low);
    let high = minus_offset(w.high);
    let at = item / TILE * 8u * TILE + item % TILE;
    for (var word = 0u; word < 4u; word += 1u) {
        w_q[at + word * TILE] = low[word];
        w_q[at + (word + 4u) * TILE] = high[word];
    }
    w_d[item] = w.d;
    w_s[item] = w.s;
    w_m[item] = w.m;
}

fn fetch_activations(item: u32, token: u32, index: u32, groups: u32) {
    var a: Activation;
    if index < groups {
        a = activation(input_row(token + item % TILE), index);
    }
    let at = item / TILE * 8u * TILE + item % TILE;
    for (var word = 0u; word < 4u; word += 1u) {
        x_q[at + word * TILE] = a.low[word];
        x_q[at + (word + 4u) * TILE] = a.high[word];
    }
    x_d[item] = a.d;
    x_sum[item] = a.d * vec2<f32>(a.sums);
}

// Adds a lane's products of half a group, four words from `word` on, times the
// half's sub-scales.
fn dot_half(
    word: u32,
    i: u32,
    j: u32,
    s: vec4<i32>,
    sums: ptr<function, array<vec4<i32>, 4>>,
) {
    var products: array<vec4<i32>, 4>;
    for (var k = word * TILE; k < (word + 4u) * TILE; k += TILE) {
        let w = vec4(w_q[k + i], w_q[k + i + SIDE], w_q[k + i + 2u * SIDE], w_q[k + i + 3u * SIDE]);
        for (var t = 0u; t < 4u; t += 1u) {
            let a = x_q[k + j + t * SIDE];
            products[t] += vec4(
                dot4I8Packed(w.x, a),
                dot4I8Packed(w.y, a),
                dot4I8Packed(w.z, a),
                dot4I8Packed(w.w, a),
            );
        }
    }
    for (var t = 0u; t < 4u; t += 1u) {
        (*sums)[t] += s * products[t];
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x * TILE;
    let token = workgroup.y * TILE;
    if !has_work(row, token, workgroup.z) {
        return;
    }
    let groups = params.inputs / 32u;
    let i = lane % SIDE;
    let j = lane / SIDE;
    var sums: array<vec4<f32>, 4>;
    for (var first = 0u; first < groups; first += STEP) {
        let item = lane % ITEMS;
        if lane < ITEMS {
            fetch_weights(item, row, first + item / TILE, groups);
        } else {
            fetch_activations(item, token, first + item / TILE, groups);
        }
        workgroupBarrier();
        for (var g = 0u; g < STEP; g += 1u) {
            var d: vec4<f32>;
            var s_low: vec4<i32>;
            var s_high: vec4<i32>;
            var m_low: vec4<f32>;
            var m_high: vec4<f32>;
            for (var r = 0u; r < 4u; r += 1u) {
                let at = g * TILE + i + r * SIDE;
                d[r] = w_d[at];
                s_low[r] = w_s[at].x;
                s_high[r] = w_s[at].y;
                m_low[r] = w_m[at].x;
                m_high[r] = w_m[at].y;
            }
            var q: array<vec4<i32>, 4>;
            dot_half(g * 8u, i, j, s_low, &q);
            dot_half(g * 8u + 4u, i, j, s_high, &q);
            for (var t = 0u; t < 4u; t += 1u) {
                let at = g * TILE + j + t * SIDE;
                sums[t] = fma(d * x_d[at], vec4<f32>(q[t]), sums[t]);
                if HAS_MINIMUM {
                    sums[t] = fma(m_low, vec4(x_sum[at].x), sums[t]);
                    sums[t] = fma(m_high, vec4(x_sum[at].y), sums[t]);
                }
            }
        }
        workgroupBarrier();
    }
    store_tile(row, token, lane, &sums);
}
