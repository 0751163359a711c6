// Attention with grouped queries over the cache, for one token or many.
//
//     out = sum over keys j of softmax(q . k[j] * scale) * v[j]
//
// A workgroup has QUERIES queries that share a key head: the group's heads of
// one token, or of several. It keeps them in workgroup memory, goes through its
// stretch of the keys in chunks of as many as it has lanes and keeps, per query,
// the largest score so far, the sum of exponentials relative to it, and the
// weighted sum of values (the online softmax of FlashAttention; Dao et al., 2022):
//
//     scores    lane = (key, every fourth of its fours); every key is loaded once
//               for all queries
//     maxima    lane = (query, one of PARTS stretches of the chunk)
//     values    lane = (key mod strides, quad of dimensions)
//
// With several splits of the keys, each leaves its sums in `partial`, and
// attention_combine puts them together. Without, the results are also left as
// 8-bit integers, for the product that follows.
//
// The operation has the cache and the parameters, and says which part of the step a
// workgroup computes (`part_of`), where a query's fours come from (`query_4`), how
// keys and values are loaded (`load_keys`, `load_values`) and what is to be done
// before (`prepare`).

// Of the rows of a step that the dispatch computes, those of one sequence.
struct Part {
    // The first of them, and how many.
    first: u32,
    tokens: u32,
    // Its position in the sequence.
    position: u32,
    // Which tile of the sequence's queries is the workgroup's.
    tile: u32,
}

const LANES: u32 = 128u;
const CHUNK: u32 = LANES;
// Lanes that share a key, and keys of all lanes: neighbours read neighbouring fours.
const SHARE: u32 = 4u;
const KEYS: u32 = LANES / SHARE;
const PARTS: u32 = 16u;
const LOWEST: f32 = -3.4e38;
// Fours that a lane loads before it uses the first: the cache is far away, and few
// queries have the registers for more.
const AHEAD: u32 = select(16u, 8u, QUERIES == 8u);
alias Fours = array<vec4<f32>, AHEAD>;
// Which fours of the cache they are.
alias Places = array<u32, AHEAD>;
// Keys that a lane takes at once, so that a query's four serves all of them, and
// fours of each that it then loads.
const OWN_KEYS: u32 = select(2u, 4u, QUERIES == 8u);
const KEY_STEP: u32 = AHEAD / OWN_KEYS;
// Queries whose results are put together at once.
const TOGETHER: u32 = min(QUERIES, 4u);

// [QUERIES][k_quads], in the end [TOGETHER][LANES] sums.
var<workgroup> fours: array<vec4<f32>, 512>;
// [QUERIES][CHUNK]: scores, then their exponentials.
var<workgroup> scores: array<f32, QUERIES * CHUNK>;
// [QUERIES][PARTS]
var<workgroup> parts: array<f32, QUERIES * PARTS>;
var<workgroup> maximum: array<f32, QUERIES>;
var<workgroup> rescale: array<f32, QUERIES>;
var<workgroup> total: array<f32, QUERIES>;

// Puts together and stores a four of the results of TOGETHER queries from `base`
// on. All lanes come here together.
fn put(part: Part, base: u32, item: u32, lane: u32, kv_head: u32, split: u32) {
    let r = item / params.v_quads;
    let quad = item % params.v_quads;
    let query = part.tile * QUERIES + base + r;
    let token = part.first + query / params.group;
    let head = kv_head * params.group + query % params.group;
    let is_there = r < TOGETHER && query < part.tokens * params.group;
    var sum = vec4(0.0);
    if is_there {
        for (var i = 0u; i < LANES / params.v_quads; i += 1u) {
            sum += fours[r * LANES + i * params.v_quads + quad];
        }
        if params.splits == 1u {
            sum /= total[base + r];
            out[((params.first_row + token) * params.heads + head) * params.v_quads + quad] = sum;
        } else {
            let row = (split * params.tokens + token) * params.heads + head;
            let at = row * (params.v_quads + 1u);
            partial[at + quad] = sum;
            if quad == 0u {
                partial[at + params.v_quads] = vec4(maximum[base + r], total[base + r], 0.0, 0.0);
            }
        }
    }
    if params.quantized != 0u {
        let groups = params.heads * params.v_quads / 8u;
        let place = head * params.v_quads + quad;
        quantize(sum, lane, params.first_row + token, place, groups, is_there);
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let kv_head = workgroup.y;
    let kv_heads = params.heads / params.group;
    let part = part_of(workgroup.x);
    let queries = part.tokens * params.group;
    let first_query = part.tile * QUERIES;
    // Keys of this split that any of the queries may see.
    let last_token = min((first_query + QUERIES - 1u) / params.group, part.tokens - 1u);
    let split = first_split(part.position) + workgroup.z * params.split_keys;
    let begin = max(split, first_seen(part.position + first_query / params.group));
    let end = min(split + params.split_keys, part.position + last_token + 1u);

    prepare(part, kv_head, begin, end, lane);
    for (var i = lane; i < QUERIES * params.k_quads; i += LANES) {
        let query = min(first_query + i / params.k_quads, queries - 1u);
        let row = params.first_row + part.first + query / params.group;
        let head = row * params.heads + kv_head * params.group + query % params.group;
        fours[i] = query_4(row, head, i % params.k_quads);
    }
    // The first key that comes too late for a query. It sees as many before that as
    // the window has, which the last comparison counts.
    var limit: array<u32, QUERIES>;
    for (var r = 0u; r < QUERIES; r += 1u) {
        limit[r] = part.position + min(first_query + r, queries - 1u) / params.group + 1u;
    }
    if lane < QUERIES {
        maximum[lane] = LOWEST;
        total[lane] = 0.0;
    }
    workgroupBarrier();
    var sums: array<vec4<f32>, QUERIES>;
    let quad = lane % params.v_quads;
    let stride = CHUNK / params.v_quads;
    let offset = lane / params.v_quads;

    for (var chunk = begin; chunk < end; chunk += CHUNK) {
        for (var round = 0u; round < CHUNK; round += OWN_KEYS * KEYS) {
            // The lane's keys are KEYS apart.
            let first_key = chunk + round + lane / SHARE;
            var products: array<f32, OWN_KEYS * QUERIES>;
            if chunk + round < end {
                var at: array<u32, OWN_KEYS>;
                for (var k = 0u; k < OWN_KEYS; k += 1u) {
                    let key = min(first_key + k * KEYS, end - 1u);
                    at[k] = (key * kv_heads + kv_head) * params.k_quads;
                }
                for (var first = lane % SHARE; first < params.k_quads; first += SHARE * KEY_STEP) {
                    var quads: Places;
                    for (var i = 0u; i < AHEAD; i += 1u) {
                        let quad = first + i / OWN_KEYS * SHARE;
                        quads[i] = at[i % OWN_KEYS] + min(quad, params.k_quads - 1u);
                    }
                    var ahead: Fours;
                    load_keys(part, &quads, &ahead);
                    for (var i = 0u; i < KEY_STEP; i += 1u) {
                        let quad = first + i * SHARE;
                        if quad < params.k_quads {
                            for (var r = 0u; r < QUERIES; r += 1u) {
                                let four = fours[r * params.k_quads + quad];
                                for (var k = 0u; k < OWN_KEYS; k += 1u) {
                                    products[k * QUERIES + r] += dot(ahead[i * OWN_KEYS + k], four);
                                }
                            }
                        }
                    }
                }
            }
            for (var i = 0u; i < OWN_KEYS * QUERIES; i += 1u) {
                let score = capped(vec4(add_four(products[i], lane) * params.scale)).x;
                let key = first_key + i / QUERIES * KEYS;
                let r = i % QUERIES;
                if lane % SHARE == r % SHARE {
                    scores[r * CHUNK + key - chunk] =
                        select(LOWEST, score, key < end && key < limit[r] && limit[r] - key <= params.window);
                }
            }
        }
        workgroupBarrier();

        // The lane's stretch of a query's scores.
        let stretch = lane * (CHUNK / PARTS);
        if lane < QUERIES * PARTS {
            var largest = LOWEST;
            for (var i = stretch; i < stretch + CHUNK / PARTS; i += 1u) {
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
            for (var i = stretch; i < stretch + CHUNK / PARTS; i += 1u) {
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
            // Blocks of four keys: their exponentials lie behind each other.
            let blocks = (min(CHUNK, end - chunk) + 3u) / 4u;
            for (var block = offset; block < blocks; block += AHEAD / 4u * stride) {
                var quads: Places;
                for (var i = 0u; i < AHEAD; i += 1u) {
                    let key = min(chunk + (block + i / 4u * stride) * 4u + i % 4u, end - 1u);
                    quads[i] = (key * kv_heads + kv_head) * params.v_quads + quad;
                }
                var ahead: Fours;
                load_values(part, &quads, &ahead);
                for (var i = 0u; i < AHEAD; i += 4u) {
                    let own = block + i / 4u * stride;
                    if own < blocks {
                        for (var r = 0u; r < QUERIES; r += 1u) {
                            // Of keys past the end they are zero.
                            let at = r * CHUNK + own * 4u;
                            for (var j = 0u; j < 4u; j += 1u) {
                                sums[r] = fma(vec4(scores[at + j]), ahead[i + j], sums[r]);
                            }
                        }
                    }
                }
            }
        }
        workgroupBarrier();
    }

    for (var base = 0u; base < QUERIES; base += TOGETHER) {
        for (var r = 0u; r < TOGETHER; r += 1u) {
            fours[r * LANES + lane] = sums[base + r];
        }
        workgroupBarrier();
        for (var first = 0u; first < TOGETHER * params.v_quads; first += LANES) {
            put(part, base, first + lane, lane, kv_head, workgroup.z);
        }
        workgroupBarrier();
    }
}
