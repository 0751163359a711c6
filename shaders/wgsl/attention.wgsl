// Attention with grouped queries over the cache, for one token or many.
//
//     out = sum over keys j of softmax(q . k[j] * scale) * v[j]
//
// A workgroup has QUERIES queries that share a key head: the group's heads of
// one token, or of several. It goes through its stretch of the keys in chunks of
// one key per lane and keeps, per query, the largest score so far, the sum of
// exponentials relative to it, and the weighted sum of values (the online
// softmax of FlashAttention; Dao et al., 2022):
//
//     scores    lane = key        every key is loaded once for all queries
//     maxima    lane = (query, one of PARTS stretches of the chunk)
//     values    lane = (key mod strides, quad of dimensions)
//
// With several splits of the keys, each leaves its sums in `partial`, and
// attention_combine puts them together. Without, the results are also left as
// 8-bit integers, for the product that follows.

struct Params {
    // Tokens of the sequence in this step, the row of the first, its position.
    tokens: u32,
    first_row: u32,
    position: u32,
    // Query heads, and how many of them share a key head.
    heads: u32,
    group: u32,
    // Dimensions of a key and of a value head, in fours.
    k_quads: u32,
    v_quads: u32,
    // Splits of the keys, and keys in each: a multiple of the chunk.
    splits: u32,
    split_keys: u32,
    scale: f32,
    // Whether groups are quantized; `v_quads` is then a multiple of 8.
    quantized: u32,
}

// [rows, heads, k_quads]
@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
// [positions, key heads, k_quads] and [positions, key heads, v_quads], as stored
@group(0) @binding(1) var<storage, read> keys: array<Stored>;
@group(0) @binding(2) var<storage, read> values: array<Stored>;
// [rows, heads, v_quads]
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
// [splits, tokens, heads, v_quads + 1]; the last is (maximum, sum, 0, 0)
@group(0) @binding(4) var<storage, read_write> partial: array<vec4<f32>>;
// [rows, heads, v_quads / 8]
@group(0) @binding(5) var<storage, read_write> quantized: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 128u;
const CHUNK: u32 = LANES;
const PARTS: u32 = 16u;
const LOWEST: f32 = -3.4e38;
// Fours that a lane loads before it uses the first: the cache is far away.
const AHEAD: u32 = 8u;

// [QUERIES][CHUNK]: scores, then their exponentials.
var<workgroup> scores: array<f32, QUERIES * CHUNK>;
// [QUERIES][PARTS]
var<workgroup> parts: array<f32, QUERIES * PARTS>;
var<workgroup> maximum: array<f32, QUERIES>;
var<workgroup> rescale: array<f32, QUERIES>;
var<workgroup> total: array<f32, QUERIES>;
var<workgroup> strides: array<vec4<f32>, CHUNK>;

fn key_4(quad: u32) -> vec4<f32> {
    return widen(keys[place(quad)], keys[scale_place(quad)]);
}

fn value_4(quad: u32) -> vec4<f32> {
    return widen(values[place(quad)], values[scale_place(quad)]);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let kv_head = workgroup.y;
    let kv_heads = params.heads / params.group;
    let queries = params.tokens * params.group;
    let first = workgroup.x * QUERIES;
    // Keys of this split that any of the queries may see.
    let last_token = min((first + QUERIES - 1u) / params.group, params.tokens - 1u);
    let begin = workgroup.z * params.split_keys;
    let end = min(begin + params.split_keys, params.position + last_token + 1u);

    // Where the queries' heads begin, and the first key they may not see.
    var head: array<u32, QUERIES>;
    var limit: array<u32, QUERIES>;
    for (var r = 0u; r < QUERIES; r += 1u) {
        let query = min(first + r, queries - 1u);
        let token = query / params.group;
        head[r] = (params.first_row + token) * params.heads + kv_head * params.group
            + query % params.group;
        limit[r] = params.position + token + 1u;
    }
    if lane < QUERIES {
        maximum[lane] = LOWEST;
        total[lane] = 0.0;
    }
    var sums: array<vec4<f32>, QUERIES>;
    let quad = lane % params.v_quads;
    let stride = CHUNK / params.v_quads;
    let offset = lane / params.v_quads;

    for (var chunk = begin; chunk < end; chunk += CHUNK) {
        let key = chunk + lane;
        var products: array<f32, QUERIES>;
        if key < end {
            let at = (key * kv_heads + kv_head) * params.k_quads;
            for (var first = 0u; first < params.k_quads; first += AHEAD) {
                var ahead: array<vec4<f32>, AHEAD>;
                for (var i = 0u; i < AHEAD; i += 1u) {
                    ahead[i] = key_4(at + min(first + i, params.k_quads - 1u));
                }
                for (var i = 0u; i < AHEAD; i += 1u) {
                    if first + i < params.k_quads {
                        for (var r = 0u; r < QUERIES; r += 1u) {
                            let part = q[head[r] * params.k_quads + first + i];
                            products[r] += dot(ahead[i], part);
                        }
                    }
                }
            }
        }
        for (var r = 0u; r < QUERIES; r += 1u) {
            scores[r * CHUNK + lane] =
                select(LOWEST, products[r] * params.scale, key < end && key < limit[r]);
        }
        workgroupBarrier();

        // The lane's stretch of a query's scores.
        let part = lane * (CHUNK / PARTS);
        if lane < QUERIES * PARTS {
            var largest = LOWEST;
            for (var i = part; i < part + CHUNK / PARTS; i += 1u) {
                largest = max(largest, scores[i]);
            }
            parts[lane] = largest;
        }
        workgroupBarrier();
        if lane < QUERIES {
            var largest = maximum[lane];
            for (var i = lane * PARTS; i < (lane + 1u) * PARTS; i += 1u) {
                largest = max(largest, parts[i]);
            }
            rescale[lane] = exp(maximum[lane] - largest);
            maximum[lane] = largest;
        }
        workgroupBarrier();
        if lane < QUERIES * PARTS {
            let largest = maximum[lane / PARTS];
            var sum = 0.0;
            for (var i = part; i < part + CHUNK / PARTS; i += 1u) {
                // A query that sees no key of this split has no maximum yet.
                let p = select(exp(scores[i] - largest), 0.0, scores[i] == LOWEST);
                scores[i] = p;
                sum += p;
            }
            parts[lane] = sum;
        }
        workgroupBarrier();
        if lane < QUERIES {
            var sum = total[lane] * rescale[lane];
            for (var i = lane * PARTS; i < (lane + 1u) * PARTS; i += 1u) {
                sum += parts[i];
            }
            total[lane] = sum;
        }
        for (var r = 0u; r < QUERIES; r += 1u) {
            sums[r] *= rescale[r];
        }
        if offset < stride {
            let count = min(CHUNK, end - chunk);
            for (var first = offset; first < count; first += AHEAD * stride) {
                var ahead: array<vec4<f32>, AHEAD>;
                for (var i = 0u; i < AHEAD; i += 1u) {
                    let at = chunk + min(first + i * stride, count - 1u);
                    ahead[i] = value_4((at * kv_heads + kv_head) * params.v_quads + quad);
                }
                for (var i = 0u; i < AHEAD; i += 1u) {
                    let at = first + i * stride;
                    if at < count {
                        for (var r = 0u; r < QUERIES; r += 1u) {
                            sums[r] = fma(vec4(scores[r * CHUNK + at]), ahead[i], sums[r]);
                        }
                    }
                }
            }
        }
        workgroupBarrier();
    }

    for (var r = 0u; r < QUERIES; r += 1u) {
        strides[lane] = sums[r];
        workgroupBarrier();
        var result = vec4(0.0);
        if lane < params.v_quads && first + r < queries {
            var sum = vec4(0.0);
            for (var i = 0u; i < stride; i += 1u) {
                sum += strides[i * params.v_quads + lane];
            }
            if params.splits == 1u {
                result = sum / total[r];
                out[head[r] * params.v_quads + lane] = result;
            } else {
                let row = head[r] - params.first_row * params.heads;
                let at = (workgroup.z * params.tokens * params.heads + row) * (params.v_quads + 1u);
                partial[at + lane] = sum;
                if lane == 0u {
                    partial[at + params.v_quads] = vec4(maximum[r], total[r], 0.0, 0.0);
                }
            }
        }
        workgroupBarrier();
        if params.quantized != 0u {
            let row = head[r] / params.heads;
            let quad = head[r] % params.heads * params.v_quads + lane;
            let has_four = lane < params.v_quads && first + r < queries;
            quantize(result, lane, row, quad, params.heads * params.v_quads / 8u, has_four);
        }
    }
}
