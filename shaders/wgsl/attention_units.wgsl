// Attention of many queries on matrix units. As in shared/attention.wgsl, a
// workgroup has queries that share a key head and goes through its stretch of the
// keys in chunks, with an online softmax; here it has 64 queries, 16 for each of
// its four subgroups of 32 lanes:
//
//     scores     [16, CHUNK] = queries [16, WIDTH] * keys [CHUNK, WIDTH] transposed
//     results    [16, WIDTH] += exponentials [16, CHUNK] * values [CHUNK, WIDTH]
//
// Queries, keys, values and exponentials are f16, the queries multiplied with the
// scale before; sums are f32. Keys and values take turns in one piece of workgroup
// memory; having the next under way while one is multiplied takes registers that
// more workgroups need. Lanes see scores only through workgroup memory, where two of
// them share a query.
//
// Results stay with the units. Exponentials are relative to a reference that
// follows the largest score only if that has grown by more than SLACK, up to which
// they are far from the limits of f16: so results seldom have to be rescaled, which
// leads through workgroup memory, too.

@group(0) @binding(1) var<storage, read> keys: array<Stored>;
@group(0) @binding(2) var<storage, read> values: array<Stored>;

const LANES: u32 = 128u;
const SUBGROUP: u32 = 32u;
const QUERIES: u32 = 64u;
const CHUNK: u32 = 64u;
const WIDE: u32 = WIDTH / 4u;
// Fours from one key or query to the next, and from one query's scores to the
// next's: off the powers of two, so that not all begin in the same bank.
const STRIDE: u32 = WIDE + 2u;
const SCORES: u32 = CHUNK / 4u + 2u;
// Fours of a chunk that a lane brings.
const OWN: u32 = CHUNK * WIDE / LANES;
// Fours of a result that are left in workgroup memory at once.
const LEFT: u32 = 16u;
const LOWEST: f32 = -3.4e38;
const SLACK: f32 = 8.0;

// [CHUNK][WIDTH]: keys or values; before that, the queries.
var<workgroup> tile: array<vec4<f16>, CHUNK * STRIDE>;
// [QUERIES][CHUNK]: scores; in the end, results.
var<workgroup> scores: array<vec4<f32>, QUERIES * SCORES>;
// [QUERIES][CHUNK]: exponentials of scores.
var<workgroup> weights: array<vec4<f16>, QUERIES * SCORES>;
var<workgroup> maximum: array<f32, QUERIES>;
var<workgroup> total: array<f32, QUERIES>;
// Of each subgroup, whether a reference has grown.
var<workgroup> grown: array<u32, 4>;

fn key_4(quad: u32) -> vec4<f32> {
    return widen(keys[place(quad)], keys[scale_place(quad)]);
}

fn value_4(quad: u32) -> vec4<f32> {
    return widen(values[place(quad)], values[scale_place(quad)]);
}

// The four that is an item of a chunk, of heads of so many fours: zeros past their
// end.
fn padded_four(four: vec4<f32>, item: u32, quads: u32) -> vec4<f16> {
    return vec4<f16>(select(vec4(0.0), four, item % WIDE < quads));
}

// A head's fours of the position that an item of a chunk belongs to.
fn place_of(item: u32, chunk: u32, end: u32, kv_head: u32, quads: u32) -> u32 {
    let position = min(chunk + item / WIDE, end - 1u);
    let head = position * (params.heads / params.group) + kv_head;
    return head * quads + min(item % WIDE, quads - 1u);
}

// Brings a chunk's keys, or its values, into the tile, once all lanes have used what
// is there. They come here together.
fn bring_keys(chunk: u32, end: u32, kv_head: u32, lane: u32) {
    var fours: array<vec4<f16>, OWN>;
    for (var i = 0u; i < OWN; i += 1u) {
        let item = lane + i * LANES;
        let four = key_4(place_of(item, chunk, end, kv_head, params.k_quads));
        fours[i] = padded_four(four, item, params.k_quads);
    }
    workgroupBarrier();
    put_tile(&fours, lane);
}

fn bring_values(chunk: u32, end: u32, kv_head: u32, lane: u32) {
    var fours: array<vec4<f16>, OWN>;
    for (var i = 0u; i < OWN; i += 1u) {
        let item = lane + i * LANES;
        let four = value_4(place_of(item, chunk, end, kv_head, params.v_quads));
        fours[i] = padded_four(four, item, params.v_quads);
    }
    workgroupBarrier();
    put_tile(&fours, lane);
}

fn put_tile(fours: ptr<function, array<vec4<f16>, OWN>>, lane: u32) {
    for (var i = 0u; i < OWN; i += 1u) {
        let item = lane + i * LANES;
        tile[item / WIDE * STRIDE + item % WIDE] = (*fours)[i];
    }
}

// 16 queries from `strip` on, or 16 keys of a block, in 16 dimensions.
fn query_unit(strip: u32, unit: u32) -> Rows {
    return coopLoadT<Rows>(&tile[strip * STRIDE + unit * UNIT / 4u], STRIDE);
}

fn key_unit(block: u32, unit: u32) -> Columns {
    return coopLoad<Columns>(&tile[block * UNIT * STRIDE + unit * UNIT / 4u], STRIDE);
}

fn value_unit(block: u32, unit: u32) -> Columns {
    return coopLoadT<Columns>(&tile[block * UNIT * STRIDE + unit * UNIT / 4u], STRIDE);
}

fn weight_unit(strip: u32, block: u32) -> Rows {
    return coopLoadT<Rows>(&weights[strip * SCORES + block * UNIT / 4u], SCORES);
}

// A strip's scores of a chunk, 16 by 16, and its results. Written out wherever they
// are used: the driver unrolls no loop over matrices.
var<private> s_0: Sums;
var<private> s_1: Sums;
var<private> s_2: Sums;
var<private> s_3: Sums;
var<private> o_0: Sums;
var<private> o_1: Sums;
var<private> o_2: Sums;
var<private> o_3: Sums;
var<private> o_4: Sums;
var<private> o_5: Sums;
var<private> o_6: Sums;
var<private> o_7: Sums;

// Adds what 16 dimensions contribute to the scores.
fn add_scores(queries: Rows, unit: u32) {
    s_0 = coopMultiplyAdd(queries, key_unit(0u, unit), s_0);
    s_1 = coopMultiplyAdd(queries, key_unit(1u, unit), s_1);
    s_2 = coopMultiplyAdd(queries, key_unit(2u, unit), s_2);
    s_3 = coopMultiplyAdd(queries, key_unit(3u, unit), s_3);
}

// Adds what a block of 16 keys contributes to the results.
fn add_results(strip: u32, block: u32) {
    let p = weight_unit(strip, block);
    o_0 = coopMultiplyAdd(p, value_unit(block, 0u), o_0);
    o_1 = coopMultiplyAdd(p, value_unit(block, 1u), o_1);
    o_2 = coopMultiplyAdd(p, value_unit(block, 2u), o_2);
    o_3 = coopMultiplyAdd(p, value_unit(block, 3u), o_3);
    if WIDTH > 64u {
        o_4 = coopMultiplyAdd(p, value_unit(block, 4u), o_4);
        o_5 = coopMultiplyAdd(p, value_unit(block, 5u), o_5);
        o_6 = coopMultiplyAdd(p, value_unit(block, 6u), o_6);
        o_7 = coopMultiplyAdd(p, value_unit(block, 7u), o_7);
    }
}

// Leaves 16 by 16 sums where the scores of a block are.
fn leave(sums: Sums, strip: u32, block: u32) {
    coopStoreT(sums, &scores[strip * SCORES + block * UNIT / 4u], SCORES);
}

// Results multiplied row by row, `factor` being that of the lane's query. All lanes
// come here together.
fn rescaled(sums: Sums, strip: u32, place: u32, factor: f32) -> Sums {
    leave(sums, strip, 0u);
    workgroupBarrier();
    let at = (strip + place / 2u) * SCORES + place % 2u * 2u;
    scores[at] *= factor;
    scores[at + 1u] *= factor;
    workgroupBarrier();
    let result = coopLoadT<Sums>(&scores[strip * SCORES], SCORES);
    workgroupBarrier();
    return result;
}

// Stores the results that the lanes have left, 64 dimensions from `first` on. All
// lanes come here together.
fn put(first: u32, tile_of_queries: u32, lane: u32, workgroup: vec3<u32>) {
    let queries = params.tokens * params.group;
    for (var i = 0u; i < QUERIES * LEFT / LANES; i += 1u) {
        let item = lane + i * LANES;
        let row = item / LEFT;
        let quad = first / 4u + item % LEFT;
        let query = tile_of_queries * QUERIES + row;
        let token = query / params.group;
        let head = workgroup.y * params.group + query % params.group;
        let is_there = query < queries && quad < params.v_quads;
        var four = scores[row * SCORES + item % LEFT];
        if params.splits == 1u {
            four /= total[row];
            if is_there {
                let at = (params.first_row + token) * params.heads + head;
                out[at * params.v_quads + quad] = four;
            }
        } else if is_there {
            let row_of_all = (workgroup.z * params.tokens + token) * params.heads + head;
            let at = row_of_all * (params.v_quads + 1u);
            partial[at + quad] = four;
            if quad == 0u {
                partial[at + params.v_quads] = vec4(maximum[row], total[row], 0.0, 0.0);
            }
        }
        if params.quantized != 0u {
            let groups = params.heads * params.v_quads / 8u;
            let place = head * params.v_quads + quad;
            quantize(four, lane, params.first_row + token, place, groups, is_there);
        }
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) place: u32,
) {
    let kv_head = workgroup.y;
    let queries = params.tokens * params.group;
    // The last queries see most keys: they come first.
    let tile_of_queries = workgroups.x - 1u - workgroup.x;
    let first_query = tile_of_queries * QUERIES;
    let strip = subgroup * UNIT;
    // Keys of this split that any of the queries may see, and that the lane's may.
    let last_token = min((first_query + QUERIES - 1u) / params.group, params.tokens - 1u);
    let split = first_split(params.position) + workgroup.z * params.split_keys;
    let begin = max(split, first_seen(params.position + first_query / params.group));
    let end = min(split + params.split_keys, params.position + last_token + 1u);
    let own_query = min(first_query + strip + place / 2u, queries - 1u);
    let own_position = params.position + own_query / params.group;
    let own_begin = first_seen(own_position);
    let own_end = min(end, own_position + 1u);

    for (var i = lane; i < QUERIES * WIDE; i += LANES) {
        let query = min(first_query + i / WIDE, queries - 1u);
        let row = params.first_row + query / params.group;
        let head = row * params.heads + kv_head * params.group + query % params.group;
        let four = q[head * params.k_quads + min(i % WIDE, params.k_quads - 1u)];
        let at = i / WIDE * STRIDE + i % WIDE;
        tile[at] = padded_four(four * params.scale, i, params.k_quads);
    }
    workgroupBarrier();
    let q_0 = query_unit(strip, 0u);
    let q_1 = query_unit(strip, 1u);
    let q_2 = query_unit(strip, 2u);
    let q_3 = query_unit(strip, 3u);
    var q_4: Rows;
    var q_5: Rows;
    var q_6: Rows;
    var q_7: Rows;
    if WIDTH > 64u {
        q_4 = query_unit(strip, 4u);
        q_5 = query_unit(strip, 5u);
        q_6 = query_unit(strip, 6u);
        q_7 = query_unit(strip, 7u);
    }
    // The lane's query: what its exponentials are relative to, and their sum over the
    // lane's half of the keys.
    var reference = LOWEST;
    var sum = 0.0;

    for (var chunk = begin; chunk < end; chunk += CHUNK) {
        bring_keys(chunk, end, kv_head, lane);
        workgroupBarrier();
        var none: Sums;
        s_0 = none;
        s_1 = none;
        s_2 = none;
        s_3 = none;
        add_scores(q_0, 0u);
        add_scores(q_1, 1u);
        add_scores(q_2, 2u);
        add_scores(q_3, 3u);
        if WIDTH > 64u {
            add_scores(q_4, 4u);
            add_scores(q_5, 5u);
            add_scores(q_6, 6u);
            add_scores(q_7, 7u);
        }
        leave(s_0, strip, 0u);
        leave(s_1, strip, 1u);
        leave(s_2, strip, 2u);
        leave(s_3, strip, 3u);
        bring_values(chunk, end, kv_head, lane);

        // A query's two lanes take its fours in turn.
        let own = (strip + place / 2u) * SCORES + place % 2u;
        var own_scores: array<vec4<f32>, CHUNK / 8u>;
        var highest = vec4(LOWEST);
        for (var i = 0u; i < CHUNK / 8u; i += 1u) {
            let key = vec4(chunk + (2u * i + place % 2u) * 4u) + vec4(0u, 1u, 2u, 3u);
            let is_seen = key >= vec4(own_begin) & key < vec4(own_end);
            let seen = capped(scores[own + 2u * i]);
            own_scores[i] = select(vec4(LOWEST), seen, is_seen);
            highest = max(highest, own_scores[i]);
        }
        var largest = max(max(highest.x, highest.y), max(highest.z, highest.w));
        largest = max(largest, subgroupShuffleXor(largest, 1u));
        var factor = 1.0;
        if largest > reference + SLACK {
            factor = exp(reference - largest);
            reference = largest;
        }
        sum *= factor;
        // Of the first chunk there are no results before.
        let grows = subgroupAny(factor != 1.0) && chunk != begin;
        if place == 0u {
            grown[subgroup] = u32(grows);
        }
        var sums = vec4(0.0);
        for (var i = 0u; i < CHUNK / 8u; i += 1u) {
            // A query that sees no key yet has no reference.
            let p = select(exp(own_scores[i] - reference), vec4(0.0), own_scores[i] == vec4(LOWEST));
            sums += p;
            weights[own + 2u * i] = vec4<f16>(p);
        }
        sum += sums.x + sums.y + sums.z + sums.w;
        workgroupBarrier();

        if (grown[0] | grown[1] | grown[2] | grown[3]) != 0u {
            o_0 = rescaled(o_0, strip, place, factor);
            o_1 = rescaled(o_1, strip, place, factor);
            o_2 = rescaled(o_2, strip, place, factor);
            o_3 = rescaled(o_3, strip, place, factor);
            if WIDTH > 64u {
                o_4 = rescaled(o_4, strip, place, factor);
                o_5 = rescaled(o_5, strip, place, factor);
                o_6 = rescaled(o_6, strip, place, factor);
                o_7 = rescaled(o_7, strip, place, factor);
            }
        }
        add_results(strip, 0u);
        add_results(strip, 1u);
        add_results(strip, 2u);
        add_results(strip, 3u);
    }

    let both = sum + subgroupShuffleXor(sum, 1u);
    if place % 2u == 0u {
        maximum[strip + place / 2u] = reference;
        total[strip + place / 2u] = both;
    }
    leave(o_0, strip, 0u);
    leave(o_1, strip, 1u);
    leave(o_2, strip, 2u);
    leave(o_3, strip, 3u);
    workgroupBarrier();
    put(0u, tile_of_queries, lane, workgroup);
    if WIDTH > 64u {
        workgroupBarrier();
        leave(o_4, strip, 0u);
        leave(o_5, strip, 1u);
        leave(o_6, strip, 2u);
        leave(o_7, strip, 3u);
        workgroupBarrier();
        put(64u, tile_of_queries, lane, workgroup);
    }
}
