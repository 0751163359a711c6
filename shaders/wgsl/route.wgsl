// The experts of each token: those whose scores, or what is made of them, are the
// highest, the first of equals, and their weights. A workgroup has a token; a lane has
// every so many experts.

struct Params {
    tokens: u32,
    // Experts there are, and how many a token uses.
    count: u32,
    used: u32,
    // Factor of the weights.
    scale: f32,
    // What weights are divided by at least, if they are.
    min_sum: f32,
    // Groups of experts, and how many of them a token uses: one if there are none.
    groups: u32,
    used_groups: u32,
}

// [tokens, count] scores, and what is made of them
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> routes: array<vec2<u32>>;
// [count] added where experts are chosen
@group(0) @binding(2) var<storage, read> bias: array<f32>;
// [count] of what experts make
@group(0) @binding(3) var<storage, read> factors: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 64u;

// The softmax of the scores that are chosen, of all, or the sigmoid of each.
const CHOSEN: u32 = 0u;
const SOFTMAX: u32 = 1u;
const SIGMOID: u32 = 2u;

// The engine has no more.
const MOST_GROUPS: u32 = 32u;

override GATING: u32 = CHOSEN;
// Whether a bias is added.
override BIAS: bool = false;
// Whether weights are divided by their sum.
override NORMALIZED: bool = false;
// Whether what an expert makes has a factor of its own.
override FACTORS: bool = false;

// An expert and what it is chosen by.
struct Candidate {
    rank: f32,
    expert: u32,
}

// The expert of no candidate.
const NOBODY: u32 = 0xffffffffu;

var<workgroup> candidates: array<Candidate, LANES>;
var<workgroup> partials: array<f32, LANES>;
// Of each group the sum of its two highest ranks.
var<workgroup> sums: array<f32, MOST_GROUPS>;
// The groups that the token uses, a bit each.
var<workgroup> open_groups: u32;

// The candidate that comes first in descending order, if one of them is anybody.
fn first_of(a: Candidate, b: Candidate) -> Candidate {
    let is_after = a.rank < b.rank || (a.rank == b.rank && a.expert > b.expert);
    if a.expert == NOBODY || (b.expert != NOBODY && is_after) {
        return b;
    }
    return a;
}

// The first of all lanes' candidates. All lanes come here together.
fn first_of_all(own: Candidate, lane: u32) -> Candidate {
    candidates[lane] = own;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if lane < width {
            candidates[lane] = first_of(candidates[lane], candidates[lane + width]);
        }
        workgroupBarrier();
    }
    let first = candidates[0];
    workgroupBarrier();
    return first;
}

// The sum of all lanes' values, or the highest. All lanes come here together.
fn fold(own: f32, adds: bool, lane: u32) -> f32 {
    partials[lane] = own;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if lane < width {
            let other = partials[lane + width];
            partials[lane] = select(max(partials[lane], other), partials[lane] + other, adds);
        }
        workgroupBarrier();
    }
    let folded = partials[0];
    workgroupBarrier();
    return folded;
}

// Makes values of the scores of a token, which begin there.
fn make_values(begin: u32, lane: u32) {
    let end = begin + params.count;
    if GATING == SIGMOID {
        for (var at = begin + lane; at < end; at += LANES) {
            values[at] = 1.0 / (1.0 + exp(-values[at]));
        }
    } else if GATING == SOFTMAX {
        var highest = values[begin];
        for (var at = begin + lane; at < end; at += LANES) {
            highest = max(highest, values[at]);
        }
        highest = fold(highest, false, lane);
        var total = 0.0;
        for (var at = begin + lane; at < end; at += LANES) {
            let value = exp(values[at] - highest);
            values[at] = value;
            total += value;
        }
        total = fold(total, true, lane);
        for (var at = begin + lane; at < end; at += LANES) {
            values[at] /= total;
        }
    }
    storageBarrier();
}

// What an expert is chosen by.
fn rank(begin: u32, expert: u32) -> f32 {
    let value = values[begin + expert];
    if BIAS {
        return value + bias[expert];
    }
    return value;
}

// Opens the groups whose two highest ranks add up to the most, the first of equals.
fn choose_groups(begin: u32, lane: u32) {
    let size = params.count / params.groups;
    if lane < params.groups {
        let a = rank(begin, lane * size);
        let b = rank(begin, lane * size + 1u);
        var first = max(a, b);
        var second = min(a, b);
        for (var i = 2u; i < size; i += 1u) {
            let score = rank(begin, lane * size + i);
            second = max(second, min(score, first));
            first = max(score, first);
        }
        sums[lane] = first + second;
    }
    workgroupBarrier();
    if lane == 0u {
        var chosen = 0u;
        for (var place = 0u; place < params.used_groups; place += 1u) {
            var best = params.groups;
            for (var group = 0u; group < params.groups; group += 1u) {
                let is_open = (chosen >> group & 1u) == 0u;
                if is_open && (best == params.groups || sums[group] > sums[best]) {
                    best = group;
                }
            }
            chosen |= 1u << best;
        }
        open_groups = chosen;
    }
    workgroupBarrier();
}

// The lane's first expert, of those in open groups, after another one.
fn next_of(begin: u32, lane: u32, last: Candidate) -> Candidate {
    let size = params.count / params.groups;
    var best = Candidate(0.0, NOBODY);
    for (var expert = lane; expert < params.count; expert += LANES) {
        let own = Candidate(rank(begin, expert), expert);
        let is_used = params.groups == 1u || (open_groups >> (expert / size) & 1u) == 1u;
        let is_left = last.expert == NOBODY || own.rank < last.rank
            || (own.rank == last.rank && expert > last.expert);
        if is_used && is_left {
            best = first_of(best, own);
        }
    }
    return best;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.x + workgroup.y * workgroups.x;
    if token >= params.tokens {
        return;
    }
    let begin = token * params.count;
    make_values(begin, lane);
    if params.groups > 1u {
        choose_groups(begin, lane);
    }
    var highest = 0.0;
    var total = 0.0;
    var last = Candidate(0.0, NOBODY);
    for (var place = 0u; place < params.used; place += 1u) {
        var best = first_of_all(next_of(begin, lane, last), lane);
        if best.expert == NOBODY {
            // Scores that are no numbers have no order.
            best = Candidate(0.0, 0u);
        }
        var weight = values[begin + best.expert];
        if GATING == CHOSEN {
            highest = select(highest, weight, place == 0u);
            weight = exp(weight - highest);
        }
        total += weight;
        if place % LANES == lane {
            routes[token * params.used + place] = vec2(best.expert, bitcast<u32>(weight));
        }
        last = best;
    }
    // The softmax of those that are chosen divides by its sum already.
    var divisor = 1.0;
    if GATING == CHOSEN {
        divisor = total;
    } else if NORMALIZED {
        divisor = max(total, params.min_sum);
    }
    // Each lane those that it stored.
    for (var place = lane; place < params.used; place += LANES) {
        let at = token * params.used + place;
        var weight = bitcast<f32>(routes[at].y) / divisor * params.scale;
        if FACTORS {
            weight *= factors[routes[at].x];
        }
        routes[at].y = bitcast<u32>(weight);
    }
}
